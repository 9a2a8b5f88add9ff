"""The judge: what must hold at every effect and at every write of a record. The end is the verdict's business.

The invariants are numbered in `evidence`. Where something cannot be fenced (a call in flight, what somebody else does
between the worker's last look and the arrival of its call), the exception stands here, with its reason.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.messages import Role
from shared.records import Record, State
from tests.simulation.cloud import ROLES
from tests.simulation.evidence import Effect
from tests.simulation.network import Call
from worker.ports import REQUEST_LABEL, RESCHEDULE_LABEL, Node, Service

if TYPE_CHECKING:
    from tests.simulation.processes import Process
    from tests.simulation.world import World

GROUP_OF = {role: name for name, role in ROLES.items()}
MOMENT_SECONDS = 5.0
"""Between the worker's last look and the arrival of its call; what somebody else does then, nobody can see."""
LONG_SECONDS = 60.0
"""For so long a change by somebody else may explain that a number is not what it should be."""


@dataclass(frozen=True, slots=True)
class Drained:
    """A node that we took out of use: when, and which slots ran there."""

    time: float
    slots: tuple[tuple[str, int], ...]
    request: str | None
    unseen: bool
    """Somebody had only just made it active: we could not know that, and give back what we knew."""


class Judge:
    """Watches one world."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._drained: dict[str, Drained] = {}
        self._demoted: dict[str, str | None] = {}
        self._by_people: dict[str, float] = {}
        self._changes_by_people: list[tuple[str, float]] = []
        self._entered: dict[tuple[str, str], float] = {}

    # --- While it happens: calls --------------------------------------------------------------------------------

    def issued(self, call: Call) -> None:
        """A call that changes something was sent."""
        if call.token is None:
            self.violate(3, f"{call.process.name} sends {call.name}({call.arguments}) without holding the lease")

    def arrived(self, effect: Effect) -> None:
        """A call took effect."""
        item = self._world.leases.item
        if not effect.late and effect.changed and (item is None or item.token != effect.token):
            self.violate(3, f"{effect.kind} of {effect.target} by {effect.worker}: its token {effect.token} has gone")
        if effect.kind == "desired":
            self._check_bounds(effect)
        if effect.kind == "terminate":
            self._check_floor(effect)

    def _check_bounds(self, effect: Effect) -> None:
        settings, group = self._world.settings, self._world.groups.groups[effect.target]
        kind: Role = ROLES[effect.target]
        low = getattr(settings, f"default_min_{kind}_nodes")
        high = min(group.max_size, getattr(settings, f"default_max_{kind}_nodes"))
        if not low <= int(str(effect.after)) <= high:
            self.violate(4, f"desired of {group.name} set to {effect.after}, bounds {low} to {high}")

    def _check_floor(self, effect: Effect) -> None:
        name = self._world.machines.group_of[effect.target]
        low = getattr(self._world.settings, f"default_min_{ROLES[name]}_nodes")
        if int(str(effect.after)) < low and not self.changed_between(name, effect.time - LONG_SECONDS, effect.time):
            self.violate(4, f"{effect.request} takes {name} down to {effect.after}, the minimum is {low}")

    def before_terminate(self, call: Call, instance_id: str) -> None:
        """A termination is about to take effect."""
        record = self._world.journal.records.get(call.request or "")
        named = [] if record is None else [each["instance_id"] for each in record.plan.get("leaving", ())]
        if instance_id not in named:
            self.violate(5, f"{call.request} terminates {instance_id}, but names {named}")
        node = self._world.machines.node_of(instance_id)
        if node is None or self._just_now(call, node):
            return
        if node.manager is not None and node.id not in self._world.swarm.cluster.dead:
            self.violate(7, f"{call.request} terminates {instance_id}, which is still a manager")
        self._check_nothing_runs(call, node)
        self._check_all_moved(call, node)

    def after_terminate(self, call: Call, instance_id: str) -> None:
        """A termination has taken effect."""
        cluster = self._world.swarm.cluster
        node = self._world.machines.node_of(instance_id)
        if node is not None and node.manager is not None and not cluster.quorum_without():
            self.violate(7, f"{call.request} terminates {instance_id}, and the quorum is gone")

    def _check_nothing_runs(self, call: Call, node: Node) -> None:
        cluster = self._world.swarm.cluster
        if node.id in cluster.dead:
            return
        alive = [task for job in cluster.jobs.values() if (task := cluster.task(job)).node_id == node.id and task.alive]
        for task in alive:
            self.violate(
                6, f"{call.request} terminates {node.hostname}, where {task.service_id}.{task.slot} is {task.state}"
            )

    def _check_all_moved(self, call: Call, node: Node) -> None:
        cluster, drained = self._world.swarm.cluster, self._drained.get(node.id)
        for service_id, slot in drained.slots if drained is not None else ():
            service = cluster.services.get(service_id)
            if service is None or slot > service.replicas or drained is None:
                continue
            starts = cluster.starts.get((service_id, slot), [])
            if not any(where != node.id and when >= drained.time for when, where in starts):
                self.violate(
                    6, f"{call.request} terminates {node.hostname}, but {service.name}.{slot} runs nowhere yet"
                )

    def before_role(self, call: Call, node_id: str, role: Role | None) -> None:
        """A change of a role is about to take effect."""
        cluster = self._world.swarm.cluster
        node = cluster.nodes.get(node_id)
        if role != "worker" or node is None or node.manager is None or node.id in cluster.dead:
            return
        rest = [other for other in cluster.managers if other.id != node_id]
        staying = [other for other in rest if other.role == "manager" and other.ready]
        if not any(other.manager is not None and other.manager.reachable for other in staying):
            self.violate(7, f"{call.request} demotes {node.hostname}, the last Ready manager")

    def touched(self, call: Call, node_id: str, before: Node, after: Node) -> None:
        """We changed a node's availability or role."""
        if before.availability == "active" and after.availability != "active":
            now = self._world.clockwork.now
            unseen = self.changed_between(node_id, call.issued_at - MOMENT_SECONDS, now)
            self._drained[node_id] = Drained(now, self._slots_on(node_id), call.request, unseen)
        elif after.availability == "active":
            self._drained.pop(node_id, None)
        if (before.role, after.role) == ("manager", "worker"):
            self._demoted[node_id] = call.request
        elif after.role == "manager":
            self._demoted.pop(node_id, None)

    def _slots_on(self, node_id: str) -> tuple[tuple[str, int], ...]:
        cluster = self._world.swarm.cluster
        there = (job for job in cluster.jobs.values() if job.node_id == node_id and job.state == "running")
        movable = (job for job in there if job.wanted and cluster.services[job.service_id].mode == "replicated")
        return tuple(sorted({(job.service_id, job.slot) for job in movable}))

    def before_removal(self, call: Call, node_id: str) -> None:
        """A node is about to be removed from the Swarm."""
        machines, cluster = self._world.machines, self._world.swarm.cluster
        if node_id in cluster.nodes and machines.lives(machines.instances[node_id]):
            self.violate(6, f"{call.request} removes node {node_id}, whose instance lives")

    def people_changed(self, target: str) -> None:
        """Somebody else changed a node, a group or a service."""
        self._by_people[target] = self._world.clockwork.now
        self._changes_by_people.append((target, self._world.clockwork.now))
        self._drained.pop(target, None)

    def _just_now(self, call: Call, node: Node) -> bool:
        """Somebody changed the node, or it joined, when the worker had had its last look already."""
        changed = self._by_people.get(node.id, float("-inf"))
        return max(changed, self._world.machines.joined[node.id]) > call.issued_at - MOMENT_SECONDS

    # --- While it happens: records ------------------------------------------------------------------------------

    def saved(self, before: Record | None, record: Record, process: "Process") -> None:
        """A record was written."""
        now = self._world.clockwork.now
        self._world.trace.add_minor(process.name, "! saved", id=record.id, state=str(record.state), step=record.step)
        if before is not None and record.token < before.token:
            self.violate(3, f"{process.name} writes {record.id} with token {record.token}, {before.token} stood there")
        if before is not None and before.state.ended and before.state != record.state:
            self.violate(2, f"{record.id} was {before.state}, and is {record.state} now")
        if record.step is not None:
            self._entered.setdefault((record.id, record.step), now)
        if record.state is State.FAILED and "Somebody else lowered" in record.message:
            self._check_lowered(record)
        if record.state is State.SUCCEEDED and (before is None or not before.state.ended):
            self._check_success(record)

    def _check_lowered(self, record: Record) -> None:
        """Nobody is accused of what an old description only seemed to show."""
        group = self._world.groups.groups[GROUP_OF["manager" if record.type == "manager" else "worker"]]
        applied = self._entered[record.id, "wait"]
        lowest = min((seen.desired for time, seen in group.history if time >= applied), default=group.desired)
        if min(lowest, group.desired) >= int(record.nodes_after or 0):
            self.violate(9, f"{record.id} says somebody lowered {group.name} below {record.nodes_after}: nobody did")

    def _check_success(self, record: Record) -> None:
        if record.action == "scale-nodes":
            (self._check_up if record.scale == "up" else self._check_down)(record)
        elif record.action == "scale-service":
            self._check_service_scale(record)
        else:
            self._check_pass(record)

    def _check_up(self, record: Record) -> None:
        expectation, claimed = record.plan["expectation"], int(record.plan["ready"])
        group = GROUP_OF["manager" if record.type == "manager" else "worker"]
        most = self._most_ready(group, self._entered[record.id, "apply"])
        if most < claimed:
            self.violate(
                9, f"{record.id} says {claimed} nodes of {group} were Ready, there were never more than {most}"
            )
        least = max(int(record.nodes_after or 0) - len(expectation["excluded"]), 1)
        if claimed < least:
            self.violate(9, f"{record.id} succeeded with {claimed} nodes Ready, {record.nodes_after} were wanted")
        if record.nodes_after is None or record.nodes_before is None or record.nodes_after <= record.nodes_before:
            self.violate(9, f"{record.id}, an up, says from {record.nodes_before} to {record.nodes_after}")
        self._check_pass(record)

    def _most_ready(self, group: str, since: float) -> int:
        history = self._world.ready_history[group]
        before = [count for time, count in history if time <= since][-1:]
        return max([*before, *(count for time, count in history if time > since)], default=0)

    def _check_down(self, record: Record) -> None:
        ended = {effect.target for effect in self._world.evidence.of(record.id, "terminate")}
        for each in record.plan["leaving"]:
            if each["instance_id"] not in ended:
                self.violate(9, f"{record.id} says it removed {each['name']}, but did not terminate it")
            if each["node_id"] in self._world.swarm.cluster.nodes:
                self.violate(9, f"{record.id} says it removed {each['name']}, but its node is there")
        wanted = int(record.nodes_before or 0) - int(record.nodes_after or 0)
        if wanted != len(record.plan["leaving"]):
            self.violate(9, f"{record.id} names {len(record.plan['leaving'])} victims for {wanted}")

    def _check_service_scale(self, record: Record) -> None:
        if not any(after.replicas == record.plan["after"] for _, _, after in self.service_effects(record.id)):
            self.violate(9, f"{record.id} says {record.plan['after']} replicas, but did not set them")

    def _check_pass(self, record: Record) -> None:
        """Each service that is said to be rescheduled carries the value of the pass, or a later one."""
        work, key = record.plan["reschedule"], self._world.settings.reschedule_env_key
        for service in self._world.swarm.cluster.services.values():
            if (
                f"{service.name}" in record.message.partition(" are up, ")[2]
                and service.env.get(key, "") < work["stamp"]
            ):
                self.violate(9, f"{record.id} says {service.name} is rescheduled, but it was not")

    def service_effects(self, request: str) -> list[tuple[str, Service, Service]]:
        """What a request, by one of its labels, did to services: the label, and the service before and after."""
        changes = (
            (effect.before, effect.after)
            for effect in self._world.evidence.effects
            if isinstance(effect.before, Service) and isinstance(effect.after, Service)
        )
        return [
            (label, before, after)
            for before, after in changes
            for label in (REQUEST_LABEL, RESCHEDULE_LABEL)
            if before.labels.get(label) != after.labels.get(label) == request
        ]

    # --- For the verdict ----------------------------------------------------------------------------------------

    def left_out(self) -> Iterator[tuple[str, str, str | None]]:
        """Nodes that we took out of use, or demoted, and have not given back: the node, how it is, and for whom."""
        for node in self._world.swarm.cluster.nodes.values():
            drained = self._drained.get(node.id)
            if drained is not None and not drained.unseen and node.availability != "active":
                yield node.id, node.availability, drained.request
            if node.id in self._demoted and node.role == "worker":
                yield node.id, "demoted", self._demoted[node.id]

    def changed_between(self, target: str, start: float, end: float) -> bool:
        """Somebody else changed it in that time."""
        return any(where == target and start < when < end for where, when in self._changes_by_people)

    def violate(self, invariant: int, what: str) -> None:
        """Something does not hold."""
        self._world.trace.add("judge", "!! violation", invariant=invariant, what=what)
        self._world.evidence.violate(invariant, what)
