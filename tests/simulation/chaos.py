"""Trouble: everything that goes wrong in a world, or is changed in it by people and by AWS, until it calms down."""

from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING

from tests.simulation.engines import Engines
from tests.simulation.mishaps import Mishaps
from tests.simulation.moments import Moments
from tests.simulation.network import Fate
from tests.simulation.orchestrator import Orchestrator
from tests.simulation.people import People

if TYPE_CHECKING:
    from tests.simulation.world import World

CALLS: dict[Fate, float] = {
    Fate.THROTTLED: 0.008,
    Fate.LOST: 0.003,
    Fate.UNANSWERED: 0.008,
    Fate.LATE: 0.005,
    Fate.REPEATED: 0.005,
}


class Chaos:
    """Everything that happens to the workers of a world, and beside them."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.random = world.random("chaos")
        """Of the trouble in hand: each has luck of its own, whatever became of the others."""
        self.over = False
        self.calm_since = inf
        self.engines = Engines(world)
        self.moments = Moments(world)
        self.orchestrator = Orchestrator(world)
        self.people = People(world)
        self._mishaps = Mishaps(world)

    def arrange(self) -> None:
        """Put the trouble of this world on its calendar."""
        end = self.world.profile.seconds
        for kind, trouble, most in self._kinds():
            if self.world.profile.has(kind):
                for number in range(1, self.random.randint(1, most) + 1):
                    self.plan(f"{kind}-{number}", self.random.random() * end, trouble)
        self._arrange_weather()
        for number in range(2, self.world.profile.processes + 1):
            self.orchestrator.most += self.world.decides(f"process-{number}", "one more worker process")
        self.world.loop.call_at(end, self._calm)
        self.orchestrator.look()

    def plan(self, name: str, when: float, trouble: Callable[[], None]) -> None:
        """Let something happen at a time, if the seed decides so."""
        if self.world.decides(name, f"at {when:.3f} s"):
            self.world.loop.call_at(when, self._happen, name, trouble)

    def _happen(self, name: str, trouble: Callable[[], None]) -> None:
        self.random = self.world.random(name)
        trouble()

    def _kinds(self) -> tuple[tuple[str, Callable[[], None], int], ...]:
        return (
            ("outage", self._mishaps.outage, 3),
            ("clock", self.orchestrator.step_clock, 3),
            ("kill", self._mishaps.kill, 2),
            ("rebalance", self._mishaps.rebalance, 2),
            ("refusal", self._mishaps.refuse_launches, 1),
            ("blocked", self._mishaps.block, 1),
            ("node", self._mishaps.lose_node, 2),
            ("stuck", self._mishaps.stick, 2),
            ("broken", self._mishaps.break_tasks, 1),
            ("desired", self.people.change_desired, 2),
            ("availability", self.people.change_availability, 3),
            ("replicas", self.people.change_replicas, 3),
            ("alerts", self._mishaps.deafen, 2),
            *self.engines.kinds(),
            *self.moments.kinds(),
        )

    def _arrange_weather(self) -> None:
        world, random = self.world, self.world.random("weather")
        factor, slow, lag = random.choice((0.5, 1.0, 4.0)), random.choice((1.0, 1.0, 4.0)), random.choice((5, 10, 20))
        if self._lasts("calls", f"single calls fail, {factor} times as often as usual; latencies times {slow}"):
            world.network.weather.rates = {fate: rate * factor for fate, rate in CALLS.items()}
            world.network.weather.slow = slow
        world.groups.worst_lag = float(lag) if self._lasts("lag", f"Describe lags by up to {lag} s") else 1.0
        if self._lasts("boot", "instances boot late or never"):
            world.machines.late_share, world.machines.never_share = 0.25, 0.15
        if self._lasts("messages", "messages come twice, and again after their delete"):
            world.queue.twice_share, world.queue.ghost_share = 0.1, 0.1

    def _lasts(self, kind: str, what: str) -> bool:
        """Whether trouble of a kind is there all the time."""
        return self.world.profile.has(kind) and self.world.decides(kind, what)

    def _calm(self) -> None:
        """The trouble is over: what is broken gets mended, and nothing breaks any more."""
        world = self.world
        world.trace.add("world", "= calm")
        self.over, self.calm_since = True, world.clockwork.now
        world.network.weather.clear()
        world.groups.worst_lag = 1.0
        world.machines.never_share = 0.0
        world.queue.twice_share = world.queue.ghost_share = 0.0
        world.alerts_broken = ""
        world.swarm.faults.clear()
        for group in world.groups.groups.values():
            group.refusal, group.refreshing = None, False
            group.suspended.clear()
            world.groups.follow(group.name)

    def happens(self, trouble: str, **facts: object) -> None:
        """Count it, and show it."""
        self.world.trace.counts[f"trouble: {trouble}"] += 1
        self.world.trace.add("world", f"* {trouble}", **facts)

    def later(self, least: float, most: float, action: Callable[..., None], *arguments: object) -> None:
        """Let something happen after so many seconds."""
        self.world.loop.call_later(least + (most - least) * self.random.random(), action, *arguments)

    def managers_can_spare(self) -> bool:
        """Fate is kind to quorum: without one nothing could be said about anything."""
        cluster = self.world.swarm.cluster
        alive = sum(cluster.lives(node.id) for node in cluster.managers)
        return 2 * (alive - 1) > len(cluster.managers) + 1
