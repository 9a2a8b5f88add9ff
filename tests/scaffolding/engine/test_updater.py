"""Rolling updates: their pace, order, failures, and what becomes of them when things change meanwhile."""

from typing import Any

import pytest

from infra.local.engine.model import TaskState, UpdateState
from tests.scaffolding.engine.lab import SECOND, Lab, seconds, until

pytestmark = pytest.mark.looptime


async def running(lab: Lab, replicas: int, **change: Any) -> None:
    lab.create(replicas=replicas, **change)
    await seconds(1.5)
    assert len(lab.running()) == replicas


async def test_one_at_a_time_takes_stop_and_start_of_each(lab: Lab) -> None:
    await running(lab, 3, UpdateConfig={"Parallelism": 1, "Monitor": 4 * SECOND})
    lab.force()
    took = await until(lambda: lab.update_state() == "completed")
    # Preparing (0.5 s) overlaps with stopping (1 s); then starting (0.5 s); at the end it is watched for 4 s.
    assert took == pytest.approx(3 * 1.5 + 4, abs=0.2)


async def test_the_delay_lies_between_slots(lab: Lab) -> None:
    await running(lab, 2, UpdateConfig={"Parallelism": 1, "Monitor": SECOND, "Delay": 10 * SECOND})
    lab.force()
    took = await until(lambda: lab.update_state() == "completed")
    assert took == pytest.approx(2 * (1.5 + 10) + 1, abs=0.2)


async def test_without_a_configuration_the_engine_watches_for_five_seconds(lab: Lab) -> None:
    await running(lab, 1, UpdateConfig=None)
    lab.force()
    assert await until(lambda: lab.update_state() == "completed") == pytest.approx(6.5, abs=0.2)


async def test_start_first_stops_the_old_task_when_the_new_one_runs(lab: Lab) -> None:
    order = {"Parallelism": 1, "Monitor": SECOND, "Order": "start-first"}
    await running(lab, 2, UpdateConfig=order)
    lab.force()
    fewest = 2

    def completed() -> bool:
        nonlocal fewest
        fewest = min(fewest, sum(task.state is TaskState.RUNNING for task in lab.tasks()))
        return lab.update_state() == "completed"

    await until(completed)
    assert fewest == 2
    await seconds(2)
    assert len(lab.running()) == 2


async def test_a_later_update_takes_over_from_the_one_underway(lab: Lab) -> None:
    await running(lab, 4, UpdateConfig={"Parallelism": 1, "Monitor": SECOND})
    lab.force()
    await seconds(2)
    lab.force()
    assert lab.update_state() is None
    await until(lambda: lab.update_state() == "completed")
    assert {task.spec_version for task in lab.running()} == {lab.service().spec_version}
    assert len(lab.running()) == 4


async def test_scaling_during_an_update_lets_it_go_on(lab: Lab) -> None:
    await running(lab, 4, UpdateConfig={"Parallelism": 1, "Monitor": SECOND})
    lab.force()
    await seconds(2)
    lab.scale(6)
    await until(lambda: lab.update_state() == "completed")
    assert len(lab.running()) == 6
    assert {task.spec.template["ForceUpdate"] for task in lab.running()} == {1}


async def test_draining_during_an_update_leaves_one_task_per_slot(lab: Lab) -> None:
    await running(lab, 6, UpdateConfig={"Parallelism": 1, "Monitor": SECOND})
    lab.force()
    await seconds(2)
    lab.set_node(lab.workers[0], Availability="drain")
    await until(lambda: lab.update_state() == "completed")
    await seconds(3)
    assert sorted(task.slot for task in lab.wanted()) == [1, 2, 3, 4, 5, 6]
    assert len(lab.running()) == 6


async def test_failures_within_the_allowed_ratio_do_not_pause(lab: Lab) -> None:
    config = {"Parallelism": 1, "Monitor": SECOND, "MaxFailureRatio": 1.0}
    await running(lab, 2, UpdateConfig=config)
    container = {"Image": "nginx", "Command": ["false"]}
    lab.update(TaskTemplate={**lab.service().spec.template, "ContainerSpec": container})
    await until(lambda: lab.update_state() == "completed")


async def test_a_missing_image_pauses_the_update(lab: Lab) -> None:
    await running(lab, 2, UpdateConfig={"Parallelism": 1, "Monitor": SECOND})
    template = lab.service().spec.template
    lab.update(TaskTemplate={**template, "ContainerSpec": {"Image": "missing:latest"}})
    await until(lambda: lab.update_state() == "paused")
    rejected = [task for task in lab.tasks() if task.state is TaskState.REJECTED]
    assert rejected[0].error == "No such image: missing:latest"
    assert len(lab.running()) == 1
    lab.update(TaskTemplate={**template, "ContainerSpec": {"Image": "nginx:2"}})
    await until(lambda: lab.update_state() == "completed")
    assert len(lab.running()) == 2


