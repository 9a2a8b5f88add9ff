"""What breaks for a while: a dependency, a group, a node, a service's tasks."""

from random import Random
from typing import TYPE_CHECKING

from tests.simulation.cloud import MANAGERS, WORKERS

if TYPE_CHECKING:
    from tests.simulation.world import World

NO_CAPACITY = "We currently do not have sufficient capacity in the Availability Zone you requested"


class Mishaps:
    """The mishaps of one world."""

    def __init__(self, world: "World") -> None:
        self._world = world

    def outage(self) -> None:
        """A dependency is away for some seconds."""
        world = self._world
        name, away = self._random.choice(
            (("queue", ["inbox"]), ("table", ["journal", "lease"]), ("aws", ["groups"]), ("swarm", ["swarm"]))
        )
        until = world.clockwork.now + self._random.choice((2, 10, 40)) * (0.5 + self._random.random())
        hangs = self._random.random() < 0.5
        for port in away:
            world.network.weather.away[port] = until
            world.network.weather.hanging.discard(port)
            if hangs:
                world.network.weather.hanging.add(port)
        if name == "swarm":
            self._hang_up()
        self._world.chaos.happens(f"outage of {name}", until=round(until, 1), hangs=hangs)

    def _hang_up(self) -> None:
        for _, subscription in list(self._world.subscriptions):
            subscription.end()

    def deafen(self) -> None:
        """Alertmanager takes nothing for a while."""
        self._world.alerts_broken = self._random.choice(("fails", "refuses", "hangs"))
        self._world.chaos.happens(f"alertmanager {self._world.alerts_broken}")
        self._world.chaos.later(3, 40, self._hear)

    def _hear(self) -> None:
        self._world.alerts_broken = ""

    def _some_instance(self) -> str | None:
        group = self._world.groups.groups[self._random.choice((WORKERS, WORKERS, MANAGERS))]
        if group.name == MANAGERS and not self._world.chaos.managers_can_spare():
            group = self._world.groups.groups[WORKERS]
        staying = [instance.id for instance in group.staying]
        return self._random.choice(staying) if staying else None

    def kill(self) -> None:
        """An instance dies."""
        instance_id = self._some_instance()
        if instance_id is not None:
            self._world.chaos.happens("instance dies", instance=instance_id)
            self._world.groups.kill(instance_id)

    def rebalance(self) -> None:
        """AWS moves a worker to another zone."""
        victim = self._world.groups.rebalance(WORKERS)
        if victim is not None:
            self._world.chaos.happens("rebalancing", instance=victim)

    def refuse_launches(self) -> None:
        """AWS has no capacity for a while."""
        group = self._world.groups.groups[self._random.choice((WORKERS, MANAGERS))]
        group.refusal = NO_CAPACITY
        self._world.chaos.happens("launches refused", group=group.name)
        self._world.chaos.later(5, 40, self._allow_launches, group.name)

    def _allow_launches(self, name: str) -> None:
        self._world.groups.groups[name].refusal = None
        self._world.groups.follow(name)

    def block(self) -> None:
        """A process of a group is suspended, or the group is being refreshed."""
        group = self._world.groups.groups[self._random.choice((WORKERS, MANAGERS))]
        what = self._random.choice(("Launch", "Terminate", "refresh"))
        if what == "refresh":
            group.refreshing = True
        else:
            group.suspended.add(what)
        self._world.chaos.happens(f"group blocked: {what}", group=group.name)
        self._world.chaos.later(5, 30, self._unblock, group.name)

    def _unblock(self, name: str) -> None:
        group = self._world.groups.groups[name]
        group.refreshing = False
        group.suspended.clear()
        self._world.groups.follow(name)

    def lose_node(self) -> None:
        """A node goes Down while its instance lives on, and comes back."""
        world, cluster = self._world, self._world.swarm.cluster
        spare = self._world.chaos.managers_can_spare()
        able = [node for node in cluster.nodes.values() if cluster.lives(node.id)]
        able = [node for node in able if node.manager is None or spare]
        if able:
            node = self._random.choice(able)
            self._world.chaos.happens("node down", node=node.id)
            world.swarm.lose(node.id)
            self._world.chaos.later(3, 40, self._revive, node.id)

    def _revive(self, node_id: str) -> None:
        cluster, machines = self._world.swarm.cluster, self._world.machines
        if node_id in cluster.nodes and not cluster.lives(node_id) and not machines.stays_down(node_id):
            self._world.trace.add("world", "* node is back", node=node_id)
            self._world.swarm.revive(node_id)
            self._world.judge.came_back(node_id)

    def stick(self) -> None:
        """Tasks of a service do not stop for a while."""
        name = self._random.choice(("demo", "api", "plain"))
        self._world.swarm.faults.unstoppable_services.add(name)
        self._world.chaos.happens("tasks that will not stop", service=name)
        self._world.chaos.later(5, 40, self._unstick, name)

    def _unstick(self, name: str) -> None:
        self._world.swarm.faults.unstoppable_services.discard(name)
        self._world.swarm.faults.recheck()

    def break_tasks(self) -> None:
        """Tasks of a service fail for a while."""
        name = self._random.choice(("demo", "api", "plain"))
        self._world.swarm.faults.failing_services.add(name)
        self._world.chaos.happens("tasks that fail", service=name)
        self._world.chaos.later(3, 20, self._mend, name)

    def _mend(self, name: str) -> None:
        self._world.swarm.faults.failing_services.discard(name)

    @property
    def _random(self) -> Random:
        """Of the trouble in hand."""
        return self._world.chaos.random
