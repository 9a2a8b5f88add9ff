"""The control plane: what clients may ask for, checked as a Swarm manager checks it, then written.

Every call needs a leader. Refusals are EngineErrors in the engine's words.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from enum import StrEnum
from typing import TypeVar

from infra.local.engine.clock import Clock
from infra.local.engine.constraints import parse
from infra.local.engine.errors import NO_LEADER, invalid, not_found, refused
from infra.local.engine.identity import Identities
from infra.local.engine.membership import Membership
from infra.local.engine.model import (
    Availability,
    JobStatus,
    Node,
    NodeSpec,
    NodeState,
    Role,
    Service,
    Task,
    UpdateState,
    UpdateStatus,
)
from infra.local.engine.raft import Raft
from infra.local.engine.specs import Json, ServiceSpec
from infra.local.engine.store import Store

ObjectT = TypeVar("ObjectT", Node, Service, Task)
EnumT = TypeVar("EnumT", bound=StrEnum)


class Control:
    """The operations behind the API."""

    def __init__(self, store: Store, raft: Raft, membership: Membership, clock: Clock, ids: Identities) -> None:
        self._store = store
        self._raft = raft
        self._membership = membership
        self._clock = clock
        self._ids = ids

    def need_leader(self) -> None:
        if self._raft.leader is None:
            raise refused("Unknown", NO_LEADER)

    # Looking up, by id, full name, or the beginning of an id

    def node(self, name: str) -> Node:
        return self._find("node", name, self._store.nodes, lambda node: node.machine.hostname)

    def service(self, name: str) -> Service:
        return self._find("service", name, self._store.services, lambda service: service.spec.name)

    def task(self, name: str) -> Task:
        return self._find("task", name, self._store.tasks, task_name)

    def _find(self, kind: str, name: str, known: Mapping[str, ObjectT], name_of: Callable[[ObjectT], str]) -> ObjectT:
        self.need_leader()
        if name in known:
            return known[name]
        found = [each for each in known.values() if name_of(each) == name]
        found = found or [each for identity, each in known.items() if identity.startswith(name)]
        if not found:
            raise not_found(kind, name)
        if len(found) > 1:
            ambiguous = f"{kind} {name} is ambiguous ({len(found)} matches found)"
            raise invalid(ambiguous)
        return found[0]

    # Nodes

    def update_node(self, name: str, version: int, body: Json) -> None:
        node = self.node(name)
        spec = _node_spec(body)
        if (node.spec.role, spec.role) == (Role.MANAGER, Role.WORKER):
            self._check_demotion(node)
        self._store.put_node(replace(node, spec=spec), read_version=version)

    def _check_demotion(self, node: Node) -> None:
        managers = [each for each in self._store.nodes.values() if each.role is Role.MANAGER]
        if managers == [node]:
            raise refused("FailedPrecondition", "attempting to demote the last manager of the swarm")
        if not self._raft.is_member(node.id):
            raise refused("NotFound", "can't find manager in raft memberlist")
        if not self._raft.survives_removal_of(node.id):
            loss = "can't remove member from the raft: this would result in a loss of quorum"
            raise refused("FailedPrecondition", loss)

    def remove_node(self, name: str, *, force: bool) -> None:
        node = self.node(name)
        if node.spec.role is Role.MANAGER and self._raft.is_member(node.id):
            member = (
                f"node {node.id} is a cluster manager and is a member of the raft cluster. "
                "It must be demoted to worker before removal"
            )
            raise refused("FailedPrecondition", member)
        if not force and node.state is NodeState.READY:
            raise refused("FailedPrecondition", f"node {node.id} is not down and can't be removed")
        self._membership.remove(node.id)

    # Services

    def create_service(self, body: Json) -> Service:
        self.need_leader()
        spec = self._checked_spec(body)
        if self._store.service_named(spec.name) is not None:
            conflict = f"name conflicts with an existing object: service {spec.name} already exists"
            raise refused("AlreadyExists", conflict)
        self._check_ports(spec, "")
        job = JobStatus(0, self._clock.now_ns()) if spec.mode.is_job else None
        return self._store.put_service(Service(id=self._ids.swarm_id("service"), spec=spec, job_status=job))

    def update_service(self, name: str, version: int, body: Json, *, rollback: bool) -> None:
        service = self.service(name)
        updated = self._rolled_back(service) if rollback else self._respecified(service, body)
        if service.job_status is not None:
            iteration = service.job_status.iteration + 1
            updated = replace(updated, job_status=JobStatus(iteration, self._clock.now_ns()))
        self._store.put_service(updated, read_version=version)

    def _respecified(self, service: Service, body: Json) -> Service:
        spec = self._checked_spec(body)
        if spec.mode is not service.spec.mode:
            raise refused("Unimplemented", "service mode change is not allowed")
        if spec.name != service.spec.name:
            raise refused("Unimplemented", "renaming services is not supported")
        self._check_ports(spec, service.id)
        return replace(
            service,
            spec=spec,
            spec_version=service.meta.version,
            previous_spec=service.spec,
            previous_spec_version=service.spec_version,
            update_status=None,
        )

    def _rolled_back(self, service: Service) -> Service:
        if service.previous_spec is None:
            raise refused("FailedPrecondition", f"service {service.id} does not have a previous spec")
        started = UpdateState.ROLLBACK_STARTED
        return replace(
            service,
            spec=service.previous_spec,
            spec_version=service.previous_spec_version,
            previous_spec=service.spec,
            previous_spec_version=service.spec_version,
            update_status=UpdateStatus(started, "manually requested rollback", self._clock.now_ns()),
        )

    def remove_service(self, name: str) -> None:
        self._store.remove_service(self.service(name).id)

    def _checked_spec(self, body: Json) -> ServiceSpec:
        modes = [mode for mode in (body.get("Mode") or {}).values() if mode is not None]
        if len(modes) > 1:
            raise invalid("must specify only one service mode")
        spec = _readable_spec({**body, "Name": body.get("Name") or f"service_{self._ids.swarm_id('name')[:8]}"})
        if spec.template.get("ContainerSpec") is None:
            raise invalid("mismatched Runtime and *Spec fields")
        if not spec.image:
            raise refused("InvalidArgument", "ContainerSpec: image reference must be provided")
        parse(spec.constraints)
        return spec

    def _check_ports(self, spec: ServiceSpec, own_id: str) -> None:
        """A port of the routing mesh belongs to one service."""
        wanted = set(_ingress_ports(spec))
        for other in self._store.services.values():
            taken = wanted.intersection(_ingress_ports(other.spec)) if other.id != own_id else ()
            for port in taken:
                in_use = f"port '{port}' is already in use by service '{other.spec.name}' ({other.id})"
                raise refused("InvalidArgument", in_use)


def _readable_spec(body: Json) -> ServiceSpec:
    try:
        spec = ServiceSpec(body)
        spec.check()
    except (ValueError, TypeError, KeyError, AttributeError, StopIteration) as error:
        raise invalid(f"invalid service specification: {error!r}") from error
    return spec


def task_name(task: Task) -> str:
    return f"{task.spec.name}.{task.place}.{task.id}"


def _ingress_ports(spec: ServiceSpec) -> Iterable[int]:
    for port in spec.ports:
        if port.get("PublishMode") != "host" and port.get("PublishedPort"):
            yield int(port["PublishedPort"])


def _node_spec(body: Json) -> NodeSpec:
    role = _one_of(Role, "Role", body)
    availability = _one_of(Availability, "Availability", body)
    return NodeSpec(role, availability, dict(body.get("Labels") or {}), body.get("Name") or "", accepted=False)


def _one_of(kind: type[EnumT], field: str, body: Json) -> EnumT:
    try:
        return kind(body.get(field, ""))
    except ValueError:
        raise invalid(f'invalid {field}: "{body.get(field, "")}"') from None
