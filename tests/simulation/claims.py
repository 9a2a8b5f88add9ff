"""What records say, held against what was so at that moment.

The worker can only know what it has read, and some of that is old: Describe lags, and others change things between
its last look and its word. How much is forgiven for that, and why, stands with each claim.
"""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

from shared.messages import Role
from shared.pause import Pause
from shared.records import Record, State
from tests.fakes.swarm import wanted
from tests.simulation.cloud import ROLES
from tests.simulation.processes import START
from worker.ports.storage import PauseMemory
from worker.ports.swarm import Service
from worker.requests.events import EVENTS, instance_of

if TYPE_CHECKING:
    from tests.simulation.processes import Process
    from tests.simulation.world import World

_UP = re.compile(r"^(?:1 \w+ node is|(?!1 )\d+ \w+ nodes are) up, ")
_UP_AT_THE_END = re.compile(
    r"; (?:(?P<number>1) \w+ node is|(?P<numbers>(?!1 )\d+) \w+ nodes are) up, (?P<names>.*removed)"
)
_FROM_TO = re.compile(r"from (\d+) to (\d+)")
GROUP_OF = {role: name for name, role in ROLES.items()}
LAG_SECONDS = 35.0
"""Describe lags by 20 s at most, and answers take a while; what is older everybody must have seen."""
LOOK_SECONDS = 30.0
"""Between the worker's last look and the arrival of what it writes: pauses within a lease, and calls that are late."""
PAUSE = "the pause"
"""As the journal in memory calls it."""
COULD_NOT = "could not be given back"
STEP_SECONDS = 21.0
"""A wall clock may have stepped by so much in between."""


