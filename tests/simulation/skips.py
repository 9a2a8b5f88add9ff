"""Why nothing was done, as records say it, held against what was so."""

from datetime import timedelta
from typing import TYPE_CHECKING

from shared.pause import Pause
from shared.records import Record
from tests.simulation.hindsight import LAG_SECONDS, LOOK_SECONDS, STEP_SECONDS, Hindsight, group_of, kind_of
from worker.ports.storage import PauseMemory
from worker.ports.swarm import Service
from worker.requests.events import EVENTS

if TYPE_CHECKING:
    from tests.simulation.processes import Process
    from tests.simulation.world import World

PAUSE = "the pause"
"""As the journal in memory calls it."""


class Skips(Hindsight):
    """Judges why requests were skipped."""

    def __init__(self, world: "World", entered: dict[tuple[str, str], float]) -> None:
        super().__init__(world, entered)
        self._paused: tuple[Pause, float] | None = None
        """The pause that stands in the table, and since when somebody has seen it there."""

    def check(self, record: Record, process: "Process") -> None:
        """There was nothing to do, it is said."""
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

    def check_not_paused(self, record: Record, process: "Process") -> None:
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
        """A node was drained already, or was not: when it was looked at, whoever has changed it since."""
        cluster = self._world.swarm.cluster
        for node in cluster.nodes.values():
            if node.hostname != record.node or record.duplicate_of is not None:
                continue
            if self._world.machines.joined.get(node.id, 0.0) > self._world.clockwork.now - LOOK_SECONDS:
                continue  # its machine has joined anew since: another node was meant
            of_late = self._world.availabilities(node.id, self._world.clockwork.now - LOOK_SECONDS)
            if ("already drained" in record.message) not in {each == "drain" for each in of_late}:
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
            group, kind = self._world.groups.groups[group_of(record)], kind_of(record)
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
