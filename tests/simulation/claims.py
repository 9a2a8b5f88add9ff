"""What records say, held against what was so at that moment.

The worker can only know what it has read, and some of that is old: Describe lags, and others change things between
its last look and its word. How much is forgiven for that, and why, stands with each claim.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

from shared.records import Record, State
from tests.simulation.failures import Failures
from tests.simulation.hindsight import LAG_SECONDS, LOOK_SECONDS, STEP_SECONDS, Hindsight, group_of
from tests.simulation.processes import START
from tests.simulation.skips import Skips
from tests.simulation.successes import Successes
from worker.requests.events import EVENTS, instance_of

if TYPE_CHECKING:
    from tests.simulation.processes import Process
    from tests.simulation.world import World


class Claims(Hindsight):
    """Judges what is written into records."""

    def __init__(self, world: "World") -> None:
        super().__init__(world, {})
        self._successes = Successes(world, self._entered)
        self._failures = Failures(world, self._entered)
        self._skips = Skips(world, self._entered)

    def written(self, before: Record | None, record: Record, process: "Process") -> None:
        """A record was written, and says more than before."""
        if record.dry_run:
            return  # it has changed nothing, which is judged at the end
        begins = record.started_at is not None and (before is None or before.started_at is None)
        if record.action == "scale-nodes" and begins and record.state is not State.SKIPPED:
            self._skips.check_not_paused(record, process)
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
                self._successes.check(record)
            case State.FAILED:
                self._failures.check(record)
            case _:
                self._skips.check(record, process)
        if record.state is not State.SKIPPED and record.action not in EVENTS:
            self._check_not_stale(record)

    def _check_base(self, record: Record) -> None:
        """The number a scale began from was the desired capacity, whatever Describe showed.

        A scale-up that is about to be raised together with others begins from the highest of their targets. Exactly,
        where only we have changed it of late; else it is one of those that Describe may have shown.
        """
        group = self._world.groups.groups[group_of(record)]
        since = self._began(record) - LAG_SECONDS
        allowed = {max(group.desired, *self._promised(record))}
        if self._others_changed(group.name, since):
            allowed |= self._seen_desired(group.name, since)
        if record.nodes_before not in allowed:
            self._violate(f"{record.id} says {group.name} was at {record.nodes_before}, it was at {sorted(allowed)}")

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
        claimed, group = int(record.plan["ready"]), group_of(record)
        most = max(self._seen_ready(group, LOOK_SECONDS))
        if most + self._strays() < claimed:
            self._violate(f"{record.id} says {claimed} nodes of {group} are Ready, of late there were {most} at most")
        least = max(int(record.nodes_after or 0) - len(record.plan["expectation"]["excluded"]), 1)
        if claimed < least:
            self._violate(f"{record.id} is content with {claimed} nodes Ready, {record.nodes_after} were wanted")

    def _check_not_stale(self, record: Record) -> None:
        age = (record.started_at or START) - record.requested_at
        if age > self._world.settings.request_max_age + timedelta(seconds=STEP_SECONDS):
            self._violate(f"{record.id} was begun {age} after it was requested")


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