async def test_a_rollback_that_fails_is_paused_and_not_rolled_back(lab: Lab) -> None:
    config = {"Parallelism": 1, "Monitor": SECOND, "FailureAction": "rollback"}
    await running(lab, 1, image="old", UpdateConfig=config, RollbackConfig=config)
    lab.swarm.faults.missing_images.update({"old", "new"})
    lab.update(TaskTemplate={**lab.service().spec.template, "ContainerSpec": {"Image": "new"}})
    await until(lambda: lab.update_state() == "rollback_paused")
    status = lab.service().update_status
    assert status is not None
    assert status.message.startswith("rollback paused due to failure or early termination of task ")
    assert lab.service().spec.image == "old"


async def test_a_frozen_update_goes_on_when_released(lab: Lab) -> None:
    await running(lab, 2)
    before = {task.id for task in lab.running()}
    lab.swarm.faults.frozen_updates.add("web")
    lab.force()
    await seconds(600)
    assert lab.update_state() is UpdateState.UPDATING
    assert {task.id for task in lab.running()} == before
    lab.swarm.faults.release_updates()
    await until(lambda: lab.update_state() == "completed")


async def test_an_update_waits_for_a_task_that_will_not_stop_no_longer_than_a_minute(lab: Lab) -> None:
    await running(lab, 1)
    lab.swarm.faults.unstoppable_services.add("web")
    lab.force()
    took = await until(lab.running, within=200)
    assert took < 0.1  # the old one still runs
    await until(lambda: lab.update_state() == "completed", within=200)
    stubborn = [task for task in lab.tasks() if not task.wanted and task.state is TaskState.RUNNING]
    assert len(stubborn) == 1
    lab.swarm.faults.release_tasks()
    await seconds(1.1)
    assert stubborn[0].state is TaskState.SHUTDOWN


async def test_a_constraint_that_the_present_nodes_satisfy_replaces_nothing(lab: Lab) -> None:
    await running(lab, 3)
    before = {task.id for task in lab.running()}
    placement = {"Constraints": ["node.role==worker", "node.platform.os==linux"]}
    lab.update(TaskTemplate={**lab.service().spec.template, "Placement": placement})
    await seconds(10)
    assert lab.update_state() is None
    assert {task.id for task in lab.running()} == before


async def test_a_constraint_that_one_node_fails_replaces_only_its_tasks(lab: Lab) -> None:
    await running(lab, 3)
    before = {task.id for task in lab.running()}
    placement = {"Constraints": ["node.role==worker", "node.hostname!=worker-0"]}
    lab.update(TaskTemplate={**lab.service().spec.template, "Placement": placement})
    await until(lambda: lab.update_state() == "completed")
    assert len(before & {task.id for task in lab.running()}) == 2
    assert "worker-0" not in lab.per_node()


async def test_a_global_service_is_updated_node_by_node(lab: Lab) -> None:
    lab.create(Mode={"Global": {}}, UpdateConfig={"Parallelism": 1, "Monitor": SECOND})
    await seconds(2)
    lab.force()
    await until(lambda: lab.update_state() == "completed")
    assert sorted(lab.per_node().values()) == [1, 1, 1]
    assert {task.spec.template["ForceUpdate"] for task in lab.running()} == {1}


async def test_each_slot_keeps_five_tasks(lab: Lab) -> None:
    await running(lab, 2)
    for updates in range(1, 9):
        lab.force()
        await until(lambda: lab.update_state() == "completed")
        assert len(lab.tasks()) == 2 * min(updates + 1, 5)
    assert len(lab.running()) == 2


async def test_a_removed_service_ends_its_update(lab: Lab) -> None:
    await running(lab, 4, UpdateConfig={"Parallelism": 1, "Monitor": SECOND})
    lab.force()
    await seconds(2)
    lab.swarm.control.remove_service("web")
    await seconds(5)
    assert lab.tasks() == []


async def test_tasks_of_a_failing_service_end_as_soon_as_they_have_started(lab: Lab) -> None:
    lab.swarm.faults.failing_services.add("web")
    lab.create(replicas=1)
    await seconds(5)
    assert {(task.state, task.error) for task in lab.tasks() if task.ended} == {
        (TaskState.FAILED, "task: non-zero exit (1)")
    }
    assert lab.running() == []
    lab.swarm.faults.clear()
    await until(lambda: len(lab.running()) == 1)


async def test_an_update_may_take_a_while_to_begin_and_has_no_status_until_then(lab: Lab) -> None:
    lab.swarm.config.update_begin_seconds = 3.0
    await running(lab, 1)
    lab.force()
    await seconds(2.9)
    assert lab.service().update_status is None
    await seconds(0.2)
    assert lab.update_state() == "updating"
