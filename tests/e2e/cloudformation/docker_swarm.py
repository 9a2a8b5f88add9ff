"""A `docker` command over simulated Swarms: who founds, joins, leaves, is demoted, removed.

One engine for each machine, told apart by the environment variable INSTANCE_ID that the script under test has too.
Real engines do this in the lab; here it is about what the script decides, in any order of five machines at once. A
Swarm's own time goes by while a command is answered, so that what one command has begun the next one finds done.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from infra.local.engine.config import SwarmConfig
from infra.local.engine.engine import Engine
from infra.local.engine.errors import EngineError, refused
from infra.local.engine.model import Node, NodeState, Role
from infra.local.engine.raft import Raft
from infra.local.engine.specs import Json
from infra.local.engine.swarm import SimulatedSwarm
from infra.local.engine.views import node_spec_view, node_view
from tests.e2e.cloudformation.commands import Answer
from tests.simulation.loops import Clockwork

SETTLE_SECONDS = 2.0


@dataclass
class Service:
    """What a leader who renews logins looks at."""

    image: str
    doing: str = ""
    login: str = ""


class Swarm:
    """One Swarm, and its join tokens."""

    def __init__(self, number: int) -> None:
        self._clockwork = Clockwork(Random(number))
        self.engine = SimulatedSwarm(SwarmConfig(seed=number))
        self.engine.start(self._clockwork.loop("swarm"))
        self.id = self.engine.cluster_id
        self.rotations = {"manager": 0, "worker": 0}
        self.networks: set[str] = set()
        self.services: dict[str, Service] = {}

    def settle(self) -> None:
        """Its time goes by."""
        self._clockwork.run_until(self._clockwork.now + SETTLE_SECONDS)

    def token(self, role: str) -> str:
        """What a new node needs."""
        return f"SWMTKN-1-{self.id}-{role}-{self.rotations[role]}"

    def role_of(self, token: str) -> str | None:
        """The role that a token gives, None where it is not valid (any more)."""
        return next((role for role in self.rotations if token == self.token(role)), None)

    def managers(self) -> list[str]:
        """The instances of those that are up, the leader's first."""
        raft = self.engine.raft
        up = [node for node in self.engine.nodes if node.spec.role is Role.MANAGER and node.state is NodeState.READY]
        return [instance_of(node) for node in sorted(up, key=lambda node: node.id != raft.leader)]

    def add(self, instance: str, address: str, role: str) -> str:
        """A machine joins. Its node's id."""
        return self.engine.add_node(instance, role=role, address=address, engine_labels={"instance_id": instance})

    def demote(self, node_id: str) -> None:
        """`docker node demote`."""
        node = self.engine.store.nodes[node_id]
        self.engine.control.update_node(node_id, node.meta.version, {**node_spec_view(node), "Role": "worker"})
        self.settle()


