"""Storms: random changes, losses and elections; when they are over, every service is as it should be."""

from random import Random

import pytest

from infra.local.engine.errors import EngineError
from tests.scaffolding.engine.lab import SECOND, Lab, seconds

pytestmark = pytest.mark.looptime

NODES = ["active", "active", "drain", "pause"]


def blow(lab: Lab, random: Random) -> None:
    """One change by someone who does not look what is going on."""
    node = random.choice([*lab.workers, lab.managers[0]])
    match random.randrange(6):
        case 0:
            lab.scale(random.randint(0, 12), random.choice("ab"))
        case 1:
            lab.force(random.choice("abg"))
        case 2:
            lab.set_node(random.choice(lab.workers), Availability=random.choice(NODES))
        case 3:
            lab.swarm.lose_node(node)
        case 4:
            lab.swarm.return_node(node)
        case 5:
            lab.swarm.config.start_seconds = random.choice([0.0, 1.0, 3.0])


@pytest.mark.parametrize("seed", [*range(20), 138])
async def test_after_a_storm_every_slot_has_one_task(lab: Lab, seed: int) -> None:
    random = Random(seed)
    for name, order in (("a", "stop-first"), ("b", "start-first")):
        update = {"Parallelism": random.randint(0, 2), "Monitor": SECOND, "Order": order, "FailureAction": "continue"}
        lab.create(name, replicas=random.randint(1, 9), UpdateConfig=update)
    lab.create("g", Mode={"Global": {}}, UpdateConfig={"Parallelism": 1, "FailureAction": "continue"})
    for _ in range(60):
        try:
            blow(lab, random)
        except EngineError as error:
            assert "does not have a leader" in error.message  # noqa: PT017
        await seconds(random.choice([0, 0.2, 1, 10]))
    await calm(lab)
    for name in "ab":
        assert sorted(task.slot for task in lab.wanted(name)) == sorted({task.slot for task in lab.running(name)})
        assert len(lab.running(name)) == lab.service(name).spec.replicas
        forced = lab.service(name).spec.template["ForceUpdate"]
        assert {task.spec.template["ForceUpdate"] for task in lab.running(name)} <= {forced}
    assert lab.per_node("g") == {"worker-0": 1, "worker-1": 1, "worker-2": 1}


async def calm(lab: Lab) -> None:
    """Everything is back, and has had the time to settle."""
    for node_id in (*lab.workers, *lab.managers):
        lab.swarm.return_node(node_id)
    await seconds(10)
    for node_id in lab.workers:
        lab.set_node(node_id, Availability="active")
    await seconds(600)
