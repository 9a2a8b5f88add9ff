"""The judge: what must hold at every effect and at every write of a record. The end is the verdict's business.

The invariants are numbered in `evidence`. Where something cannot be fenced (a call in flight, what somebody else does
between the worker's last look and the arrival of its call), the exception stands here, with its reason.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from shared.messages import Role
from shared.records import Record, State
from tests.fakes.swarm import wanted
from tests.simulation.claims import LAG_SECONDS, LOOK_SECONDS, Claims
from tests.simulation.cloud import ROLES
from tests.simulation.departures import nodes_of
from tests.simulation.evidence import Effect
from tests.simulation.network import Call
from worker.ports.swarm import PROTECT_LABEL, Availability, Node, Service
from worker.ports.swarm_changes import REQUEST_LABEL, RESCHEDULE_LABEL

if TYPE_CHECKING:
    from tests.simulation.processes import Process
    from tests.simulation.world import World

MOMENT_SECONDS = 7.0
"""Between the worker's last look and the arrival of its call; what somebody else does then, nobody can see."""
NODES = {"scale-nodes", "drain-node", "replace-node"}
"""The actions of one lane."""
LONG_SECONDS = 60.0
"""For so long a change by somebody else may explain that a number is not what it should be."""


@dataclass(frozen=True, slots=True)
class Drained:
    """A node that we took out of use: when, and which slots ran there."""

    time: float
    slots: tuple[tuple[str, int], ...]
    request: str | None
    was: Availability
    """What it has to be given back as."""
    unseen: bool
    """Somebody else had only just changed it, or to what we wanted: we could not know, and give back what we knew."""


