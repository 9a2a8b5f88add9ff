"""Trouble that waits for its moment: it strikes right at a step of the worker that chance would hardly ever hit."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from shared.records import Record
from worker.ports.swarm import Availability

if TYPE_CHECKING:
    from tests.simulation.processes import Process
    from tests.simulation.world import World

ATTEMPTS = ("limited", "windowed")
"""Services whose tasks Swarm replaces a few times only."""


class Moments:
    """What is lying in wait in one world."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._waiting: set[str] = set()
        self._luck = world.random("moments")

    def kinds(self) -> tuple[tuple[str, Callable[[], None], int], ...]:
        """The kinds of trouble, and how many of each at most."""
        return (
            ("attempts", self._fail_a_task, 4),
            ("meddle", self._meddle, 2),
            ("late-write", lambda: self._waiting.add("late-write"), 2),
            ("lost-count", lambda: self._waiting.add("lost-count"), 1),
        )

    def _comes(self, kind: str) -> bool:
        """Whether something lies in wait for this moment; if so, it does no more."""
        if kind not in self._waiting or self._world.chaos.over:
            return False
        self._waiting.discard(kind)
        return True

    # --- Tasks that Swarm will not replace for ever -------------------------------------------------------------

    def _fail_a_task(self) -> None:
        swarm, cluster = self._world.swarm, self._world.swarm.cluster
        limited = {each.id for each in cluster.services.values() if each.name in ATTEMPTS}
        running = [task for task in cluster.tasks if task.service_id in limited and task.state == "running"]
        able = [task for task in running if task.node_id is not None and cluster.lives(task.node_id)]
        if able and cluster.leader is not None:
            task = self._world.chaos.random.choice(able)
            self._world.chaos.happens("task with restart attempts fails", task=task.id)
            self._world.judge.attempt_used(task.service_id)
            swarm.fail(task.id)

    # --- People -------------------------------------------------------------------------------------------------

    def _meddle(self) -> None:
        self._waiting |= {"drain", "undo"}

    def saved(self, before: Record | None, record: Record) -> None:
        """A record was written: has it come to a step that somebody meddles with?"""
        if record.action == "scale-nodes" and record.step in {"drain", "undo"} and self._comes(record.step):
            for leaving in record.plan.get("leaving", ()):
                self._world.loop.call_later(3 * self._luck.random(), self._change, leaving["node_id"], record.step)

    def _change(self, node_id: str | None, step: str) -> None:
        """Somebody who does not know of us makes a node active, or pauses it."""
        node = self._world.swarm.cluster.nodes.get(node_id or "")
        if node is None or node.manager is not None or self._world.chaos.over:
            return
        ways: tuple[Availability, ...] = ("active", "pause")
        new = self._luck.choice([each for each in ways if each != node.availability])
        self._world.chaos.happens(f"somebody changes a node during {step}", node=node.id, to=new)
        self._world.chaos.people.set_availability(node.id, new)

    # --- The journal --------------------------------------------------------------------------------------------

    def answered(self, process: "Process") -> None:
        """The journal answers: its reader may be suspended until its lease is over, and then go on to write."""
        if self._waiting and self._world.token_of(process) is not None and self._comes("late-write"):
            lease = self._world.settings.lease_seconds.total_seconds()
            self._world.chaos.happens("suspended between reading and writing", of=process.name)
            process.pause(lease * (1.3 + 2 * self._luck.random()), suspended=True)

    def terminated(self) -> None:
        """AWS has terminated an instance: the writes after its answer may fail."""
        if self._comes("lost-count"):
            away = self._world.network.weather.away
            until = self._world.clockwork.now + 1 + 6 * self._luck.random()
            away["journal"] = max(until, away.get("journal", 0.0))
            self._world.chaos.happens("journal away after a termination", until=round(until, 1))