class Claims:
    """Judges what is written into records."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._entered: dict[tuple[str, str], float] = {}
        self._paused: tuple[Pause, float] | None = None
        """The pause that stands in the table, and since when somebody has seen it there."""

    def written(self, before: Record | None, record: Record, process: "Process") -> None:
        """A record was written, and says more than before."""
        if record.dry_run:
            return  # it has changed nothing, which is judged at the end
        begins = record.started_at is not None and (before is None or before.started_at is None)
        if record.action == "scale-nodes" and begins and record.state is not State.SKIPPED:
            self._check_not_paused(record, process)
        for step in record.steps:  # a step may begin and end in one write
            self._entered.setdefault((record.id, step.name), self._world.clockwork.now)
        if record.step is not None and (before is None or before.step != record.step):
            self._entered.setdefault((record.id, record.step), self._world.clockwork.now)
            self._check_step(record)
        if record.state.ended and not (before is not None and before.state.ended):
            self._check_end(record, process)

    def _check_step(self, record: Record) -> None:
        match record.action, record.scale, record.step:
            case "scale-nodes", "up", "apply":
                self._check_base(record)
                self._check_left_out(record)
            case "scale-nodes", "up", "reschedule":
                self._check_ready(record)
            case "scale-nodes", "down", "drain":
                self._check_base(record)

    def _check_end(self, record: Record, process: "Process") -> None:
        if record.cancelled is not None and record.state is State.SUCCEEDED:
            self._violate(f"{record.id} was cancelled in time, and was done all the same")
        if record.action in {"pause", "resume", "cancel"}:
            return  # of what they steer the others' records tell
        match record.state:
            case State.SUCCEEDED:
                self._check_success(record)
            case State.FAILED:
                self._check_failure(record)
            case _:
                self._check_skip(record, process)
        if record.state is not State.SKIPPED and record.action not in EVENTS:
            self._check_not_stale(record)

    # --- Numbers of nodes ---------------------------------------------------------------------------------------

    def _check_base(self, record: Record) -> None:
        """The number a scale began from was the desired capacity, whatever Describe showed.

        A scale-up that is about to be raised together with others begins from the highest of their targets. Exactly,
        where only we have changed it of late; else it is one of those that Describe may have shown.
        """
        group = self._world.groups.groups[_group(record)]
        since = self._began(record) - LAG_SECONDS
        allowed = {max(group.desired, *self._promised(record))}
        if self._others_changed(group.name, since):
            before = [seen.desired for time, seen in group.history if time <= since][-1:]
            allowed |= {*before, *(seen.desired for time, seen in group.history if time > since)}
        if record.nodes_before not in allowed:
            self._violate(f"{record.id} says {group.name} was at {record.nodes_before}, it was at {sorted(allowed)}")

    def _began(self, record: Record) -> float:
        """When its plan was entered: now, of one that ends with its first write."""
        return self._entered.get((record.id, "plan"), self._world.clockwork.now)

    def _promised(self, record: Record) -> list[int]:
        """The targets of the scale-ups beside it that are written down, and not known to be raised to."""
        kind = (record.action, record.scale, record.type)
        return [0] + [
            int(each.nodes_after or 0)
            for each in self._world.journal.records.values()
            if each.id != record.id
            and (each.action, each.scale, each.type, each.step, each.state) == (*kind, "apply", State.RUNNING)
        ]

    def _others_changed(self, group: str, since: float) -> bool:
        """Somebody else changed the capacity, or a call of ours did of which the worker had no answer in time."""
        judge, effects, now = self._world.judge, self._world.evidence.effects, self._world.clockwork.now
        return judge.changed_between(group, since, now + 1) or any(
            effect.unheard and effect.time > since and self._world.group_of(effect) == group for effect in effects
        )

    def _check_left_out(self, record: Record) -> None:
        """Instances that are not waited for were of no use at the plan: not Ready, or not Active, or no nodes."""
        world = self._world
        for instance_id in record.plan["expectation"]["excluded"]:
            node = world.machines.node_of(instance_id)
            if instance_id in world.machines.baked.values():
                continue  # two nodes say they are it, or did
            if self._world.departures.leaves(instance_id):
                continue  # it is nobody's to count on, whatever people set
            if node is not None and world.fine_since.get(node.id, world.clockwork.now) < (
                self._began(record) - LOOK_SECONDS
            ):
                self._violate(f"{record.id} does not count {instance_id}, whose node is Ready and Active")

    def _check_ready(self, record: Record) -> None:
        claimed, group = int(record.plan["ready"]), _group(record)
        most = max(self._seen_ready(group, LOOK_SECONDS))
        if most + self._strays() < claimed:
            self._violate(f"{record.id} says {claimed} nodes of {group} are Ready, of late there were {most} at most")
        least = max(int(record.nodes_after or 0) - len(record.plan["expectation"]["excluded"]), 1)
        if claimed < least:
            self._violate(f"{record.id} is content with {claimed} nodes Ready, {record.nodes_after} were wanted")

    # --- Success ------------------------------------------------------------------------------------------------

    def _check_success(self, record: Record) -> None:
        match record.action, record.scale:
            case "scale-nodes", "up":
                self._check_up(record)
            case "scale-nodes", _:
                self._check_down(record)
            case "drain-node", _:
                self._check_drained(record)
            case "replace-node", _:
                self._check_replaced(record)
            case "scale-service", _:
                self._check_service_scale(record)
            case "node-gone", _:
                self._check_gone(record)
            case event, _ if event in EVENTS:
                return
            case _:
                self._check_pass(record)

    def _check_gone(self, record: Record) -> None:
        """Only what lives no more was removed."""
        instance = str(record.request.get("instance"))
        if "its instance" in record.message and self._world.machines.lives(instance):
            self._violate(f"{record.id} removed the node of {instance}, which lives")

    def _check_up(self, record: Record) -> None:
        if record.nodes_after is None or record.nodes_before is None or record.nodes_after <= record.nodes_before:
            self._violate(f"{record.id}, an up, says from {record.nodes_before} to {record.nodes_after}")
        self._check_pass(record)

    def _check_down(self, record: Record) -> None:
        ended = {effect.target for effect in self._world.evidence.of(record.id, "terminate")}
        for each in record.plan["leaving"]:
            if each["instance_id"] not in ended:
                self._violate(f"{record.id} says it removed {each['name']}, but did not terminate it")
            if each["node_id"] in self._world.swarm.cluster.nodes:
                self._violate(f"{record.id} says it removed {each['name']}, but its node is there")
        self._check_left(record)
        planned = _FROM_TO.search(record.message)
        wanted = int(planned[1]) - int(planned[2]) if planned else 0
        if not 0 < wanted == len(record.plan["leaving"]):
            self._violate(f"{record.id} names {len(record.plan['leaving'])} victims for {wanted}")

    def _check_drained(self, record: Record) -> None:
        """The node is as it is said to be, and empty where it is said to be drained."""
        (leaving,) = record.plan["leaving"]
        node_id, cluster = leaving["node_id"], self._world.swarm.cluster
        node = cluster.nodes.get(node_id)
        if node is None or self._changed_of_late(node_id):
            return
        back = bool(record.request.get("back"))
        if node.availability != (leaving["availability"] if back else "drain"):
            self._violate(f"{record.id} says: {record.message}, but {node.hostname} is {node.availability}")
        there = [task.id for task in cluster.tasks if task.node_id == node_id and task.alive]
        if there and not back and cluster.lives(node_id):
            self._violate(f"{record.id} says that {node.hostname} is empty, but {there} are there")

    def _check_replaced(self, record: Record) -> None:
        """The instance is gone, by our hand or another's, and the group has as many Ready nodes as it wants."""
        (leaving,) = record.plan["leaving"]
        if self._world.machines.lives(leaving["instance_id"]):
            self._violate(f"{record.id} says: {record.message}, but {leaving['instance_id']} lives")
        group = _group(record)
        wanted = int(record.nodes_after or 0) - len(record.plan["expectation"]["excluded"])
        since = self._world.clockwork.now - self._entered[record.id, "wait"]
        most = max(self._seen_ready(group, since))  # the old node was removed before that
        if most < wanted:
            self._violate(f"{record.id} says: {record.message}, but since it was removed {most} were Ready at most")
        self._check_pass(record)

    def _changed_of_late(self, target: str) -> bool:
        """Somebody else changed it, or a departure took it, so shortly before that nobody may have seen it."""
        now = self._world.clockwork.now
        return self._world.departures.took(target, now - LOOK_SECONDS) or self._world.judge.changed_between(
            target, now - LOOK_SECONDS, now + 1
        )

    def _check_left(self, record: Record) -> None:
        """How many the last termination left, whatever others did: AWS says so, in answers and activities.

        And how many are up, as it was to be seen of late; no number is told only where AWS could not be asked.
        """
        effects = self._world.evidence.of(record.id, "terminate")
        if effects and effects[-1].after != record.nodes_after:
            self._violate(f"{record.id} left {effects[-1].after}, but says {record.nodes_after}")
        told = _UP_AT_THE_END.search(record.message)
        if told is None:
            if f"; {_removed(record)}" not in record.message:
                self._violate(f"{record.id} does not say what it removed: {record.message}")
            return
        group, number = _group(record), int(told["number"] or told["numbers"])
        least, most = self._long_ready(group), max(self._seen_ready(group, LAG_SECONDS))
        if not least <= number <= most or told["names"] != _removed(record):
            self._violate(f"{record.id}: of late {least} to {most} were up, but it says: {record.message}")

    def _long_ready(self, group: str) -> int:
        """How many instances of a group live and have had their node Ready and Active in all that time.

        One that a second node claims is nobody's for the worker, and need not be counted.
        """
        machines, since = self._world.machines, self._world.clockwork.now - LAG_SECONDS
        disputed = {
            instance_id
            for node_id, instance_id in machines.baked.items()
            if machines.instances.get(node_id) != instance_id
        }
        return sum(
            not self._world.departures.leaves(instance_id) and self._world.fine_since.get(node_id, since) < since
            for node_id, instance_id in machines.instances.items()
            if machines.group_of[instance_id] == group and instance_id not in disputed
        )

    def _seen_ready(self, group: str, seconds: float) -> list[int]:
        """How many nodes of a group were Ready within the last so many seconds."""
        history, since = self._world.ready_history[group], self._world.clockwork.now - seconds
        before = [count for time, count in history if time <= since][-1:]
        return [*before, *(count for time, count in history if time > since)] or [0]

    def _check_service_scale(self, record: Record) -> None:
        """It was set, from the number and to the number that is told, unless people came in between."""
        plan, effects = record.plan, self._world.judge.service_effects(record.id)
        if not any(after.replicas == plan["after"] for _, _, after in effects):
            self._violate(f"{record.id} says {plan['after']} replicas, but did not set them")
        since = self._began(record)
        for _, before, after in effects:
            by_people = self._world.judge.changed_between(before.id, since, self._world.clockwork.now)
            if before.replicas != plan["before"] and before.replicas != after.replicas and not by_people:
                self._violate(f"{record.id} says {before.name} had {plan['before']} replicas, not {before.replicas}")

    def _check_pass(self, record: Record) -> None:
        """Each service that was to be rescheduled is named, and no task of it is older than the pass."""
        ending = {each.name for each in self._world.swarm.cluster.services.values() if not each.restarts_completed}
        named, due = set(_rescheduled(record)) - ending, set(self._to_reschedule(record))
        if named != due:
            self._violate(f"{record.id} says that {named} were rescheduled, it should have been {due}")
        key, stamp = self._world.settings.reschedule_env_key, record.plan["reschedule"]["stamp"]
        cluster = self._world.swarm.cluster
        for service in cluster.services.values():
            if service.name not in named:
                continue
            if service.env.get(key, "") < stamp:
                self._violate(f"{record.id} says {service.name} is rescheduled, but its service is not")
            for task in cluster.tasks:
                if task.service_id == service.id and wanted(task) and task.env.get(key, "") < stamp:
                    self._violate(f"{record.id} says {service.name} is rescheduled, but {task.id} is old")

    def _to_reschedule(self, record: Record) -> Iterator[str]:
        label, _, value = self._world.settings.reschedule_filter_label.partition("=")
        for service in self._world.swarm.cluster.services.values():
            lasts = service.mode in {"replicated", "global"} and service.restarts_completed
            if lasts and service.labels.get(label) == value and record.service in {None, service.name}:
                yield service.name

    def _strays(self) -> int:
        """Ready nodes of no group that say nothing of themselves: where none is matched, they count like the others."""
        ours = self._world.machines.is_ours
        nodes = self._world.swarm.cluster.nodes.values()
        return sum(node.ready and not node.engine_labels and not ours(node.id) for node in nodes)

    # --- Failure ------------------------------------------------------------------------------------------------

    def _check_failure(self, record: Record) -> None:
        self._check_given_back(record)
        self._check_unchanged(record)
        if "Somebody else lowered" in record.message:
            self._check_lowered(record)
        if "Somebody else terminated" in record.message or "Somebody else is terminating" in record.message:
            self._check_taken(record)
        known = {service.name for service in self._world.swarm.cluster.services.values()}
        if "docker inspect failed" in record.message and record.service in known:
            self._violate(f"{record.id} says that {record.service} is not there: {record.message}")

    def _check_given_back(self, record: Record) -> None:
        """What was touched in vain is as it was before the end is written down, not some time after it."""
        machines = self._world.machines
        for node_id, how, request in self._world.judge.left_out():
            lives = not machines.goes(node_id)
            if request == record.id and lives and COULD_NOT not in record.message:
                self._world.judge.violate(10, f"{record.id} has ended, and {node_id} is still {how}: {record.message}")

    def _check_unchanged(self, record: Record) -> None:
        """A down that has terminated nothing leaves the number as it was; so does a replacement of nothing."""
        ended = self._world.evidence.of(record.id, "terminate") or self._world.evidence.of(record.id, "replace")
        changed = record.scale == "up" or ended
        if (
            record.action in {"scale-nodes", "replace-node"}
            and not changed
            and record.nodes_after != record.nodes_before
        ):
            self._violate(f"{record.id} changed nothing, but says from {record.nodes_before} to {record.nodes_after}")

    def _check_lowered(self, record: Record) -> None:
        """Nobody is accused of what an old description only seemed to show."""
        group = self._world.groups.groups[_group(record)]
        planned = record.nodes_after if record.scale == "up" else record.nodes_before
        since = self._entered[record.id, "wait" if record.scale == "up" else "drain"]
        lowest = min((seen.desired for time, seen in group.history if time >= since), default=group.desired)
        ours = len(record.plan.get("terminated", ()))
        if min(lowest, group.desired) >= int(planned or 0) - ours:
            self._violate(f"{record.id} says somebody lowered {group.name} below {planned}: nobody did")

    def _check_taken(self, record: Record) -> None:
        """Nor of a termination that was ours, of this request or of an earlier one."""
        for each in record.plan["leaving"]:
            if f"terminated {each['name']} while" in record.message or f"terminating {each['name']}," in record.message:
                hands = {death.hand for death in self._world.groups.deaths if death.instance_id == each["instance_id"]}
                if not hands - {"named"}:
                    self._violate(f"{record.id} says somebody else took {each['name']}: that was us")

    def _check_not_stale(self, record: Record) -> None:
        age = (record.started_at or START) - record.requested_at
        if age > self._world.settings.request_max_age + timedelta(seconds=STEP_SECONDS):
            self._violate(f"{record.id} was begun {age} after it was requested")

    # --- Nothing to do ------------------------------------------------------------------------------------------

    def _check_skip(self, record: Record, process: "Process") -> None:
        message = record.message
        if record.cancelled is not None:
            return  # what is said then is that nothing was changed, and that is judged at the end
        if message.startswith("Paused since "):
            self._check_paused(record, process)
        elif message.startswith("Stale: "):
            age = process.clock.now() - record.requested_at
            if age < self._world.settings.request_max_age - timedelta(seconds=STEP_SECONDS):
                self._violate(f"{record.id} is said to be stale after {age}")
        elif record.action == "drain-node":
            self._check_nothing_to_drain(record)
        elif message.startswith("Cool-down: "):
            self._check_cool_down(record)
        elif record.duplicate_of is None and record.action not in EVENTS:
            self._check_bound(record)

    def _pause(self) -> Pause | None:
        """The pause that stands in the table."""
        _, memory = self._world.journal.memories.get(PAUSE, (0, PauseMemory()))
        pause: Pause | None = memory.pause
        return pause

    def _check_paused(self, record: Record, process: "Process") -> None:
        pause = self._pause()
        if pause is None and not any(each.action == "resume" for each in self._world.journal.records.values()):
            self._violate(f"{record.id} is said to be paused, and nobody has paused anything")

    def _check_not_paused(self, record: Record, process: "Process") -> None:
        """A node scale begins: no pause may have been known for long."""
        pause, now = self._pause(), self._world.clockwork.now
        if pause is None:
            self._paused = None
            return
        if self._paused is None or self._paused[0] != pause:
            self._paused = (pause, now)
        still = pause.holds(process.clock.now() + timedelta(seconds=STEP_SECONDS))
        if still and record.started_at is not None and now - self._paused[1] > LOOK_SECONDS:
            self._violate(f"{record.id} begins a node scale while the cluster is paused since {pause.since}")

    def _check_cool_down(self, record: Record) -> None:
        """Something of its kind has changed something before."""
        others = (each for each in self._world.journal.records.values() if each.id != record.id)
        alike = (each for each in others if (each.scale, each.type) == (record.scale, record.type))
        if not any(each.plan for each in alike):
            self._violate(f"{record.id} is said to cool down, but nothing of its kind was done")

    def _check_nothing_to_drain(self, record: Record) -> None:
        """A node was drained already, or is not; a person may have changed it in between."""
        cluster = self._world.swarm.cluster
        for node in cluster.nodes.values():
            if node.hostname != record.node or self._changed_of_late(node.id) or record.duplicate_of is not None:
                continue
            if self._world.machines.joined.get(node.id, 0.0) > self._world.clockwork.now - LOOK_SECONDS:
                continue  # its machine has joined anew since: another node was meant
            if ("already drained" in record.message) is not (node.availability == "drain"):
                self._violate(f"{record.id} says: {record.message}, but {node.hostname} is {node.availability}")

    def _check_bound(self, record: Record) -> None:
        low, high, number = self._bounds(record)
        if number is None:
            return  # somebody else has changed it just now
        at_bound = number >= high if "maximum" in record.message else number <= low
        if f"number of {number} " not in record.message or not at_bound:
            self._violate(f"{record.id}: {record.message}, but it is {number} of {low} to {high}")

    def _bounds(self, record: Record) -> tuple[int, int, int | None]:
        """The bounds of what a request wanted to scale, and the number, where it can be known."""
        settings, now = self._world.settings, self._world.clockwork.now
        if record.action == "scale-nodes":
            group, kind = self._world.groups.groups[_group(record)], _kind(record)
            low = max(group.min_size, getattr(settings, f"default_min_{kind}_nodes"))
            high = min(group.max_size, getattr(settings, f"default_max_{kind}_nodes"))
            since = self._began(record) - LAG_SECONDS
            return low, high, None if self._others_changed(group.name, since) else group.desired
        service = self._service(str(record.service))
        since = self._began(record) - 1
        changed = self._world.judge.changed_between(service.id, since, now + 1)
        high = int(service.labels.get("com.df.scaleMax", settings.default_max_replicas))
        return settings.default_min_replicas, high, None if changed else service.replicas

    def _service(self, name: str) -> Service:
        return next(each for each in self._world.swarm.cluster.services.values() if each.name == name)

    def _violate(self, what: str) -> None:
        self._world.judge.violate(9, what)