class Judge:
    """Watches one world."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._drained: dict[str, Drained] = {}
        self._demoted: dict[str, str | None] = {}
        self._by_people: dict[str, float] = {}
        self._changes_by_people: list[tuple[str, float]] = []
        self._emptied: dict[str, float] = {}
        self._back: dict[str, float] = {}
        self._attempts: dict[str, float] = {}
        self._claims = Claims(world)

    @property
    def drained(self) -> tuple[str, ...]:
        """Ids of the nodes that we have taken out of use."""
        return tuple(self._drained)

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
        if effect.changed:
            self._check_unit(effect)
            self._check_work(effect)
        if effect.kind == "desired":
            self._check_bounds(effect)
            self._check_not_lowered(effect)
        if effect.kind == "terminate":
            self._check_floor(effect)
            self._check_first(effect)

    def _check_unit(self, effect: Effect) -> None:
        name = self._world.group_of(effect)
        if name is not None and self._world.groups.groups[name].unit != "instances":
            self.violate(4, f"{effect.request} scales {name}, whose capacity is no number of instances")

    def _check_work(self, effect: Effect) -> None:
        """A job is not begun anew. Whether a task that may end has ended for good, a moment's look cannot tell."""
        service = effect.before
        if isinstance(service, Service) and service.mode.endswith("job"):
            self.violate(6, f"{effect.request} makes {service.name} begin anew, which is a job")

    def _check_bounds(self, effect: Effect) -> None:
        settings, group = self._world.settings, self._world.groups.groups[effect.target]
        kind: Role = ROLES[effect.target]
        low = max(group.min_size, getattr(settings, f"default_min_{kind}_nodes"))
        high = min(group.max_size, getattr(settings, f"default_max_{kind}_nodes"))
        if not low <= int(str(effect.after)) <= high:
            self.violate(4, f"desired of {group.name} set to {effect.after}, bounds {low} to {high}")

    def _check_not_lowered(self, effect: Effect) -> None:
        """A raise lowers only where it comes late, or where somebody else has raised: nothing can fence either."""
        if int(str(effect.after)) >= int(str(effect.before)):
            return
        if effect.late:
            self._world.trace.counts["in flight: desired lowered"] += 1
            return
        since = effect.time - LONG_SECONDS
        late = (each for each in self._world.evidence.effects if each.late and each.time > since)
        by_others = self.changed_between(effect.target, since, effect.time)
        if not by_others and not any(self._world.group_of(each) == effect.target for each in late):
            what = f"{effect.target} from {effect.before} to {effect.after}"
            self.violate(5, f"{effect.request} lowers {what} by a number")

    def _check_first(self, effect: Effect) -> None:
        """Each call for an instance takes its part of the capacity, also one for an instance that is going already."""
        for each in self._world.evidence.effects:
            if each is not effect and (each.kind, each.target) == (effect.kind, effect.target) and each.changed:
                self.violate(2, f"{effect.request} takes {effect.target} off the capacity, {each.request} did before")

    def _check_floor(self, effect: Effect) -> None:
        name = self._world.machines.group_of[effect.target]
        low = getattr(self._world.settings, f"default_min_{ROLES[name]}_nodes")
        if int(str(effect.after)) < low and not self.changed_between(name, effect.issued_at - LAG_SECONDS, effect.time):
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
        drained = self._drained.get(node.id)
        if not node.ready and node.id in self._world.machines.nodes_in_doubt:
            return  # its node is down, and another one says that it is the instance
        if drained is None and node.availability == "drain" and node.id in self._by_people:
            return  # somebody else drained it after us, unseen between two looks: what ran there stopped by their hand
        if drained is None:
            self.violate(6, f"{call.request} terminates {node.hostname}, which was not drained")
        elif self._emptied.get(node.id, float("-inf")) < call.issued_at - LOOK_SECONDS:
            missing = ", ".join(self._missing(drained)) or "nobody has looked for its tasks of late"
            self.violate(6, f"{call.request} terminates {node.hostname}: {missing}")

    def looked(self) -> None:
        """A worker reads the tasks: which drained nodes are empty now, with all of their slots running elsewhere?"""
        for node_id, drained in self._drained.items():
            if not any(True for _ in self._missing(drained)):
                self._emptied[node_id] = self._world.clockwork.now

    def _missing(self, drained: Drained) -> Iterator[str]:
        """The slots that are still wanted and run on no node but those that are on their way out."""
        cluster = self._world.swarm.cluster
        leaving = {node for node, other in self._drained.items() if other.request == drained.request}
        places: dict[str, dict[int, set[str | None]]] = {}
        """Service ids, their wanted slots, and the nodes on which the task of a slot runs (none: it does not yet)."""
        for task in filter(wanted, cluster.tasks):
            running = places.setdefault(task.service_id, {}).setdefault(task.slot, set())
            running |= {task.node_id} if task.state == "running" else set()
        completed = {(task.service_id, task.slot) for task in cluster.tasks if task.state == "complete"}
        newest = {(task.service_id, task.slot): task for task in cluster.tasks}
        failed = {slot for slot, task in newest.items() if task.state == "failed"}
        for service_id, slot in drained.slots:
            if (service_id, slot) in completed:
                continue  # it ran elsewhere, and has finished
            service, slots = cluster.services.get(service_id), places.get(service_id, {})
            if (service_id, slot) in failed:
                continue  # it has ended by itself, and has no attempt left
            given_up = service is not None and slot not in slots and len(slots) >= service.replicas
            if service is not None and not given_up and not slots.get(slot, set()) - leaving:
                yield f"{service.name}.{slot} runs nowhere else"

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
        """We changed a node's availability or role, or set it to what somebody else had set it to already.

        Who makes a node active that we are draining, and drains it again between two looks, leaves us nothing to see:
        then what runs there when we set it once more is what has to move. So it is with a node that an earlier request
        has left drained: what ran there then has had its own fate elsewhere since.
        """
        if not self._world.machines.is_ours(node_id) and not self._asked_for(call, before):
            self.violate(5, f"{call.request} changes node {node_id}, which is no instance of our groups")
        known, same = self._drained.get(node_id), before.availability == after.availability
        back = known is not None and not same and (before.availability, after.availability) == ("drain", known.was)
        if after.availability == "active" or back:
            self._drained.pop(node_id, None)
        elif known is None or (known.request != call.request and (not same or self._has_ended(known.request))):
            now = self._world.clockwork.now
            unseen = same or self.changed_between(node_id, call.issued_at - MOMENT_SECONDS, now)
            slots = self._slots_on(node_id)
            self._emptied.pop(node_id, None)
            self._drained[node_id] = Drained(now, slots, call.request, before.availability, unseen)
        if (before.availability, after.availability) != ("drain", "drain") and after.availability == "drain":
            self._check_nothing_cut_off(call, node_id)
        if not same:
            self._world.departures.touched(call, node_id)
        if (before.role, after.role) == ("manager", "worker"):
            self._demoted[node_id] = call.request
        elif after.role == "manager":
            self._demoted.pop(node_id, None)

    def _has_ended(self, request: str | None) -> bool:
        record = self._world.journal.records.get(request or "")
        return record is not None and record.state.ended

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

    def _slots_on(self, node_id: str) -> tuple[tuple[str, int], ...]:
        services, tasks = self._world.swarm.cluster.services, self._world.swarm.running_on(node_id)
        movable = (task for task in tasks if wanted(task) and services[task.service_id].mode == "replicated")
        return tuple(sorted({(task.service_id, task.slot) for task in movable}))

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
        self._drained.pop(target, None)

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
        self._take_over(record)
        self._world.departures.saved(before, record)
        self._claims.written(before, record, process)

    def _take_over(self, record: Record) -> None:
        """A departure takes nodes over as they are, and has to give them back as they were."""
        if record.plan.get("forced") is True and not record.state.ended:
            for node_id in nodes_of(record):
                if (drained := self._drained.get(node_id)) is not None:
                    self._drained[node_id] = replace(drained, request=record.id)
                if node_id in self._demoted:
                    self._demoted[node_id] = record.id

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

    def left_out(self) -> Iterator[tuple[str, str, str | None]]:
        """Nodes that we took out of use, or demoted, and have not given back: the node, how it is, and for whom."""
        for node in self._world.swarm.cluster.nodes.values():
            drained = self._drained.get(node.id)
            if drained is not None and not drained.unseen and node.availability not in {drained.was, "active"}:
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


def _collide(record: Record, other: Record) -> bool:
    """Whether two requests must not be under way together."""
    if not NODES & {record.action, other.action}:
        return record.service is not None and record.service == other.service
    if not {record.action, other.action} <= NODES:
        return False
    together = record.scale == other.scale == "up" and record.type == other.type
    return not (together and other.step in {"apply", "wait", "reschedule"})
