"""The API's JSON for what is in the store.

Tasks are many: theirs is put together from text, with the long part (the specification) made once per version.
"""

import json
from typing import Any

from infra.local.engine.clock import rfc3339
from infra.local.engine.events import Event
from infra.local.engine.model import Meta, Node, Service, Task, TaskState, UpdateStatus
from infra.local.engine.networks import Network
from infra.local.engine.raft import Raft
from infra.local.engine.specs import Json, Mode, ServiceSpec
from infra.local.engine.store import Store

_MANAGER_PORT = 2377


def dump(body: Any) -> str:
    return json.dumps(body, separators=(",", ":"))


def node_view(node: Node, raft: Raft) -> Json:
    machine = node.machine
    view: Json = {
        "ID": node.id,
        **_meta(node.meta),
        "Spec": node_spec_view(node),
        "Description": {
            "Hostname": machine.hostname,
            "Platform": {"Architecture": machine.architecture, "OS": machine.os},
            "Resources": {"NanoCPUs": machine.nano_cpus, "MemoryBytes": machine.memory_bytes},
            "Engine": {"EngineVersion": machine.engine_version, "Labels": machine.engine_labels, "Plugins": []},
            "TLSInfo": {},
        },
        "Status": {"State": node.state.value, "Addr": machine.address},
    }
    if node.message:
        view["Status"]["Message"] = node.message
    if raft.is_member(node.id):
        view["ManagerStatus"] = _manager_status(node, raft)
    return view


def node_spec_view(node: Node) -> Json:
    view: Json = {
        "Labels": node.spec.labels,
        "Role": node.spec.role.value,
        "Availability": node.spec.availability.value,
    }
    return {"Name": node.spec.name, **view} if node.spec.name else view


def _manager_status(node: Node, raft: Raft) -> Json:
    reachable = "reachable" if raft.is_reachable(node.id) else "unreachable"
    status: Json = {"Reachability": reachable, "Addr": manager_address(node)}
    return {"Leader": True, **status} if raft.leader == node.id else status


def manager_address(node: Node) -> str:
    return f"{node.machine.address}:{_MANAGER_PORT}"


def service_view(service: Service, store: Store, *, with_status: bool, insert_defaults: bool) -> Json:
    view: Json = {
        "ID": service.id,
        **_meta(service.meta),
        "Spec": _with_defaults(service.spec) if insert_defaults else service.spec.body,
        "Endpoint": _endpoint(service.spec),
    }
    if service.previous_spec is not None:
        view["PreviousSpec"] = service.previous_spec.body
    if service.update_status is not None:
        view["UpdateStatus"] = _update_status(service.update_status)
    if service.job_status is not None:
        view["JobStatus"] = {
            "JobIteration": _iteration(service.job_status.iteration),
            "LastExecution": rfc3339(service.job_status.last_execution_ns),
        }
    if with_status:
        view["ServiceStatus"] = _service_status(service, store)
    return view


def _update_status(status: UpdateStatus) -> Json:
    view: Json = {"State": status.state.value, "Message": status.message}
    if status.started_ns:
        view["StartedAt"] = rfc3339(status.started_ns)
    if status.completed_ns:
        view["CompletedAt"] = rfc3339(status.completed_ns)
    return view


def _service_status(service: Service, store: Store) -> Json:
    """Running counts what is known to run, tasks on lost nodes included, as the engine does."""
    iteration = service.job_status.iteration if service.job_status else 0
    tasks = [task for task in store.tasks_of(service.id) if task.job_iteration == iteration]
    return {
        "RunningTasks": sum(task.state is TaskState.RUNNING for task in tasks),
        "DesiredTasks": _desired_tasks(service, tasks),
        "CompletedTasks": sum(task.state is TaskState.COMPLETE for task in tasks),
    }


def _desired_tasks(service: Service, tasks: list[Task]) -> int:
    if service.spec.mode is Mode.REPLICATED:
        return service.spec.replicas
    if service.spec.mode is Mode.REPLICATED_JOB:
        return service.spec.max_concurrent
    return sum(task.wanted for task in tasks)


def _endpoint(spec: ServiceSpec) -> Json:
    asked = spec.body.get("EndpointSpec")
    if not asked:
        return {"Spec": {}}
    endpoint: Json = {"Spec": asked}
    return {**endpoint, "Ports": list(spec.ports)} if spec.ports else endpoint


