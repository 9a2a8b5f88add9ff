"""One world: everything outside the workers, the workers themselves, and the history that they make together."""

import asyncio
from random import Random

from structlog.typing import EventDict

from shared.alertmanager import Alert
from tests.fakes.journal import InMemoryJournal
from tests.fakes.lease import InMemoryLeaseStore
from tests.simulation.aws_events import AwsEvents
from tests.simulation.chaos import Chaos
from tests.simulation.cloud import MANAGERS, WORKERS, SimulatedGroups, SimulatedSwarm
from tests.simulation.departures import Departures
from tests.simulation.evidence import Effect, Evidence
from tests.simulation.group_port import GroupsPort
from tests.simulation.inhabitants import settle
from tests.simulation.invariants import Judge
from tests.simulation.loops import Clockwork, SimulatedLoop
from tests.simulation.machines import Machines
from tests.simulation.network import Call, Network
from tests.simulation.ports import AlertsPort, InboxPort, JournalPort, LeasePort
from tests.simulation.processes import Process, WorldClock
from tests.simulation.profile import Profile
from tests.simulation.queue import Queue
from tests.simulation.skips import PAUSE
from tests.simulation.swarm_port import Subscription, SwarmPort
from tests.simulation.trace import Trace
from tests.simulation.verdict import Verdict
from tests.simulation.workload import Workload
from worker.lifecycle import Ports
from worker.ports.storage import PauseMemory
from worker.ports.swarm import Availability

LONGEST_SECONDS = 3000.0
"""By then everything must have ended, also the wait for a machine that AWS announces to take, and does not."""
CALM_SECONDS = 5.0
"""So long nothing may be left to do before a world counts as quiet."""
MOST_STEPS = 600_000


