"""Trouble: everything that goes wrong in a world, or is changed in it by people and by AWS, until it calms down."""

from collections.abc import Callable
from datetime import timedelta
from math import inf
from random import Random
from typing import TYPE_CHECKING

from tests.simulation.cloud import MANAGERS, WORKERS
from tests.simulation.engines import Engines
from tests.simulation.loops import SimulatedLoop
from tests.simulation.moments import Moments
from tests.simulation.network import Fate
from tests.simulation.processes import Process
from worker.ports.swarm import Availability

if TYPE_CHECKING:
    from tests.simulation.world import World

STRIKES = ("crash", "pause", "suspend", "stop")
LOOK_SECONDS = 2.0
"""How often the orchestrator looks whether all workers are there."""
AWAY: tuple[Availability, ...] = ("drain", "pause")
NO_CAPACITY = "We currently do not have sufficient capacity in the Availability Zone you requested"
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
        self._strikes = [strike for strike in STRIKES if world.profile.has(strike)]
        self._luck_of_strikes = world.random("strikes")
        self._between = self._luck_of_strikes.choice((300, 1000, 3000))
        self._handles_left = self._next_strike()
        self._struck = 0
        self._luck_of_starts = world.random("starts")
        self._processes = 1
        self._started = 0

    def arrange(self) -> None:
        """Put the trouble of this world on its calendar."""
        end = self.world.profile.seconds
        for kind, trouble, most in self._kinds():
            if self.world.profile.has(kind):
                for number in range(1, self.random.randint(1, most) + 1):
                    self.plan(f"{kind}-{number}", self.random.random() * end, trouble)
        self._arrange_weather()
        for number in range(2, self.world.profile.processes + 1):
            self._processes += self.world.decides(f"process-{number}", "one more worker process")
        self.world.loop.call_at(end, self._calm)
        self._look()

    def plan(self, name: str, when: float, trouble: Callable[[], None]) -> None:
        """Let something happen at a time, if the seed decides so."""
        if self.world.decides(name, f"at {when:.3f} s"):
            self.world.loop.call_at(when, self._happen, name, trouble)

    def _happen(self, name: str, trouble: Callable[[], None]) -> None:
        self.random = self.world.random(name)
        trouble()

    def _kinds(self) -> tuple[tuple[str, Callable[[], None], int], ...]:
        return (
            ("outage", self._outage, 3),
            ("clock", self._step_clock, 3),
            ("kill", self._kill, 2),
            ("rebalance", self._rebalance, 2),
            ("refusal", self._refuse_launches, 1),
            ("blocked", self._block, 1),
            ("node", self._lose_node, 2),
            ("stuck", self._stick, 2),
            ("broken", self._break, 1),
            ("desired", self._change_desired, 2),
            ("availability", self._change_availability, 3),
            ("replicas", self._change_replicas, 3),
            ("alerts", self._deafen, 2),
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

    def _later(self, least: float, most: float, action: Callable[..., None], *arguments: object) -> None:
        self.world.loop.call_later(least + (most - least) * self.random.random(), action, *arguments)

    # --- The workers themselves -----------------------------------------------------------------------------------

    def before_step(self, loop: SimulatedLoop) -> bool:
        """Between any two handles of a worker something may strike it."""
        if loop is self.world.loop or self.over or not self._strikes:
            return True
        self._handles_left -= 1
        if self._handles_left > 0:
            return True
        self._handles_left = self._next_strike()
        self._struck += 1
        process, kind = self._process_of(loop), self._luck_of_strikes.choice(self._strikes)
        if self.world.decides(f"strike-{self._struck}", f"{kind} of {process.name} at {loop.time():.3f} s"):
            self.random = self.world.random(f"strike-{self._struck}")
            self._strike(process, kind)
        return not loop.asleep

    def _next_strike(self) -> int:
        return 1 + int(self._luck_of_strikes.expovariate(1 / self._between))

    def _process_of(self, loop: SimulatedLoop) -> Process:
        return next(process for process in self.world.processes if process.loop is loop)

    def _strike(self, process: Process, kind: str) -> None:
        lease = self.world.settings.lease_seconds.total_seconds()
        self.world.trace.counts[f"process: {kind}"] += 1
        if kind == "crash":
            self.world.trace.add(process.name, "* crash")
            process.crash()
        elif kind == "stop":
            self.world.trace.add(process.name, "* SIGTERM")
            process.stop()
        else:
            seconds = self.random.choice((0.3, 1.2, 3.0)) * lease * (0.5 + self.random.random())
            self.world.trace.add(process.name, f"* {kind}", seconds=round(seconds, 1))
            process.pause(seconds, suspended=kind == "suspend")

    def _look(self) -> None:
        """The orchestrator: as many workers as there should be, each on a manager that lives."""
        world, cluster = self.world, self.world.swarm.cluster
        for process in world.processes:
            node = cluster.nodes.get(process.node_id)
            if process.alive and (node is None or node.manager is None) and not process.stopping:
                world.trace.add(process.name, "* SIGTERM", why="its node is no manager any more")
                process.stop()
        missing = self._processes - sum(process.alive for process in world.processes)
        for _ in range(missing):
            if not world.processes or self.over or self._luck_of_starts.random() < 0.3:
                self._start(self._luck_of_starts)
        world.loop.call_later(LOOK_SECONDS, self._look)

    def _start(self, random: Random) -> None:
        world, cluster = self.world, self.world.swarm.cluster
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
        for process in self.world.processes:
            if process.alive and process.node_id == node_id:
                self.world.trace.add(process.name, "* dies with its node")
                self.world.trace.counts["process: crash"] += 1
                process.crash()

    def _step_clock(self) -> None:
        alive = [process for process in self.world.processes if process.alive]
        if alive:
            process, by = self.random.choice(alive), self.random.choice((0.5, 3.0, 20.0)) * self.random.uniform(-1, 1)
            process.clock.offset += timedelta(seconds=by)
            self.happens("clock steps", of=process.name, by=round(by, 2))

    # --- Dependencies -------------------------------------------------------------------------------------------

    def _outage(self) -> None:
        world = self.world
        name, away = self.random.choice(
            (("queue", ["inbox"]), ("table", ["journal", "lease"]), ("aws", ["groups"]), ("swarm", ["swarm"]))
        )
        until = world.clockwork.now + self.random.choice((2, 10, 40)) * (0.5 + self.random.random())
        hangs = self.random.random() < 0.5
        for port in away:
            world.network.weather.away[port] = until
            world.network.weather.hanging.discard(port)
            if hangs:
                world.network.weather.hanging.add(port)
        if name == "swarm":
            self._hang_up()
        self.happens(f"outage of {name}", until=round(until, 1), hangs=hangs)

    def _hang_up(self) -> None:
        for _, subscription in list(self.world.subscriptions):
            subscription.end()

    def _deafen(self) -> None:
        self.world.alerts_broken = self.random.choice(("fails", "refuses", "hangs"))
        self.happens(f"alertmanager {self.world.alerts_broken}")
        self._later(3, 40, self._hear)

    def _hear(self) -> None:
        self.world.alerts_broken = ""

    # --- AWS ----------------------------------------------------------------------------------------------------

    def _some_instance(self) -> str | None:
        group = self.world.groups.groups[self.random.choice((WORKERS, WORKERS, MANAGERS))]
        if group.name == MANAGERS and not self.managers_can_spare():
            group = self.world.groups.groups[WORKERS]
        staying = [instance.id for instance in group.staying]
        return self.random.choice(staying) if staying else None

    def managers_can_spare(self) -> bool:
        """Fate is kind to quorum: without one nothing could be said about anything."""
        cluster = self.world.swarm.cluster
        alive = sum(cluster.lives(node.id) for node in cluster.managers)
        return 2 * (alive - 1) > len(cluster.managers) + 1

    def _kill(self) -> None:
        instance_id = self._some_instance()
        if instance_id is not None:
            self.happens("instance dies", instance=instance_id)
            self.world.groups.kill(instance_id)

    def _rebalance(self) -> None:
        victim = self.world.groups.rebalance(WORKERS)
        if victim is not None:
            self.happens("rebalancing", instance=victim)

    def _refuse_launches(self) -> None:
        group = self.world.groups.groups[self.random.choice((WORKERS, MANAGERS))]
        group.refusal = NO_CAPACITY
        self.happens("launches refused", group=group.name)
        self._later(5, 40, self._allow_launches, group.name)

    def _allow_launches(self, name: str) -> None:
        self.world.groups.groups[name].refusal = None
        self.world.groups.follow(name)

    def _block(self) -> None:
        group = self.world.groups.groups[self.random.choice((WORKERS, MANAGERS))]
        what = self.random.choice(("Launch", "Terminate", "refresh"))
        if what == "refresh":
            group.refreshing = True
        else:
            group.suspended.add(what)
        self.happens(f"group blocked: {what}", group=group.name)
        self._later(5, 30, self._unblock, group.name)

    def _unblock(self, name: str) -> None:
        group = self.world.groups.groups[name]
        group.refreshing = False
        group.suspended.clear()
        self.world.groups.follow(name)

    # --- The Swarm ----------------------------------------------------------------------------------------------

    def _lose_node(self) -> None:
        """A node goes Down while its instance lives on, and comes back."""
        world, cluster = self.world, self.world.swarm.cluster
        spare = self.managers_can_spare()
        able = [node for node in cluster.nodes.values() if cluster.lives(node.id)]
        able = [node for node in able if node.manager is None or spare]
        if able:
            node = self.random.choice(able)
            self.happens("node down", node=node.id)
            world.swarm.lose(node.id)
            self._later(3, 40, self._revive, node.id)

    def _revive(self, node_id: str) -> None:
        cluster, machines = self.world.swarm.cluster, self.world.machines
        if node_id in cluster.nodes and not cluster.lives(node_id) and not machines.stays_down(node_id):
            self.world.trace.add("world", "* node is back", node=node_id)
            self.world.swarm.revive(node_id)
            self.world.judge.came_back(node_id)

    def _stick(self) -> None:
        name = self.random.choice(("demo", "api", "plain"))
        self.world.swarm.faults.unstoppable_services.add(name)
        self.happens("tasks that will not stop", service=name)
        self._later(5, 40, self._unstick, name)

    def _unstick(self, name: str) -> None:
        self.world.swarm.faults.unstoppable_services.discard(name)
        self.world.swarm.faults.recheck()

    def _break(self) -> None:
        name = self.random.choice(("demo", "api", "plain"))
        self.world.swarm.faults.failing_services.add(name)
        self.happens("tasks that fail", service=name)
        self._later(3, 20, self._mend, name)

    def _mend(self, name: str) -> None:
        self.world.swarm.faults.failing_services.discard(name)

    # --- People -------------------------------------------------------------------------------------------------

    def _change_desired(self) -> None:
        group = self.world.groups.groups[self.random.choice((WORKERS, MANAGERS))]
        desired = group.desired + self.random.choice((-1, 1))
        kills = desired < group.desired and group.name == MANAGERS and not group.protects_new
        if group.min_size <= desired <= group.max_size and (not kills or self.managers_can_spare()):
            self.happens("somebody sets desired", group=group.name, desired=desired)
            self.world.groups.write_desired("people", group.name, desired)
            self.world.judge.people_changed(group.name)

    def _change_availability(self) -> None:
        cluster = self.world.swarm.cluster
        nodes = [node for node in cluster.nodes.values() if node.manager is None]
        if not nodes:
            return
        node = self.random.choice(nodes)
        new: Availability = "active"
        if node.availability == "active":
            new = self.random.choice(AWAY)
        self.happens("somebody sets availability", node=node.id, to=new)
        self.set_availability(node.id, new)

    def set_availability(self, node_id: str, availability: Availability) -> None:
        """Somebody sets it; who takes a node out of use makes it active again later."""
        self.world.swarm.set_availability(node_id, availability)
        self.world.judge.people_changed(node_id)
        if availability != "active":
            self._later(5, 60, self._activate, node_id)

    def _activate(self, node_id: str) -> None:
        if node_id in self.world.swarm.cluster.nodes:
            self.world.trace.add("world", "* somebody activates", node=node_id)
            self.world.swarm.set_availability(node_id, "active")
            self.world.judge.people_changed(node_id)

    def _change_replicas(self) -> None:
        cluster = self.world.swarm.cluster
        if cluster.leader is None:
            return
        service = self.random.choice([one for one in cluster.services.values() if one.mode == "replicated"])
        replicas = max(1, min(6, service.replicas + self.random.choice((-1, 1))))
        self.happens("somebody scales", service=service.name, replicas=replicas)
        self.world.swarm.scale(service.name, replicas)
        self.world.judge.people_changed(service.id)
