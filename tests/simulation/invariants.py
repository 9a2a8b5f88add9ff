"""The judge: what must hold at every effect and at every write of a record. The end is the verdict's business.

The invariants are numbered in `evidence`. Where something cannot be fenced (a call in flight, what somebody else does
between the worker's last look and the arrival of its call), the exception stands here, with its reason.
"""

from typing import TYPE_CHECKING

from shared.fields import Role
from shared.records import Record, State
from tests.fakes.swarm import wanted
from tests.simulation.capacity_rules import CapacityRules
from tests.simulation.claims import Claims
from tests.simulation.drained_nodes import DrainedNodes
from tests.simulation.evidence import Effect
from tests.simulation.hindsight import LOOK_SECONDS, MOMENT_SECONDS
from tests.simulation.network import Call
from worker.ports.swarm import PROTECT_LABEL, Node, Service
from worker.ports.swarm_changes import REQUEST_LABEL, RESCHEDULE_LABEL

if TYPE_CHECKING:
    from tests.simulation.processes import Process
    from tests.simulation.world import World

NODES = {"scale-nodes", "drain-node", "replace-node"}
"""The actions of one lane."""


class Judge:
    """Watches one world."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.drained = DrainedNodes(world)
        """The nodes that we have taken out of use."""
        self._capacity = CapacityRules(world)
        self._by_people: dict[str, float] = {}
        self._changes_by_people: list[tuple[str, float]] = []
        self._back: dict[str, float] = {}
        self._attempts: dict[str, float] = {}
        self._claims = Claims(world)

    def attempt_used(self, service_id: str) -> None:
        """A task has failed: Swarm may not replace the next one of its slot."""
        self._attempts[service_id] = self._world.clockwork.now

    # --- While it happens: calls --------------------------------------------------------------------------------

    def issued(self, call: Call) -> None:
        """A call that changes something was sent."""
        if call.token is None:
            self.violate(3, f"{call.process.name} sends {call.name}({call.arguments}) without holding the lease")
        elif call.deadline > call.process.proved_until + 0.001:
            self.violate(3, f"{call.process.name} sends {call.name}({call.arguments}), which may outlast its lease")

    def arrived(self, effect: Effect) -> None:
        """A call took effect."""
        item = self._world.leases.item
        if not effect.late and effect.changed and (item is None or item.token != effect.token):
            self.violate(3, f"{effect.kind} of {effect.target} by {effect.worker}: its token {effect.token} has gone")
        self._capacity.check(effect)

    def before_terminate(self, call: Call, instance_id: str) -> None:
        """A termination is about to take effect."""
        record = self._world.journal.records.get(call.request or "")
        named = [] if record is None else [each["instance_id"] for each in record.plan.get("leaving", ())]
        if instance_id not in named:
            self.violate(5, f"{call.request} terminates {instance_id}, but names {named}")
        node = self._world.machines.node_of(instance_id)
        if node is None or self._just_now(call, node):
            return
        self._check_claims(call, instance_id, node)
        if node.labels.get(PROTECT_LABEL) == "true":
            self.violate(5, f"{call.request} terminates {node.hostname}, which is protected")
        if node.manager is not None and self._world.swarm.cluster.lives(node.id):
            self.violate(7, f"{call.request} terminates {instance_id}, which is still a manager")
        self._check_nothing_runs(call, node)
        self._check_all_moved(call, node)

    def _check_claims(self, call: Call, instance_id: str, node: Node) -> None:
        """Of two Ready nodes that say they are an instance, nobody knows which is."""
        machines, moment = self._world.machines, call.issued_at - MOMENT_SECONDS
        others = [each for each, claimed in machines.baked.items() if claimed == instance_id]
        disputed = [each for each in others if self._world.fine_since.get(each, call.issued_at) < moment]
        if disputed and node.ready:
            self.violate(5, f"{call.request} terminates {instance_id}, which {node.id} and {disputed[0]} claim")

    def after_terminate(self, call: Call, instance_id: str) -> None:
        """A termination has taken effect."""
        cluster = self._world.swarm.cluster
        node = self._world.machines.node_of(instance_id)
        if node is not None and node.manager is not None and not cluster.has_quorum:
            self.violate(7, f"{call.request} terminates {instance_id}, and the quorum is gone")

    def _check_nothing_runs(self, call: Call, node: Node) -> None:
        cluster = self._world.swarm.cluster
        if not cluster.lives(node.id):
            return
        for task in cluster.tasks:
            if task.node_id != node.id or not task.alive:
                continue
            self.violate(
                6, f"{call.request} terminates {node.hostname}, where {task.service_id}.{task.slot} is {task.state}"
            )

    def _check_all_moved(self, call: Call, node: Node) -> None:
        """All that ran there ran elsewhere, and somebody has looked, shortly before."""
        drained = self.drained.get(node.id)
        if not node.ready and node.id in self._world.machines.nodes_in_doubt:
            return  # its node is down, and another one says that it is the instance
        if drained is None and node.availability == "drain" and node.id in self._by_people:
            return  # somebody else drained it after us, unseen between two looks: what ran there stopped by their hand
        if drained is None:
            self.violate(6, f"{call.request} terminates {node.hostname}, which was not drained")
        elif not self.drained.was_empty(node.id, call.issued_at - LOOK_SECONDS):
            missing = ", ".join(self.drained.missing(drained)) or "nobody has looked for its tasks of late"
            self.violate(6, f"{call.request} terminates {node.hostname}: {missing}")

    def before_role(self, call: Call, node_id: str, role: Role | None) -> None:
        """A change of a role is about to take effect."""
        cluster = self._world.swarm.cluster
        node = cluster.nodes.get(node_id)
        if role != "worker" or node is None or node.manager is None or not cluster.lives(node_id):
            return
        rest = [other for other in cluster.managers if other.id != node_id]
        staying = [other for other in rest if other.role == "manager" and other.ready]
        if not any(other.manager is not None and other.manager.reachable for other in staying):
            self.violate(7, f"{call.request} demotes {node.hostname}, the last Ready manager")

    def touched(self, call: Call, node_id: str, before: Node, after: Node) -> None:
        """We changed a node's availability or role, or set it to what somebody else had set it to already."""
        if not self._world.machines.is_ours(node_id) and not self._asked_for(call, before):
            self.violate(5, f"{call.request} changes node {node_id}, which is no instance of our groups")
        self.drained.touched(call, node_id, before, after)
        if (before.availability, after.availability) != ("drain", "drain") and after.availability == "drain":
            self._check_nothing_cut_off(call, node_id)
        if before.availability != after.availability:
            self._world.departures.touched(call, node_id)

    def _asked_for(self, call: Call, node: Node) -> bool:
        """Somebody has named just this node, whose ever it is."""
        record = self._world.journal.records.get(call.request or "")
        return record is not None and record.request.get("node") in {node.id, node.hostname}

    def _check_nothing_cut_off(self, call: Call, node_id: str) -> None:
        """A drain stops jobs, and what never restarts, for good."""
        cluster = self._world.swarm.cluster
        record = self._world.journal.records.get(call.request or "")
        if not cluster.lives(node_id) or (record is not None and record.plan.get("forced") is True):
            return  # what a departure cuts off is judged by `departures`
        for task in self._world.swarm.running_on(node_id):
            service = cluster.services[task.service_id]
            lasts = service.mode == "global" or (service.mode == "replicated" and self._world.swarm.refills(task.id))
            if service.local_volumes:
                self.violate(6, f"{call.request} drains {node_id}, where {service.name} writes a local volume")
            just_failed = self._attempts.get(service.id, float("-inf")) > call.issued_at - MOMENT_SECONDS
            if wanted(task) and not lasts and not just_failed:
                self.violate(6, f"{call.request} drains {node_id}, which cuts {service.name}.{task.slot} off")

    def before_removal(self, call: Call, node_id: str) -> None:
        """A node is about to be removed from the Swarm."""
        machines, cluster = self._world.machines, self._world.swarm.cluster
        if node_id in cluster.nodes and not machines.is_ours(node_id):
            self.violate(6, f"{call.request} removes node {node_id}, which is no instance of our groups")
        elif node_id in cluster.nodes and self._was_down(call, node_id) and machines.goes(node_id):
            return  # a hook holds its machine, which will not come back
        elif node_id in cluster.nodes and machines.lives(machines.claimed_by(node_id)):
            self.violate(6, f"{call.request} removes node {node_id}, whose instance lives")

    def _was_down(self, call: Call, node_id: str) -> bool:
        """At the last look: it may have come back since."""
        back = self._back.get(node_id, float("-inf"))
        return self._world.swarm.cluster.nodes[node_id].state == "down" or back > call.issued_at - MOMENT_SECONDS

    def came_back(self, node_id: str) -> None:
        """The machine of a Down node is there again."""
        self._back[node_id] = self._world.clockwork.now

    def people_changed(self, target: str) -> None:
        """Somebody else changed a node, a group or a service."""
        self._by_people[target] = self._world.clockwork.now
        self._changes_by_people.append((target, self._world.clockwork.now))
        self.drained.forget(target)

    def _just_now(self, call: Call, node: Node) -> bool:
        """Somebody changed the node, or it joined or came back, when the worker had had its last look already."""
        changed, back = (known.get(node.id, float("-inf")) for known in (self._by_people, self._back))
        return max(changed, back, self._world.machines.joined[node.id]) > call.issued_at - MOMENT_SECONDS

    # --- While it happens: records ------------------------------------------------------------------------------

    def saved(self, before: Record | None, record: Record, process: "Process") -> None:
        """A record was written."""
        self._world.trace.add_minor(process.name, "! saved", id=record.id, state=str(record.state), step=record.step)
        if before is not None and record.token < before.token:
            self.violate(3, f"{process.name} writes {record.id} with token {record.token}, {before.token} stood there")
        if before is not None and before.state.ended and before.state != record.state:
            self.violate(2, f"{record.id} was {before.state}, and is {record.state} now")
        self._check_alone(before, record)
        self.drained.take_over(record)
        self._world.departures.saved(before, record)
        self._claims.written(before, record, process)

    def _check_alone(self, before: Record | None, record: Record) -> None:
        """What begins has its lane, or its service, to itself: only scale-ups wait together."""
        if record.state is not State.RUNNING or (before is not None and before.state is State.RUNNING):
            return
        for other in self._world.journal.records.values():
            if other.id != record.id and other.state is State.RUNNING and _collide(record, other):
                self.violate(3, f"{record.id} begins while {other.id} is in step {other.step}")

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

    def changed_between(self, target: str, start: float, end: float) -> bool:
        """Somebody else changed it in that time."""
        return any(where == target and start < when < end for where, when in self._changes_by_people)

    def violate(self, invariant: int, what: str) -> None:
        """Something does not hold."""
        self._world.trace.add("judge", "!! violation", invariant=invariant, what=what)
        self._world.evidence.violate(invariant, what)


def _collide(record: Record, other: Record) -> bool:
    """Whether two requests must not be under way together."""
    if not NODES & {record.action, other.action}:
        return record.service is not None and record.service == other.service
    if not {record.action, other.action} <= NODES:
        return False
    together = record.scale == other.scale == "up" and record.type == other.type
    return not (together and other.step in {"apply", "wait", "reschedule"})
