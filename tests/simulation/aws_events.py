"""What AWS does by itself, with a word before it or after: it holds machines in hooks, reclaims, replaces, plans.

How it says so is `announcements`' business, what the worker makes of it is judged by `departures`.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from shared.records import Record
from tests.simulation.announcements import Announcements
from tests.simulation.cloud import MANAGERS, WORKERS
from worker.ports.scaling import Instance, Phase

if TYPE_CHECKING:
    from tests.simulation.world import World

FOREIGN_INSTANCE = "i-0f0e16a0000000002"
"""Of another group, or none. No node says that it is this one."""
NOTICE_SECONDS = 120.0
TIMEOUTS = (45.0, 60.0, 150.0)
OTHERS_SECONDS = 30.0
"""The time-out of a hook that is somebody else's, and that nobody completes."""
LEAVE, JOIN, OTHERS = "scaler-terminate", "scaler-launch", "somebody-elses"
MEETINGS = ("drain", "terminate", "remove", "wait", "undo")
"""Steps of a request at which something may happen to its node."""


class AwsEvents:
    """Those of one world."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.words = Announcements(world)
        self._doomed: set[str] = set()
        """Instances whose end is announced, and still to come."""
        self.untaken: set[str] = set()
        """Instances that are announced, and then left alone."""
        self._lying_in_wait = 0
        self._luck = world.random("meetings")

    def arrange(self) -> None:
        """Put them on the world's calendar."""
        world, events, luck = self._world, self._world.profile.events, self._world.random("aws events")
        if not events:
            return
        world.groups.mercy = self._costs_quorum
        world.machines.certain = MANAGERS
        world.groups.watch(launched=lambda group, instance: None, ended=self._ended)
        self._make_hooks()
        if "drain" in events:
            world.groups.groups[WORKERS].rebalances = True
        for kind, happen, most in self._kinds():
            if kind in events:
                for number in range(1, luck.randint(1, most) + 1):
                    world.chaos.plan(f"{kind}-{number}", luck.random() * world.profile.seconds, happen)
        if "untaken" in events:
            world.chaos.plan("untaken", world.random("untaken").random() * world.profile.seconds, self._announce_only)

    def _kinds(self) -> tuple[tuple[str, Callable[[], None], int], ...]:
        return (
            ("retire", self._retire, 3),
            ("spot", self._interrupt, 2),
            ("move", self._move, 2),
            ("refresh", self._refresh, 1),
            ("plan", self._plan, 2),
            ("chatter", self._chatter, 4),
            ("meet", self._lie_in_wait, 2),
            ("two", self._retire_two_managers, 1),
            ("own", self._take_own_node, 1),
        )

    def _make_hooks(self) -> None:
        luck, groups = self._world.random("hooks"), self._world.groups.groups
        for name, group in groups.items():
            group.holds.watcher = self._world.departures
            named = {LEAVE: "termination"} if "hooks" in self._world.profile.events else {}
            if "launch" in self._world.profile.events and name == WORKERS:
                named[JOIN] = "launch"
            if "others" in self._world.profile.events:
                named[OTHERS] = "termination"
            for hook, transition in named.items():
                seconds = OTHERS_SECONDS if hook == OTHERS else luck.choice(TIMEOUTS)
                group.holds.add(hook, seconds, "launch" if transition == "launch" else "termination")
                self.words.hook_made()
        self._world.groups.listen(self.words.held)

    @property
    def going_on(self) -> bool:
        """Whether something that was announced has still to come, or a hook holds a machine."""
        held = any(group.holds.held for group in self._world.groups.groups.values())
        return bool(held or self._doomed or self.words.on_their_way)

    # --- What happens -------------------------------------------------------------------------------------------

    def _serving(self, name: str) -> list[str]:
        return [each.id for each in self._world.groups.groups[name].staying if each.phase is Phase.IN_SERVICE]

    def _some(self, name: str) -> str | None:
        serving = self._serving(name)
        return self._world.chaos.random.choice(serving) if serving else None

    def _retire(self) -> None:
        """AWS, or a person, terminates an instance; hooks hold it first."""
        self._end(self._some(self._world.chaos.random.choice((WORKERS, WORKERS, MANAGERS))))

    def _end(self, instance: str | None) -> None:
        if instance is not None:
            self._world.chaos.happens("machine retired", instance=instance)
            self._world.groups.retire(instance)

    def _interrupt(self) -> None:
        self._reclaim(self._some(self._world.chaos.random.choice((WORKERS, WORKERS, WORKERS, MANAGERS))))

    def _reclaim(self, instance: str | None) -> None:
        """A notice, and the end two minutes later."""
        if instance is None or instance in self._doomed:
            return
        self._world.chaos.happens("spot interruption", instance=instance)
        self._doomed.add(instance)
        if self._world.chaos.random.random() < 0.3:
            self.words.recommendation(instance)
        self.words.interruption(instance)
        self._world.loop.call_later(NOTICE_SECONDS, self._take, instance)

    def _take(self, instance: str) -> None:
        self._doomed.discard(instance)
        if self._world.machines.lives(instance):
            self._world.groups.kill(instance)

    def _announce_only(self) -> None:
        """A notice, or a recommendation, and nothing that follows."""
        instance = self._some(WORKERS)
        if instance is None or instance in self._doomed:
            return
        self._world.chaos.happens("announced machine is not taken", instance=instance)
        self.untaken.add(instance)
        recommended = "drain" in self._world.profile.events and self._world.chaos.random.random() < 0.5
        (self.words.recommendation if recommended else self.words.interruption)(instance)

    def _move(self) -> None:
        """Capacity rebalance: another one is launched, then the one in danger is terminated through its hook."""
        instance = self._world.groups.rebalance(WORKERS, held=True)
        if instance is not None:
            self._world.chaos.happens("capacity rebalance", instance=instance)
            self.words.recommendation(instance)

    def _refresh(self) -> None:
        """One after the other, while a scale is refused."""
        self._world.chaos.happens("instance refresh")
        self._world.groups.groups[WORKERS].refreshing = True
        self._world.groups.follow(WORKERS)
        self._replace_next(self._serving(WORKERS))

    def _replace_next(self, left: list[str]) -> None:
        group = self._world.groups.groups[WORKERS]
        if not left or self._world.chaos.over:
            group.refreshing = False
            return
        if left[0] in group.instances and not group.instances[left[0]].leaving:
            self._world.groups.retire(left[0])
        self._world.loop.call_later(8.0, self._replace_next, left[1:])

    def _plan(self) -> None:
        instance = self._some(self._world.chaos.random.choice((WORKERS, MANAGERS)))
        if instance is not None:
            self._world.chaos.happens("change of a machine planned", instance=instance)
            self.words.planned(instance)

    def _chatter(self) -> None:
        """Somebody else's machines, and what concerns nobody."""
        self._world.chaos.happens("event of no concern")
        says: tuple[Callable[[], None], ...] = (
            lambda: self.words.state(FOREIGN_INSTANCE, "terminated"),
            lambda: self.words.interruption(FOREIGN_INSTANCE),
            lambda: self.words.recommendation(FOREIGN_INSTANCE),
            lambda: self.words.planned(FOREIGN_INSTANCE),
            self.words.hook_made,
            self.words.of_no_concern,
        )
        self._world.chaos.random.choice(says)()

    def _retire_two_managers(self) -> None:
        serving = self._serving(MANAGERS)
        if len(serving) >= 2:
            self._world.chaos.happens("two managers leave")
            for instance in self._world.chaos.random.sample(serving, 2):
                self._end(instance)

    def _take_own_node(self) -> None:
        """The machine of the worker that is active."""
        item = self._world.leases.item
        for process in self._world.processes:
            if item is not None and process.owner == item.owner and process.alive:
                instance = self._world.machines.instances.get(process.node_id)
                if instance in self._serving(MANAGERS):
                    self._world.chaos.happens("the active worker's machine leaves", instance=instance)
                    (self._end if self._world.chaos.random.random() < 0.6 else self._reclaim)(instance)

    # --- What meets something that is under way -----------------------------------------------------------------

    def _lie_in_wait(self) -> None:
        self._lying_in_wait += 1

    def saved(self, record: Record) -> None:
        """A record was written: has it come to a step at which something happens to its node?"""
        if not self._lying_in_wait or record.step not in MEETINGS or self._world.chaos.over or record.state.ended:
            return
        leaving = [each["instance_id"] for each in record.plan.get("leaving", ()) if each.get("instance_id")]
        if leaving and self._luck.random() < 0.5:
            self._lying_in_wait -= 1
            act = self._luck.choice((self._end_if_there, self._reclaim_if_there, self._reclaim_if_there))
            self._world.loop.call_later(3 * self._luck.random(), act, self._luck.choice(leaving), record.step)

    def _end_if_there(self, instance: str, step: str) -> None:
        if self._stays(instance):
            self._world.chaos.happens("a node that is drained leaves", instance=instance, step=step)
            self._end(instance)

    def _reclaim_if_there(self, instance: str, step: str) -> None:
        if self._stays(instance):
            self._world.chaos.happens("a node that is drained leaves", instance=instance, step=step)
            self._reclaim(instance)

    def _stays(self, instance: str) -> bool:
        return any(each.id == instance for group in self._world.groups.groups.values() for each in group.staying)

    # --- Ends ---------------------------------------------------------------------------------------------------

    def _ended(self, group: str, instance: Instance) -> None:
        del group
        if "states" in self._world.profile.events:
            self.words.state(instance.id, "shutting-down")
            self._world.loop.call_later(self._world.groups.times.terminate, self.words.state, instance.id, "terminated")

    def _costs_quorum(self, instance: str) -> bool:
        """Fate is kind to quorum: a machine that would cost it is taken later."""
        node: Any = self._world.machines.node_of(instance)
        cluster = self._world.swarm.cluster
        if node is None or node.manager is None or not cluster.lives(node.id):
            return False
        alive = sum(cluster.lives(each.id) for each in cluster.managers)
        return 2 * (alive - 1) <= len(cluster.managers)
