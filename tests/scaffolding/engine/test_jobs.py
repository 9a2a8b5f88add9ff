"""Jobs: how many tasks at a time, again after a change, and again after a failure."""

import pytest

from infra.local.engine.model import TaskState
from tests.scaffolding.engine.lab import Json, Lab, seconds, until

pytestmark = pytest.mark.looptime


def job(concurrent: int, total: int) -> Json:
    return {"ReplicatedJob": {"MaxConcurrent": concurrent, "TotalCompletions": total}}


def completed(lab: Lab) -> int:
    return sum(task.state is TaskState.COMPLETE for task in lab.tasks())


async def test_no_more_tasks_run_at_a_time_than_allowed(lab: Lab) -> None:
    lab.create(Mode=job(2, 5), UpdateConfig=None)
    most = 0

    def done() -> bool:
        nonlocal most
        most = max(most, sum(not task.ended for task in lab.tasks()))
        return completed(lab) == 5

    # Each task takes a second to start and a second to run: three rounds of two at most.
    assert await until(done) == pytest.approx(6, abs=0.3)
    assert most == 2
    await seconds(60)
    assert len(lab.tasks()) == 5


async def test_a_failed_task_of_a_job_is_tried_again(lab: Lab) -> None:
    policy = {"RestartPolicy": {"Condition": "on-failure", "Delay": 0, "MaxAttempts": 2}}
    lab.create(Mode=job(1, 1), UpdateConfig=None, command=["false"], template=policy)
    await seconds(30)
    assert [task.state for task in lab.tasks()] == [TaskState.FAILED] * 3


async def test_a_changed_job_begins_again(lab: Lab) -> None:
    lab.create(Mode=job(2, 2), UpdateConfig=None)
    await until(lambda: completed(lab) == 2)
    before = {task.id for task in lab.tasks()}
    lab.force()
    await seconds(5)
    assert completed(lab) == 2
    assert before.isdisjoint({task.id for task in lab.tasks()})


async def test_a_global_job_runs_on_a_node_that_joins_later(lab: Lab) -> None:
    lab.create(Mode={"GlobalJob": {}}, UpdateConfig=None)
    await until(lambda: completed(lab) == 3)
    lab.swarm.add_node("worker-new")
    await until(lambda: completed(lab) == 4)