class World:
    """Made of a seed; run once."""

    def __init__(self, seed: int, profile: Profile) -> None:
        self.seed = seed
        self.profile = profile
        self.settings = profile.settings
        self.clockwork = Clockwork(self.random("order"))
        self.loop: SimulatedLoop = self.clockwork.loop("world")
        self.trace = Trace(lambda: self.clockwork.now)
        self.clock = WorldClock(lambda: self.clockwork.now)
        self.evidence = Evidence()
        self.judge = Judge(self)
        self.network = Network(self.loop, self.random("network"), self.trace)
        self.queue = Queue(self.loop, self.random("queue"), self.trace.counts, self.clock.now)
        self.journal = InMemoryJournal(self.clock)
        self.leases = InMemoryLeaseStore()
        self.groups = SimulatedGroups(self.clock, self.random("aws"))
        self.swarm = SimulatedSwarm(self.loop)
        self.groups.counts = self.trace.counts
        self.machines = Machines(self.groups, self.swarm, self.random("machines"))
        self.machines.counts = self.trace.counts
        self.processes: list[Process] = []
        self.subscriptions: list[tuple[Process, Subscription]] = []
        self.offered: list[Alert] = []
        """What Alertmanager has answered, be it with a refusal."""
        self.alerts_broken = ""
        self.decisions: dict[str, str] = {}
        """What the seed has decided, by name: messages, single troubles, whole kinds of them, strikes, actors."""
        self.ready_history: dict[str, list[tuple[float, int]]] = {MANAGERS: [], WORKERS: []}
        self._availabilities: dict[str, list[tuple[float, Availability]]] = {}
        """Node ids, and what each was set to, by whomever, and when."""
        self.fine_since: dict[str, float] = {}
        """Nodes that are Ready and Active, as far as the Swarm knows, and since when; managers that are reachable, too.

        The managers hear at once that one of them does not answer, and call its node Down only later.
        """
        self.workload = Workload(self, self.random("workload"))
        self.chaos = Chaos(self)
        self.departures = Departures(self)
        self.events = AwsEvents(self)
        self.led_since = 0.0
        """When a worker took the lease the last time."""
        self._quiet_since: float | None = None

    def random(self, stream: str) -> Random:
        """A stream of its own for each actor: one that draws more does not change the others' luck."""
        return Random(f"{self.seed} {stream}")

    # --- Its life -----------------------------------------------------------------------------------------------

    def run(self) -> None:
        """From the beginning to the quiet after the last trouble."""
        self.loop.call_soon(self.begin)
        self.clockwork.before_step = self.chaos.orchestrator.before_step
        self.clockwork.run_until(LONGEST_SECONDS, self._over)
        Verdict(self).judge(quiet=self._quiet_since is not None)

    def decides(self, name: str, what: str) -> bool:
        """Whether something that the seed has decided is to happen. What is left out changes nobody else's luck."""
        self.decisions[name] = what
        return self.profile.only is None or name in self.profile.only

    def dispose(self) -> None:
        """Unwind what still runs."""
        for process in self.processes:
            process.dispose()
        self.loop.dispose()

    def begin(self) -> None:
        """Everything is there, and all that will happen stands on the calendar."""
        profile, groups = self.profile, self.groups
        groups.times.ec2_lag = 2.0
        groups.times.terminate = self.random("times").choice((0.5, 5.0, 40.0))
        sizes = self.random("sizes")
        most, least = sizes.choice((7, 7, 4)), sizes.choice((0, 0, 1))
        groups.add_group(MANAGERS, desired=3, min_size=1, max_size=most, protects_new=profile.protects)
        most = sizes.choice((8, 8, 5))
        workers = 1 + sum(self.decides(f"instance-{n}", "one more worker node") for n in range(2, profile.workers + 1))
        groups.add_group(WORKERS, desired=workers, min_size=least, max_size=most, protects_new=profile.protects)
        self.swarm.listeners.append(self._swarm_changed)
        self.swarm.lost = self._node_lost
        self.machines.settle()
        settle(self)
        self.workload.arrange()
        self.chaos.arrange()
        self.events.arrange()
        self.groups.dying = self.departures.dies

    def _over(self) -> bool:
        """Whether the world has come to rest."""
        now = self.clockwork.now
        if self.evidence.violations or self.clockwork.steps > MOST_STEPS:
            return True
        if now < self.profile.seconds or not self.chaos.over or not self._nothing_left():
            self._quiet_since = None
            return False
        self._quiet_since = now if self._quiet_since is None else self._quiet_since
        return now - self._quiet_since >= CALM_SECONDS

    def _nothing_left(self) -> bool:
        records = self.journal.records
        return (
            not self.queue.copies
            and not self.events.going_on
            and all(record.settled for record in records.values())
            and not self.over_untold()
            and all(sent.request_id in records for sent in self.workload.sent if sent.good)
            and not any(process.alive and process.loop.asleep for process in self.processes)
        )

    def over_untold(self) -> bool:
        """A pause stands in the table whose time is over: people are still to be told of that."""
        _, memory = self.journal.memories.get(PAUSE, (0, PauseMemory()))
        return memory.pause is not None and not memory.pause.holds(self.clock.now())

    # --- What its parts need of each other ----------------------------------------------------------------------

    def ports_of(self, process: Process) -> Ports:
        """All that a worker has."""
        groups, swarm = GroupsPort(self, process), SwarmPort(self, process)
        return Ports(
            inbox=InboxPort(self, process),
            journal=JournalPort(self, process),
            leases=LeasePort(self, process),
            groups=groups,
            change_groups=groups,
            swarm=swarm,
            change_swarm=swarm,
            alerts=AlertsPort(self, process),
        )

    def token_of(self, process: Process) -> int | None:
        """The token that a process holds, by the table's own word."""
        item = self.leases.item
        return item.token if item is not None and item.owner == process.owner else None

    def group_of(self, effect: Effect) -> str | None:
        """The group whose capacity an effect changes."""
        match effect.kind:
            case "desired":
                return effect.target
            case "terminate":
                return self.machines.group_of[effect.target]
            case _:
                return None

    def availabilities(self, node_id: str, since: float) -> set[Availability]:
        """What a node was set to at any moment since then."""
        set_to = self._availabilities.get(node_id, [])
        before = [each for time, each in set_to if time <= since][-1:]
        return {*before, *(each for time, each in set_to if time > since)}

    def note(self, call: Call, kind: str, target: str, before: object, after: object) -> None:
        """Write down what a call did."""
        effect = self.evidence.effect(self.clockwork.now, kind, target, before, after, call)
        self.judge.arrived(effect)
        if effect.changed:
            shown = (before, after) if kind != "service" else (effect.target, "changed")
            late = {"late": True} if effect.late else {}
            self.trace.add(effect.worker, f"! {kind}", what=target, change=shown, request=effect.request, **late)

    def take_log(self, event: EventDict) -> None:
        """A log line of whichever process runs now."""
        loop = asyncio._get_running_loop()
        self.trace.log(loop.name if isinstance(loop, SimulatedLoop) else "world", event)

    def _node_lost(self, node_id: str) -> None:
        self.chaos.orchestrator.node_lost(node_id)
        self._swarm_changed()

    def _swarm_changed(self) -> None:
        now = self.clockwork.now
        for group, history in self.ready_history.items():
            count = self.machines.ready(group)
            if not history or history[-1][1] != count:
                history.append((now, count))
        active = [each for each in self.swarm.cluster.nodes.values() if each.ready and each.availability == "active"]
        fine = [node.id for node in active if node.manager is None or node.manager.reachable]
        for node in self.swarm.cluster.nodes.values():
            set_to = self._availabilities.setdefault(node.id, [])
            if not set_to or set_to[-1][1] != node.availability:
                set_to.append((now, node.availability))
        self.fine_since = {node_id: self.fine_since.get(node_id, now) for node_id in fine}
