"""The workers as processes: the orchestrator keeps enough of them, and something strikes them between any two steps."""

from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING

from tests.simulation.loops import SimulatedLoop
from tests.simulation.processes import Process

if TYPE_CHECKING:
    from tests.simulation.world import World

STRIKES = ("crash", "pause", "suspend", "stop")
LOOK_SECONDS = 2.0
"""How often the orchestrator looks whether all workers are there."""


class Orchestrator:
    """Starts workers, and ends them, in one world."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.most = 1
        """How many workers there should be."""
        self._started = 0
        self._luck_of_starts = world.random("starts")
        self._strikes = [strike for strike in STRIKES if world.profile.has(strike)]
        self._luck_of_strikes = world.random("strikes")
        self._between = self._luck_of_strikes.choice((300, 1000, 3000))
        self._handles_left = self._next_strike()
        self._struck = 0

    def before_step(self, loop: SimulatedLoop) -> bool:
        """Between any two handles of a worker something may strike it."""
        if loop is self._world.loop or self._world.chaos.over or not self._strikes:
            return True
        self._handles_left -= 1
        if self._handles_left > 0:
            return True
        self._handles_left = self._next_strike()
        self._struck += 1
        process, kind = self._process_of(loop), self._luck_of_strikes.choice(self._strikes)
        if self._world.decides(f"strike-{self._struck}", f"{kind} of {process.name} at {loop.time():.3f} s"):
            self._world.chaos.random = self._world.random(f"strike-{self._struck}")
            self._strike(process, kind)
        return not loop.asleep

    def _next_strike(self) -> int:
        return 1 + int(self._luck_of_strikes.expovariate(1 / self._between))

    def _process_of(self, loop: SimulatedLoop) -> Process:
        return next(process for process in self._world.processes if process.loop is loop)

    def _strike(self, process: Process, kind: str) -> None:
        lease = self._world.settings.lease_seconds.total_seconds()
        self._world.trace.counts[f"process: {kind}"] += 1
        if kind == "crash":
            self._world.trace.add(process.name, "* crash")
            process.crash()
        elif kind == "stop":
            self._world.trace.add(process.name, "* SIGTERM")
            process.stop()
        else:
            seconds = self._random.choice((0.3, 1.2, 3.0)) * lease * (0.5 + self._random.random())
            self._world.trace.add(process.name, f"* {kind}", seconds=round(seconds, 1))
            process.pause(seconds, suspended=kind == "suspend")

    def look(self) -> None:
        """The orchestrator: as many workers as there should be, each on a manager that lives."""
        world, cluster = self._world, self._world.swarm.cluster
        for process in world.processes:
            node = cluster.nodes.get(process.node_id)
            if process.alive and (node is None or node.manager is None) and not process.stopping:
                world.trace.add(process.name, "* SIGTERM", why="its node is no manager any more")
                process.stop()
        missing = self.most - sum(process.alive for process in world.processes)
        for _ in range(missing):
            if not world.processes or self._world.chaos.over or self._luck_of_starts.random() < 0.3:
                self._start(self._luck_of_starts)
        world.loop.call_later(LOOK_SECONDS, self.look)

    def _start(self, random: Random) -> None:
        world, cluster = self._world, self._world.swarm.cluster
        able = [node.id for node in cluster.managers if cluster.lives(node.id) and node.role == "manager"]
        if not able:
            return
        self._started += 1
        process = Process(world, f"worker-{self._started}", random.choice(able), 1e5 * random.random())
        process.clock.offset = timedelta(seconds=random.uniform(-0.2, 0.2))
        world.processes.append(process)
        world.trace.add(process.name, "* starts", node=process.node_id)
        process.start()

    def node_lost(self, node_id: str) -> None:
        """A machine has died, and the workers on it with it."""
        for process in self._world.processes:
            if process.alive and process.node_id == node_id:
                self._world.trace.add(process.name, "* dies with its node")
                self._world.trace.counts["process: crash"] += 1
                process.crash()

    def step_clock(self) -> None:
        """The wall clock of a worker's machine jumps."""
        alive = [process for process in self._world.processes if process.alive]
        if alive:
            process = self._random.choice(alive)
            by = self._random.choice((0.5, 3.0, 20.0)) * self._random.uniform(-1, 1)
            process.clock.offset += timedelta(seconds=by)
            self._world.chaos.happens("clock steps", of=process.name, by=round(by, 2))

    @property
    def _random(self) -> Random:
        """Of the trouble in hand."""
        return self._world.chaos.random
