"""Where tasks go, and what is said when they cannot go anywhere."""

import pytest

from infra.local.engine.constraints import parse
from infra.local.engine.errors import EngineError
from infra.local.engine.model import Machine, Node, NodeSpec, Role, TaskState
from tests.scaffolding.engine.lab import SECOND, Lab, seconds, until, with_reservation

pytestmark = pytest.mark.looptime


async def test_tasks_are_spread_evenly(lab: Lab) -> None:
    lab.create(replicas=7)
    await seconds(2)
    assert sorted(lab.per_node().values()) == [2, 2, 3]


async def test_fewest_tasks_of_the_service_count_before_fewest_tasks(lab: Lab) -> None:
    lab.create("crowd", replicas=5, template={"Placement": {"Constraints": ["node.hostname==worker-0"]}})
    lab.create("web", replicas=3)
    await seconds(2)
    assert sorted(lab.per_node("web").values()) == [1, 1, 1]
    lab.scale(5, "web")
    await seconds(2)
    assert lab.per_node("web") == {"worker-0": 1, "worker-1": 2, "worker-2": 2}


async def test_nothing_moves_to_a_new_node(lab: Lab) -> None:
    lab.create(replicas=6)
    await seconds(2)
    before = {task.id for task in lab.running()}
    lab.swarm.add_node("worker-new")
    await seconds(60)
    assert {task.id for task in lab.running()} == before
    assert "worker-new" not in lab.per_node()


async def test_a_forced_update_uses_the_new_node(lab: Lab) -> None:
    lab.create(replicas=6)
    await seconds(2)
    lab.swarm.add_node("worker-new")
    lab.force()
    await until(lambda: lab.update_state() == "completed")
    assert lab.per_node()["worker-new"] > 0


async def test_waiting_tasks_take_a_new_node_at_once(lab: Lab) -> None:
    lab.create(replicas=5, template=with_reservation(2 * SECOND))
    await seconds(2)
    assert len(lab.running()) == 3
    assert lab.errors() == {
        "no suitable node (insufficient resources on 3 nodes; scheduling constraints not satisfied on 3 nodes)"
    }
    for number in (1, 2):
        lab.swarm.add_node(f"worker-new-{number}", nano_cpus=2 * SECOND)
    await seconds(1.1)
    assert len(lab.running()) == 5


async def test_room_is_free_again_only_when_the_old_task_has_ended(lab: Lab) -> None:
    lab.create("old", replicas=3, template=with_reservation(2 * SECOND))
    await seconds(2)
    lab.create("new", replicas=1, template=with_reservation(2 * SECOND))
    await seconds(2)
    assert lab.running("new") == []
    lab.scale(2, "old")
    await seconds(0.5)
    lab.set_node(lab.workers[0], Labels={"look": "again"})
    await seconds(0.4)
    assert [task.state for task in lab.wanted("new")] == [TaskState.PENDING]
    await seconds(1.2)
    assert len(lab.running("new")) == 1


async def test_pending_says_each_obstacle_the_most_frequent_first(lab: Lab) -> None:
    lab.set_node(lab.workers[0], Availability="drain")
    constraint = {"Placement": {"Constraints": ["node.labels.zone==a"]}}
    lab.create(template=constraint)
    await seconds(1)
    assert lab.errors() == {
        "no suitable node (scheduling constraints not satisfied on 5 nodes; 1 node not available for new tasks)"
    }
    task = lab.tasks()[0]
    assert (task.state, task.message) == (TaskState.PENDING, "pending task scheduling")


async def test_a_global_task_that_does_not_fit_says_so_for_its_node(lab: Lab) -> None:
    lab.create(Mode={"Global": {}}, template=with_reservation(3 * SECOND))
    await seconds(1)
    assert lab.errors() == {"insufficient resources on 1 node"}


@pytest.mark.parametrize(
    ("expression", "admits"),
    [
        ("node.hostname==worker-1", True),
        ("node.hostname == WORKER-1", True),
        ("node.hostname!=worker-1", False),
        ("node.role==worker", True),
        ("node.role==manager", False),
        ("node.platform.os==linux", True),
        ("node.platform.arch==amd64", False),
        ("node.platform.arch==x86_64", True),
        ("node.platform.arch!=arm64", True),
        ("node.labels.zone==a", True),
        ("node.labels.zone!=b", True),
        ("node.labels.other!=b", True),
        ("node.labels.other==b", False),
        ("engine.labels.instance_id==i-1", True),
        ("node.ip==10.0.3.0/24", True),
        ("node.ip!=10.0.3.7", False),
        ("node.ip==::ffff:10.0.3.7", True),
        ("node.ip!=nonsense", False),
        ("node.ip!=10.0.3.0/255.255.255.0", False),
        ("node.id==N1", True),
        ("node.unknown==x", False),
    ],
)
def test_constraints(expression: str, *, admits: bool) -> None:
    machine = Machine("worker-1", "10.0.3.7", 1, 1, engine_labels={"instance_id": "i-1"})
    node = Node("n1", NodeSpec(labels={"zone": "a"}), machine, Role.WORKER)
    assert all(constraint.admits(node) for constraint in parse((expression,))) is admits


@pytest.mark.parametrize("expression", ["node.role", "node.role=worker", "==worker", ""])
def test_what_is_no_constraint_is_refused(expression: str) -> None:
    with pytest.raises(EngineError, match="constraint expected one operator"):
        parse((expression,))
