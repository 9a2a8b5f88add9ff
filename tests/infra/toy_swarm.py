"""A `docker` command with just the Swarm membership in it: who founds, joins, leaves, is demoted, removed.

One engine for each machine, told apart by the environment variable INSTANCE_ID that the script under test has too.
Real engines do this in the lab; here it is about what the script decides, in any order of five machines at once.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.infra.commands import Answer


@dataclass
class Member:
    """A node of a Swarm."""

    id: str
    instance: str
    address: str
    role: str
    up: bool = True


@dataclass
class Service:
    """What a leader who renews logins looks at."""

    image: str
    doing: str = ""
    login: str = ""


@dataclass
class Swarm:
    """Membership and tokens."""

    id: str
    members: dict[str, Member] = field(default_factory=dict)
    rotations: dict[str, int] = field(default_factory=lambda: {"manager": 0, "worker": 0})
    networks: set[str] = field(default_factory=set)
    services: dict[str, Service] = field(default_factory=dict)

    def token(self, role: str) -> str:
        """What a new node needs."""
        return f"SWMTKN-1-{self.id}-{role}-{self.rotations[role]}"

    def role_of(self, token: str) -> str | None:
        """The role that a token gives, None where it is not valid (any more)."""
        return next((role for role in self.rotations if token == self.token(role)), None)

    def managers(self) -> list[Member]:
        """Those that are up; the first is the leader."""
        return [one for one in self.members.values() if one.role == "manager" and one.up]

    @property
    def has_quorum(self) -> bool:
        """More than half of all managers are up."""
        every = [one for one in self.members.values() if one.role == "manager"]
        return 2 * len(self.managers()) > len(every)


class Refused(Exception):
    """The engine's answer."""


