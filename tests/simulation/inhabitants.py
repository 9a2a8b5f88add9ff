"""What lives in a world from its beginning: its services, and the labels and units that its people have chosen.

Which of the rare ones there are is told by the seed's number, so that none of them changes another one's luck.
"""

from datetime import timedelta
from typing import TYPE_CHECKING

from tests.simulation.cloud import WORKERS
from worker.ports.swarm import PROTECT_LABEL, Node

if TYPE_CHECKING:
    from tests.simulation.world import World

LABELLED = {"com.df.reschedule": "true", "com.df.scaleMax": "6"}
CPUS = 10**9 // 2


def settle(world: "World") -> None:
    """Create everything."""
    swarm, seed = world.swarm, world.seed
    swarm.create("demo", replicas=4, labels=LABELLED, cpus=CPUS)
    swarm.create("api", replicas=2, labels=LABELLED, start_first=True, cpus=CPUS)
    swarm.create("plain", replicas=2, constraints=("node.role==worker",) if seed % 3 == 0 else ())
    swarm.create("agent", mode="global")
    if seed % 4 == 1:
        swarm.create("limited", replicas=2, max_attempts=1)
    if seed % 8 == 3:
        swarm.create("windowed", replicas=2, max_attempts=2, attempts_window=timedelta(seconds=20))
    _create_works(world)
    _create_bound(world)
    if seed % 50 == 17:
        _weigh(world)


def _create_works(world: "World") -> None:
    """Work that has an end, with the label of what is to be rescheduled."""
    if world.seed % 5 == 0:
        world.swarm.create("batch", replicas=1, mode="replicated-job", restarts=False, labels=LABELLED)
        world.trace.counts["labelled job"] += 1
    if world.seed % 7 == 2:
        command = ["sleep", "3"]
        world.swarm.create("once", replicas=1, restarts_completed=False, command=command, labels=LABELLED)
        world.trace.counts["labelled service that finishes"] += 1


def _create_bound(world: "World") -> None:
    """What keeps its node: a placement, a local volume, a person's label."""
    if world.seed % 9 == 4:
        place = f"node.hostname=={_some_worker(world).hostname}"
        world.swarm.create("pinned", replicas=1, constraints=(place,))
        world.trace.counts["service pinned to a node"] += 1
    if world.seed % 9 == 7:
        world.swarm.create("database", replicas=1, local_volumes=("data",), constraints=("node.role==worker",))
        world.trace.counts["service with a local volume"] += 1
    if world.seed % 11 == 3:
        world.swarm.label(_some_worker(world).id, **{PROTECT_LABEL: "true"})
        world.trace.counts["protected node"] += 1


def _some_worker(world: "World") -> Node:
    workers = [node for node in world.swarm.cluster.nodes.values() if node.role == "worker"]
    return workers[world.seed % len(workers)]


def _weigh(world: "World") -> None:
    """The workers' capacity is no number of instances: nothing of it may be scaled."""
    world.groups.groups[WORKERS].unit = "weights"
    world.groups.follow(WORKERS)
    history = world.groups.groups[WORKERS].history
    weighted = history[-1]
    history.clear()
    history.append(weighted)  # it has always been so: no description shows another unit
    world.trace.counts["weighted group"] += 1
