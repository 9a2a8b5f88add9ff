"""The judge: what must hold at every effect, at every write of a record, and when all is quiet (DESIGN section 2)."""

from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
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
OFFERED_FOR = timedelta(minutes=10)
COULD_NOT = "could not be given back"


@dataclass(frozen=True, slots=True)
class Drained:
    """A node that we took out of use: when, and which slots ran there."""

    time: float
    slots: tuple[tuple[str, int], ...]
    request: str | None


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
            self._violate(3, f"{call.process.name} sends {call.name}({call.arguments}) without holding the lease")

    def arrived(self, effect: Effect) -> None:
        """A call took effect."""
        item = self._world.leases.item
        if not effect.late and effect.changed and (item is None or item.token != effect.token):
            self._violate(3, f"{effect.kind} of {effect.target} by {effect.worker}: its token {effect.token} has gone")
        if effect.kind == "desired":
            self._check_bounds(effect)

    def _check_bounds(self, effect: Effect) -> None:
        settings, group = self._world.settings, self._world.groups.groups[effect.target]
        kind: Role = ROLES[effect.target]
        low = getattr(settings, f"default_min_{kind}_nodes")
        high = min(group.max_size, getattr(settings, f"default_max_{kind}_nodes"))
        if not low <= int(str(effect.after)) <= high:
            self._violate(4, f"desired of {group.name} set to {effect.after}, bounds {low} to {high}")

    def before_terminate(self, call: Call, instance_id: str) -> None:
        """A termination is about to take effect."""
        record = self._world.journal.records.get(call.request or "")
        named = [] if record is None else [each["instance_id"] for each in record.plan.get("leaving", ())]
        if instance_id not in named:
            self._violate(5, f"{call.request} terminates {instance_id}, but names {named}")
        node = self._world.machines.node_of(instance_id)
        if node is None or self._just_now(call, node):
            return
        if node.manager is not None and node.id not in self._world.swarm.cluster.dead:
            self._violate(7, f"{call.request} terminates {instance_id}, which is still a manager")
        self._check_nothing_runs(call, node)
        self._check_all_moved(call, node)

    def after_terminate(self, call: Call, instance_id: str) -> None:
        """A termination has taken effect."""
        cluster = self._world.swarm.cluster
        node = self._world.machines.node_of(instance_id)
        if node is not None and node.manager is not None and not cluster.quorum_without():
            self._violate(7, f"{call.request} terminates {instance_id}, and the quorum is gone")

    def _check_nothing_runs(self, call: Call, node: Node) -> None:
        cluster = self._world.swarm.cluster
        if node.id in cluster.dead:
            return
        alive = [task for job in cluster.jobs.values() if (task := cluster.task(job)).node_id == node.id and task.alive]
        for task in alive:
            self._violate(
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
                self._violate(
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
            self._violate(7, f"{call.request} demotes {node.hostname}, the last Ready manager")

    def touched(self, call: Call, node_id: str, before: Node, after: Node) -> None:
        """We changed a node's availability or role."""
        if before.availability == "active" and after.availability != "active":
            self._drained[node_id] = Drained(self._world.clockwork.now, self._slots_on(node_id), call.request)
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
            self._violate(6, f"{call.request} removes node {node_id}, whose instance lives")

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
            self._violate(3, f"{process.name} writes {record.id} with token {record.token}, {before.token} stood there")
        if before is not None and before.state.ended and before.state != record.state:
            self._violate(2, f"{record.id} was {before.state}, and is {record.state} now")
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
            self._violate(9, f"{record.id} says somebody lowered {group.name} below {record.nodes_after}: nobody did")

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
            self._violate(
                9, f"{record.id} says {claimed} nodes of {group} were Ready, there were never more than {most}"
            )
        least = max(int(record.nodes_after or 0) - len(expectation["excluded"]), 1)
        if claimed < least:
            self._violate(9, f"{record.id} succeeded with {claimed} nodes Ready, {record.nodes_after} were wanted")
        if record.nodes_after is None or record.nodes_before is None or record.nodes_after <= record.nodes_before:
            self._violate(9, f"{record.id}, an up, says from {record.nodes_before} to {record.nodes_after}")
        self._check_pass(record)

    def _most_ready(self, group: str, since: float) -> int:
        history = self._world.ready_history[group]
        before = [count for time, count in history if time <= since][-1:]
        return max([*before, *(count for time, count in history if time > since)], default=0)

    def _check_down(self, record: Record) -> None:
        ended = {effect.target for effect in self._world.evidence.of(record.id, "terminate")}
        for each in record.plan["leaving"]:
            if each["instance_id"] not in ended:
                self._violate(9, f"{record.id} says it removed {each['name']}, but did not terminate it")
            if each["node_id"] in self._world.swarm.cluster.nodes:
                self._violate(9, f"{record.id} says it removed {each['name']}, but its node is there")
        wanted = int(record.nodes_before or 0) - int(record.nodes_after or 0)
        if wanted != len(record.plan["leaving"]):
            self._violate(9, f"{record.id} names {len(record.plan['leaving'])} victims for {wanted}")

    def _check_service_scale(self, record: Record) -> None:
        if not any(after.replicas == record.plan["after"] for _, _, after in self._service_effects(record.id)):
            self._violate(9, f"{record.id} says {record.plan['after']} replicas, but did not set them")

    def _check_pass(self, record: Record) -> None:
        """Each service that is said to be rescheduled carries the value of the pass, or a later one."""
        work, key = record.plan["reschedule"], self._world.settings.reschedule_env_key
        for service in self._world.swarm.cluster.services.values():
            if (
                f"{service.name}" in record.message.partition(" are up, ")[2]
                and service.env.get(key, "") < work["stamp"]
            ):
                self._violate(9, f"{record.id} says {service.name} is rescheduled, but it was not")

    def _service_effects(self, request: str) -> list[tuple[str, Service, Service]]:
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

    # --- When all is quiet --------------------------------------------------------------------------------------

    def final(self, *, quiet: bool) -> None:
        """Everything that can only be said at the end. After an earlier violation nothing more is."""
        if self._world.evidence.violations:
            return
        if not quiet:
            self._violate(1, f"it does not end: {self._unfinished()}")
        self._check_processes()
        self._check_messages()
        self._check_keys()
        self._check_records()
        self._check_deaths()
        self._check_nodes()

    def _unfinished(self) -> str:
        world = self._world
        records = [f"{each.id} {each.state} {each.step}" for each in world.journal.records.values() if not each.settled]
        copies = [copy.message.id for copy in world.queue.copies.values()]
        missing = [s.request_id for s in world.workload.sent if s.good and s.request_id not in world.journal.records]
        return f"steps={world.clockwork.steps} records={records} queue={copies} missing={missing}"

    def _check_processes(self) -> None:
        world = self._world
        for process in world.processes:
            if process.failure is not None:
                self._violate(0, f"{process.name} ended with {process.failure!r}")
            for error in process.loop.errors:
                if not str(error.get("message")).startswith("Future exception"):
                    self._violate(0, f"{process.name}: {error}")
        for line in world.trace.unexpected:
            self._violate(8, line)
        if world.loop.errors:
            raise RuntimeError(f"seed {world.seed}: the simulation itself failed: {world.loop.errors[0]}")

    def _check_messages(self) -> None:
        world = self._world
        buried = {letter.message_id: letter for letter in world.queue.dead}
        for sent in world.workload.sent:
            letter = buried.get(sent.message_id)
            record = world.journal.records.get(sent.request_id)
            if letter is not None and (sent.good or not letter.reason):
                self._violate(1, f"{sent.message_id} was dead-lettered: {letter.reason}")
            elif letter is None and not sent.good:
                self._violate(1, f"{sent.message_id} can never be valid, and was not dead-lettered")
            elif sent.good and (record is None or not record.state.ended or not record.message):
                self._violate(1, f"{sent.message_id} has no ended record with a reason")

    def _check_keys(self) -> None:
        """Of the requests with one key all but one are duplicates."""
        world, by_key = self._world, defaultdict(set)
        for sent in world.workload.sent:
            if sent.key is not None and "requested_at" not in sent.body:
                by_key[sent.key].add(sent.request_id)
        for key, ids in by_key.items():
            first = [each for each in sorted(ids) if world.journal.records[each].duplicate_of is None]
            if len(first) > 1:
                self._violate(2, f"{', '.join(first)} carry the same key {key}, and all count")

    def _check_records(self) -> None:
        for record in self._world.journal.records.values():
            self._check_effects(record)
            self._check_notified(record)

    def _check_effects(self, record: Record) -> None:
        evidence = self._world.evidence
        raised = evidence.of(record.id, "desired")
        if any(self._again(one, other) for one, other in pairwise(raised)):
            told = [(effect.before, effect.after, "late" if effect.late else "") for effect in raised]
            self._violate(2, f"{record.id} set desired {len(raised)} times: {told}")
        ended = Counter(effect.target for effect in evidence.of(record.id, "terminate"))
        for instance_id, count in ended.items():
            if count > 1:
                self._violate(2, f"{record.id} took {instance_id} off the desired capacity {count} times")
        per_service = Counter((before.name, label) for label, before, _ in self._service_effects(record.id))
        for (service, label), count in per_service.items():
            if count > 1:
                self._violate(2, f"{record.id} changed {service} {count} times ({label})")
        changes = [*raised, *ended, *per_service, *evidence.of(record.id, "availability")]
        if record.state is State.SKIPPED and changes:
            self._violate(9, f"{record.id} was skipped, and changed something: {changes}")

    def _again(self, one: Effect, other: Effect) -> bool:
        """A second raise. Putting back one's own target after somebody else has changed it is none.

        Nor is a call in flight that was given up, repeated, and arrives after all: nothing can fence it.
        """
        if other.late and one.after == other.after:
            self._world.trace.counts["in flight: desired set again"] += 1
            return False
        between = (time for target, time in self._changes_by_people if target == one.target)
        return one.after != other.after or not any(one.time < time < other.time for time in between)

    def _check_notified(self, record: Record) -> None:
        if not record.notified and record.ended_at is not None:
            last = max((time for time, _, _ in self._world.posted), default=0.0)
            self._violate(9, f"{record.id} ended, and nobody was told (last post at {last:.0f})")

    def _check_deaths(self) -> None:
        for death in self._world.groups.deaths:
            if death.hand == "ours":
                self._violate(5, f"{death.instance_id} of {death.group} died of a desired capacity that we wrote")

    def _check_nodes(self) -> None:
        """No node that lives is left out of use, or demoted, by us."""
        world = self._world
        for node in world.swarm.cluster.nodes.values():
            drained = self._drained.get(node.id)
            if not world.machines.lives(world.machines.instances[node.id]):
                continue
            if drained is not None and node.availability != "active" and not self._excused(drained.request):
                self._violate(10, f"{node.hostname} was left {node.availability} by {drained.request}")
            if node.id in self._demoted and node.role == "worker" and not self._excused(self._demoted[node.id]):
                self._violate(10, f"{node.hostname} was left demoted by {self._demoted[node.id]}")

    def _excused(self, request: str | None) -> bool:
        """The request says so itself."""
        record = self._world.journal.records.get(request or "")
        return record is not None and COULD_NOT in record.message

    def _violate(self, invariant: int, what: str) -> None:
        self._world.trace.add("judge", "!! violation", invariant=invariant, what=what)
        self._world.evidence.violate(invariant, what)