def same_key(records: dict[str, Record], keys: dict[str, str | None]) -> Iterator[str]:
    """Duplicates of something that they do not repeat: who is called one, and of what."""
    for record in records.values():
        first = record.duplicate_of
        if first is not None and first in records and _joined(record, records[first]):
            continue
        if first is not None and (first not in records or keys.get(first) is None or keys[first] != keys[record.id]):
            yield f"{record.id} is called a duplicate of {first}: keys {keys.get(record.id)} and {keys.get(first)}"


def _joined(record: Record, first: Record) -> bool:
    """Two causes of one departure: the later request leaves the work to the first."""
    return record.action == first.action == "node-leaving" and instance_of(record) == instance_of(first)


def _kind(record: Record) -> Role:
    return "manager" if record.type == "manager" else "worker"


def _group(record: Record) -> str:
    return GROUP_OF[_kind(record)]


def _removed(record: Record) -> str:
    return f"{', '.join(each['name'] for each in record.plan['leaving'])} removed"


def _rescheduled(record: Record) -> Iterator[str]:
    """The services that a record says it has rescheduled."""
    if record.service is not None and record.action == "reschedule-service":
        yield record.message.removeprefix("Rescheduled service: ")
        return
    for sentence in record.message.split("; "):
        told = _UP.sub("", sentence)
        if told.endswith(" rescheduled"):
            yield from told.removesuffix(" rescheduled").split(", ")