class DockerCommand:
    """All Swarms there are: one, if the script is right. Call it as the `docker` command."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._number = itertools.count(1)
        self.swarms: dict[str, Swarm] = {}
        self.joined: dict[str, tuple[Swarm, str]] = {}
        """Swarm and node of each instance's engine."""
        self.states: dict[str, str] = {}
        """A LocalNodeState other than what membership says."""
        self.networks: dict[str, set[str]] = {}
        """Those that each engine has made for itself."""
        self.logins: dict[str, str] = {}
        """The password that each engine last gave to a registry."""
        self.init_seconds = 0.0

    def __call__(self, arguments: Sequence[str], stdin: str, environ: Mapping[str, str]) -> Answer:
        if arguments[:2] == ["swarm", "init"]:
            time.sleep(self.init_seconds)  # so that whoever does not ask first would come in between
        if arguments[0] == "login":
            self.logins[environ["INSTANCE_ID"]] = stdin.strip()
            return 0, "Login Succeeded\n", ""
        with self._lock:
            try:
                answer = self._answer(environ["INSTANCE_ID"], list(arguments), dict(itertools.pairwise(arguments)))
            except EngineError as error:
                return 1, "", f"Error response from daemon: {error}\n"
            for swarm in self.swarms.values():
                swarm.settle()
            return 0, answer, ""

    # What tests do to machines

    def found(self, instance: str, address: str) -> Swarm:
        """`docker swarm init` by hand."""
        with self._lock:
            swarm = Swarm(next(self._number))
            self.swarms[swarm.id] = swarm
            self.joined[instance] = swarm, swarm.add(instance, address, "manager")
            return swarm

    def lose(self, instance: str) -> None:
        """The machine dies."""
        with self._lock:
            swarm, node = self.joined.pop(instance)
            swarm.engine.lose_node(node)
            swarm.settle()

    # The engine

    def _answer(self, instance: str, words: list[str], options: Mapping[str, str]) -> str:
        match words:
            case ["info", "--format", shape]:
                return self._info(instance, shape)
            case ["swarm", "init", *_]:
                self._need_outside(instance)
                return self.found(instance, options["--advertise-addr"]).id
            case ["swarm", "join", *_, target]:
                self._need_outside(instance)
                return self._join(instance, options["--token"], options["--advertise-addr"], target)
            case ["swarm", "leave", "--force"]:
                self.states.pop(instance, None)
                if instance not in self.joined:
                    raise refused("Unavailable", "This node is not part of a swarm")
                self.lose(instance)
                return "Node left the swarm.\n"
            case ["network", what, *_] if "--scope" not in words:
                return self._network(instance, what, words[-1])
        if instance not in self.joined:
            raise refused("Unavailable", "This node is not a swarm manager.")
        swarm, node = self.joined[instance]
        Engine(swarm.engine, node).need_control()
        if words[0] == "service":
            return self._service(instance, swarm, words[1:])
        return self._manage(swarm, node, words)

    def _network(self, instance: str, what: str, name: str) -> str:
        swarm, _ = self.joined.get(instance, (None, ""))
        own = self.networks.setdefault(instance, set())
        if what == "create":
            own.add(name)
        elif name not in own | (swarm.networks if swarm else set()):
            raise refused("NotFound", f"network {name} not found")
        return name

    def _service(self, instance: str, swarm: Swarm, words: list[str]) -> str:
        match words:
            case ["ls", "--format", _]:
                return "".join(f"{name} {service.image}\n" for name, service in swarm.services.items())
            case ["inspect", name, "--format", _]:
                return swarm.services[name].doing + "\n"
            case ["update", "--quiet", "--detach", "--with-registry-auth", name]:
                swarm.services[name].login = self.logins[instance]
                return ""
        raise refused("Unimplemented", f"there is no service {words}")

    def _manage(self, swarm: Swarm, own: str, words: list[str]) -> str:
        """What only a manager answers."""
        match words:
            case ["swarm", "join-token", "--quiet", *rotate, role]:
                swarm.rotations[role] += len(rotate)
                return swarm.token(role) + "\n"
            case ["network", "create", *_, name]:
                swarm.networks.add(name)
                return name
            case ["node", "ls", "--format", shape]:
                return "".join(_row(each, swarm.engine.raft, shape) for each in swarm.engine.nodes)
            case ["node", "inspect", "self", "--format", "{{.ManagerStatus.Leader}}"]:
                return f"{swarm.engine.raft.leader == own}\n".lower()
            case ["node", "inspect", node, "--format", _]:
                return instance_of(swarm.engine.control.node(node)) + "\n"
            case ["node", "demote", node]:
                swarm.demote(node)
                return ""
            case ["node", "rm", "--force", node]:
                swarm.engine.control.remove_node(node, force=True)
                return ""
        raise refused("Unimplemented", f"there is no {words}")

    def _info(self, instance: str, shape: str) -> str:
        swarm, node = self.joined.get(instance, (None, ""))
        info: Json = Engine(swarm.engine, node).swarm_info() if swarm else {"LocalNodeState": "inactive"}
        if shape == "{{.Swarm.Cluster.ID}}":
            return f"{info.get('Cluster', {}).get('ID', '')}\n"
        state = self.states.get(instance) or info["LocalNodeState"]
        return f"{state} {str(state == 'active' and info.get('ControlAvailable', False)).lower()}\n"

    def _need_outside(self, instance: str) -> None:
        if instance in self.joined:
            raise refused("Unavailable", "This node is already part of a swarm.")

    def _join(self, instance: str, token: str, address: str, target: str) -> str:
        host = target.removesuffix(":2377")
        for swarm in self.swarms.values():
            managers = [node for node in swarm.engine.nodes if instance_of(node) in swarm.managers()]
            if any(node.machine.address == host for node in managers) and swarm.engine.raft.has_quorum:
                role = swarm.role_of(token)
                if role is None:
                    raise refused("Unavailable", "remote CA does not match fingerprint, or invalid join token")
                self.joined[instance] = swarm, swarm.add(instance, address, role)
                return "This node joined a swarm.\n"
        raise refused("Unavailable", "Timeout was reached before node joined.")


def instance_of(node: Node) -> str:
    """The instance that a node runs on."""
    return node.machine.engine_labels["instance_id"]


def _row(node: Node, raft: Raft, shape: str) -> str:
    view = node_view(node, raft)
    status, manager = view["Status"]["State"].capitalize(), view.get("ManagerStatus", {})
    role = "Leader" if manager.get("Leader") else manager.get("Reachability", "").capitalize()
    rows = {"{{.ID}} {{.Status}} {{.ManagerStatus}}": f"{node.id} {status} {role}", "{{.ManagerStatus}}": role}
    return rows[shape] + "\n"