class ToySwarms:
    """All Swarms there are: one, if the script is right. Call it as the `docker` command."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._number = itertools.count(1)
        self.swarms: dict[str, Swarm] = {}
        self.joined: dict[str, tuple[str, str]] = {}
        """Swarm and node of each instance's engine."""
        self.states: dict[str, str] = {}
        """A LocalNodeState other than what membership says."""
        self.networks: dict[str, set[str]] = {}
        """Those that each engine has made for itself."""
        self.logins: dict[str, str] = {}
        """The password that each engine last gave to a registry."""
        self.init_seconds = 0.0
        self.calls: list[str] = []

    def __call__(self, arguments: Sequence[str], stdin: str, environ: Mapping[str, str]) -> Answer:
        engine = environ["INSTANCE_ID"]
        options = dict(itertools.pairwise(arguments))
        self.calls.append(f"{engine} {' '.join(arguments)}")
        if arguments[:2] == ["swarm", "init"]:
            time.sleep(self.init_seconds)  # so that whoever does not ask first would come in between
        with self._lock:
            try:
                return 0, self._answer(engine, list(arguments), options, stdin), ""
            except Refused as error:
                return 1, "", f"Error response from daemon: {error}\n"

    # What tests do to machines

    def found(self, instance: str, address: str) -> Swarm:
        """`docker swarm init` by hand."""
        with self._lock:
            swarm = Swarm(f"swarm{next(self._number)}")
            self.swarms[swarm.id] = swarm
            self._add(swarm, instance, address, "manager")
            return swarm

    def lose(self, instance: str) -> None:
        """The machine dies."""
        with self._lock:
            swarm, node = self.joined.pop(instance)
            self.swarms[swarm].members[node].up = False

    # The engine

    def _answer(self, engine: str, words: list[str], options: Mapping[str, str], stdin: str) -> str:
        match words:
            case ["info", "--format", shape]:
                return self._info(engine, shape)
            case ["swarm", "init", *_]:
                self._need_outside(engine)
                return self.found(engine, options["--advertise-addr"]).id
            case ["swarm", "join", *_, target]:
                return self._join(engine, options["--token"], options["--advertise-addr"], target)
            case ["swarm", "leave", "--force"]:
                return self._leave(engine)
            case ["login", *_]:
                self.logins[engine] = stdin.strip()
                return "Login Succeeded\n"
            case ["network", what, *_] if "--scope" not in words:
                return self._network(engine, what, words[-1])
        return self._manage(engine, self._managed(engine), words)

    def _network(self, engine: str, what: str, name: str) -> str:
        swarm, _ = self._membership(engine)
        own = self.networks.setdefault(engine, set())
        if what == "create":
            own.add(name)
        elif name not in own | (swarm.networks if swarm else set()):
            raise Refused(f"network {name} not found")
        return name

    def _manage(self, engine: str, swarm: Swarm, words: list[str]) -> str:
        """What only a manager answers."""
        match words:
            case ["network", "create", *_, name]:
                swarm.networks.add(name)
                return name
            case ["service", *rest]:
                return self._service(engine, swarm, rest)
            case ["swarm", "join-token", "--quiet", *rotate, role]:
                swarm.rotations[role] += len(rotate)
                return swarm.token(role) + "\n"
            case ["node", "ls", "--format", shape]:
                return "".join(_row(swarm, member, shape) for member in swarm.members.values())
            case ["node", "inspect", "self", "--format", "{{.ManagerStatus.Leader}}"]:
                return f"{swarm.managers()[0].instance == engine}\n".lower()
            case ["node", "inspect", node, "--format", _]:
                return swarm.members[node].instance + "\n"
            case ["node", "demote", node]:
                swarm.members[node].role = "worker"
                return ""
            case ["node", "rm", "--force", node]:
                if swarm.members[node].role == "manager":
                    raise Refused("node is a cluster manager and is a member of the raft cluster")
                del swarm.members[node]
                return ""
        raise Refused(f"the toy has no {words}")

    def _service(self, engine: str, swarm: Swarm, words: list[str]) -> str:
        match words:
            case ["ls", "--format", _]:
                return "".join(f"{name} {service.image}\n" for name, service in swarm.services.items())
            case ["inspect", name, "--format", _]:
                return swarm.services[name].doing + "\n"
            case ["update", "--quiet", "--detach", "--with-registry-auth", name]:
                swarm.services[name].login = self.logins[engine]
                return ""
        raise Refused(f"the toy has no service {words}")

    def _info(self, engine: str, shape: str) -> str:
        swarm, member = self._membership(engine)
        manages = bool(member and member.role == "manager")
        if shape == "{{.Swarm.Cluster.ID}}":
            return f"{swarm.id if swarm and manages else ''}\n"
        state = self.states.get(engine) or ("active" if member else "inactive")
        return f"{state} {str(manages and state == 'active').lower()}\n"

    def _membership(self, engine: str) -> tuple[Swarm | None, Member | None]:
        swarm_id, node = self.joined.get(engine, ("", ""))
        swarm = self.swarms.get(swarm_id)
        return swarm, swarm.members.get(node) if swarm else None

    def _need_outside(self, engine: str) -> None:
        if engine in self.joined:
            raise Refused("This node is already part of a swarm.")

    def _join(self, engine: str, token: str, address: str, target: str) -> str:
        self._need_outside(engine)
        host = target.removesuffix(":2377")
        for swarm in self.swarms.values():
            if any(one.address == host for one in swarm.managers()) and swarm.has_quorum:
                role = swarm.role_of(token)
                if role is None:
                    raise Refused("remote CA does not match fingerprint, or invalid join token")
                self._add(swarm, engine, address, role)
                return "This node joined a swarm.\n"
        raise Refused("Timeout was reached before node joined.")

    def _add(self, swarm: Swarm, instance: str, address: str, role: str) -> None:
        node = f"node{next(self._number)}"
        swarm.members[node] = Member(node, instance, address, role)
        self.joined[instance] = swarm.id, node

    def _leave(self, engine: str) -> str:
        self.states.pop(engine, None)
        _, member = self._membership(engine)
        if engine not in self.joined:
            raise Refused("This node is not part of a swarm")
        if member:
            member.up = False
        del self.joined[engine]
        return "Node left the swarm.\n"

    def _managed(self, engine: str) -> Swarm:
        swarm, member = self._membership(engine)
        if swarm is None or member is None or member.role != "manager":
            raise Refused("This node is not a swarm manager.")
        if not swarm.has_quorum:
            raise Refused("The swarm does not have a leader.")
        return swarm


def _row(swarm: Swarm, member: Member, shape: str) -> str:
    manager = ""
    if member.role == "manager":
        leader = swarm.managers()[:1] == [member]
        manager = "Leader" if leader else "Reachable" if member.up else "Unreachable"
    status = "Ready" if member.up else "Down"
    rows = {"{{.ID}} {{.Status}} {{.ManagerStatus}}": f"{member.id} {status} {manager}", "{{.ManagerStatus}}": manager}
    return rows[shape] + "\n"
