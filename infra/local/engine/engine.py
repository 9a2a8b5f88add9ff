"""One engine as its clients see it: which node it is, whether it manages the Swarm, and what `/info` says.

Without a node it stands for the whole Swarm and speaks through the present leader.
"""

from http import HTTPStatus

from infra.local.engine.errors import NO_LEADER, NOT_A_MANAGER, NOT_IN_A_SWARM, EngineError, refused
from infra.local.engine.model import Node
from infra.local.engine.specs import Json
from infra.local.engine.swarm import SimulatedSwarm
from infra.local.engine.views import cluster_view, manager_address

ENGINE_VERSION = "28.2.2"
API_VERSION = (1, 52)
OLDEST_API_VERSION = (1, 24)
_CAPABILITIES = (
    "MemoryLimit",
    "SwapLimit",
    "CpuCfsPeriod",
    "CpuCfsQuota",
    "CPUShares",
    "CPUSet",
    "PidsLimit",
    "OomKillDisable",
    "IPv4Forwarding",
    "BridgeNfIptables",
    "BridgeNfIp6tables",
)
_AS_EVER: Json = {
    "Containers": 0,
    "ContainersRunning": 0,
    "ContainersPaused": 0,
    "ContainersStopped": 0,
    "Images": 0,
    "Driver": "overlay2",
    "DriverStatus": [],
    "Plugins": {"Volume": ["local"], "Network": ["bridge", "host", "null", "overlay"], "Log": []},
    "LoggingDriver": "json-file",
    "CgroupDriver": "none",
    "DockerRootDir": "/var/lib/docker",
    "RegistryConfig": {"IndexConfigs": {}, "InsecureRegistryCIDRs": [], "Mirrors": []},
    "SecurityOptions": [],
    "Runtimes": {"runc": {"path": "runc"}},
    "DefaultRuntime": "runc",
    "InitBinary": "docker-init",
    "Warnings": None,
    **dict.fromkeys(_CAPABILITIES, True),
}
"""What `/info` says of an engine without containers."""


def version_text(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"


class Engine:
    """The engine behind one socket."""

    def __init__(self, swarm: SimulatedSwarm, node_id: str | None) -> None:
        self.swarm = swarm
        self._node_id = node_id

    @property
    def node(self) -> Node | None:
        """The node this engine is; None when it has left the Swarm."""
        if self._node_id is not None:
            return self.swarm.store.nodes.get(self._node_id)
        members = self.swarm.raft.members
        spokesman = self.swarm.raft.leader or next(iter(members), None)
        return self.swarm.store.nodes.get(spokesman) if spokesman else None

    @property
    def is_manager(self) -> bool:
        return self.node is not None and self.swarm.raft.is_member(self.node.id)

    @property
    def swarm_header(self) -> str:
        if self.node is None:
            return "inactive"
        return "active/manager" if self.is_manager else "active/worker"

    def need_control(self) -> None:
        """Raise what clients are told when this engine cannot see or change the Swarm now."""
        if self.node is None:
            raise EngineError(HTTPStatus.SERVICE_UNAVAILABLE, NOT_IN_A_SWARM)
        if not self.is_manager:
            raise EngineError(HTTPStatus.SERVICE_UNAVAILABLE, NOT_A_MANAGER)
        self.swarm.control.need_leader()

    def swarm_info(self) -> Json:
        """The `Swarm` part of `/info`."""
        node = self.node
        if node is None:
            return {"NodeID": "", "NodeAddr": "", "LocalNodeState": "inactive", "ControlAvailable": False}
        info: Json = {
            "NodeID": node.id,
            "NodeAddr": node.machine.address,
            "LocalNodeState": "active",
            "ControlAvailable": self.is_manager,
            "Error": "",
            "RemoteManagers": self._remote_managers(),
        }
        return info | self._control_info() if self.is_manager else info

    def _control_info(self) -> Json:
        """Without a leader the engine has an empty cluster to show, and says why."""
        swarm = self.swarm
        if swarm.raft.leader is None:
            return {"Error": str(refused("Unknown", NO_LEADER)), "Cluster": cluster_view("", 0, 0)}
        history = swarm.config.task_history_limit
        return {
            "Nodes": len(swarm.nodes),
            "Managers": len(swarm.raft.members),
            "Cluster": cluster_view(swarm.cluster_id, swarm.created_ns, history),
        }

    def _remote_managers(self) -> list[Json]:
        managers = [node for node in self.swarm.nodes if self.swarm.raft.is_member(node.id)]
        return [{"NodeID": node.id, "Addr": manager_address(node)} for node in managers]

    def info(self) -> Json:
        node = self.node
        machine = node.machine if node else None
        labels = machine.engine_labels if machine else {}
        return {
            "ID": self.swarm.cluster_id,
            "Name": machine.hostname if machine else "engine",
            "ServerVersion": ENGINE_VERSION,
            "OperatingSystem": "Simulated Swarm",
            "OSType": "linux",
            "Architecture": "x86_64",
            "KernelVersion": "simulated",
            "NCPU": machine.nano_cpus // 10**9 if machine else 0,
            "MemTotal": machine.memory_bytes if machine else 0,
            "Labels": [f"{key}={value}" for key, value in labels.items()],
            **_AS_EVER,
            "Swarm": self.swarm_info(),
        }

    def version(self) -> Json:
        versions = {
            "Version": ENGINE_VERSION,
            "ApiVersion": version_text(API_VERSION),
            "MinAPIVersion": version_text(OLDEST_API_VERSION),
            "GitCommit": "simulated",
            "GoVersion": "none",
            "Os": "linux",
            "Arch": "amd64",
            "KernelVersion": "simulated",
            "BuildTime": "",
        }
        component = {"Name": "Engine", "Version": ENGINE_VERSION, "Details": versions}
        return {"Platform": {"Name": "Simulated Swarm"}, "Components": [component], **versions}