def _with_defaults(spec: ServiceSpec) -> Json:
    """What the engine would assume where the specification is silent."""
    update: Json = {
        "Parallelism": 1,
        "FailureAction": "pause",
        "Monitor": 5_000_000_000,
        "MaxFailureRatio": 0,
        "Order": "stop-first",
    }
    restart: Json = {"Condition": "any", "Delay": 5_000_000_000, "MaxAttempts": 0}
    container = {"StopGracePeriod": 10_000_000_000, "DNSConfig": {}, **spec.container}
    template = {"Resources": {}, "RestartPolicy": restart, "Placement": {}, **spec.template}
    return {
        "UpdateConfig": update,
        "RollbackConfig": update,
        "EndpointSpec": {"Mode": "vip"},
        **spec.body,
        "TaskTemplate": {**template, "ContainerSpec": container},
    }


def task_json(task: Task) -> str:
    """One task, as JSON text."""
    parts = [
        f'{{"ID":"{task.id}","Version":{{"Index":{task.version}}}',
        f'"CreatedAt":"{rfc3339(task.created_ns)}","UpdatedAt":"{rfc3339(task.updated_ns)}","Labels":{{}}',
        f'"Spec":{task.spec.template_json},"ServiceID":"{task.service_id}"',
        f'"Status":{_task_status_json(task)},"DesiredState":"{task.desired.name.lower()}"',
    ]
    if task.slot:
        parts.append(f'"Slot":{task.slot}')
    if task.node_id:
        parts.append(f'"NodeID":"{task.node_id}"')
    if task.spec.mode.is_job:
        parts.append(f'"JobIteration":{dump(_iteration(task.job_iteration))}')
    return ",".join(parts) + "}"


def _task_status_json(task: Task) -> str:
    parts = [
        f'{{"Timestamp":"{rfc3339(task.status_ns)}","State":"{task.state.name.lower()}"',
        f'"Message":"{task.message}"',
    ]
    if task.error:
        parts.append(f'"Err":{json.dumps(task.error)}')
    if task.container_id:
        parts.append(f'"ContainerStatus":{{"ContainerID":"{task.container_id}","PID":0,"ExitCode":{task.exit_code}}}')
    return ",".join(parts) + ',"PortStatus":{}}'


def _iteration(index: int) -> Json:
    return {"Index": index} if index else {}


def event_view(event: Event) -> Json:
    return {
        "Type": event.kind,
        "Action": event.action,
        "Actor": {"ID": event.actor_id, "Attributes": event.attributes},
        "scope": "swarm",
        "time": event.time_ns // 1_000_000_000,
        "timeNano": event.time_ns,
    }


def network_view(network: Network) -> Json:
    return {
        "Name": network.name,
        "Id": network.id,
        "Created": rfc3339(network.created_ns),
        "Scope": network.scope,
        "Driver": network.driver,
        "EnableIPv6": False,
        "IPAM": {"Driver": "default", "Options": None, "Config": []},
        "Internal": bool(network.body.get("Internal")),
        "Attachable": bool(network.body.get("Attachable")),
        "Ingress": network.ingress,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": {},
        "Options": network.body.get("Options") or {},
        "Labels": network.body.get("Labels") or {},
    }


def cluster_view(cluster_id: str, created_ns: int, history_limit: int) -> Json:
    return {
        "ID": cluster_id,
        **_meta(Meta(9, created_ns, created_ns) if cluster_id else Meta()),
        "Spec": {
            "Name": "default",
            "Labels": {},
            "Orchestration": {"TaskHistoryRetentionLimit": history_limit},
            "Raft": {
                "SnapshotInterval": 10000,
                "KeepOldSnapshots": 0,
                "LogEntriesForSlowFollowers": 500,
                "ElectionTick": 10,
                "HeartbeatTick": 1,
            },
            "Dispatcher": {"HeartbeatPeriod": 5_000_000_000},
            "CAConfig": {"NodeCertExpiry": 7_776_000_000_000_000},
            "TaskDefaults": {},
            "EncryptionConfig": {"AutoLockManagers": False},
        },
        "TLSInfo": {},
        "RootRotationInProgress": False,
        "DefaultAddrPool": ["10.0.0.0/8"],
        "SubnetSize": 24,
        "DataPathPort": 4789,
    }


def _meta(meta: Meta) -> Json:
    return {
        "Version": {"Index": meta.version},
        "CreatedAt": rfc3339(meta.created_ns),
        "UpdatedAt": rfc3339(meta.updated_ns),
    }
