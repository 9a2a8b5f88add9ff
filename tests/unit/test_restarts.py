"""Whether Swarm starts a slot again."""

from datetime import timedelta
from typing import Any

import pytest

from tests.unit.build import NOW, ago, node, service, task
from worker.decisions.displacement import Departures, abandoned, lost_by_drain, to_update, unsettled
from worker.decisions.reasons import Reason
from worker.decisions.restarts import HISTORY, Refill, not_reschedulable, refill, update_running
from worker.ports.swarm import Service, Task

ONE, TWO = node(1), node(2)


def history(of: Service, ages: list[float], *, template: str = "t", slot: int = 1) -> list[Task]:
    """The tasks of a slot, made so many seconds ago, newest last; the last runs on node 1 since half a minute."""
    over = [
        task(of, slot, TWO, id=f"{age}", state="failed", desired="shutdown", template=template, created_at=ago(age))
        for age in ages[:-1]
    ]
    return [*over, task(of, slot, ONE, id="runs", template=template, created_at=ago(ages[-1]), since=ago(30))]


def verdict(of: Service, tasks: list[Task]) -> Refill:
    return refill(of, tasks[-1], tasks)


@pytest.mark.parametrize(
    ("wishes", "expected"),
    [
        ({}, Refill.REFILLED),
        ({"restarts_completed": False}, Refill.REFILLED),
        ({"mode": "global", "max_attempts": 1}, Refill.REFILLED),
        ({"restarts": False}, Refill.LOST),
        ({"mode": "replicated-job"}, Refill.LOST),
        ({"mode": "global-job"}, Refill.LOST),
    ],
)
def test_the_restart_condition_and_the_mode_decide_first(wishes: dict[str, Any], expected: Refill) -> None:
    of = service(**wishes)
    assert verdict(of, history(of, [90.0, 60.0])) is expected


def test_a_task_of_a_service_nobody_knows_may_be_lost() -> None:
    assert refill(None, task(service(), 1, ONE), []) is Refill.LOST


@pytest.mark.parametrize(("replaced", "expected"), [(0, True), (1, True), (2, False), (3, False)])
def test_a_drain_needs_one_of_the_attempts(replaced: int, expected: bool) -> None:
    of = service(max_attempts=2)
    tasks = history(of, [60.0 + 10 * number for number in range(replaced + 1)][::-1])
    assert (verdict(of, tasks) is Refill.REFILLED) is expected
    assert verdict(of, tasks) is not Refill.LOST


def test_a_new_specification_begins_a_new_count() -> None:
    of = service(max_attempts=1)
    old = history(of, [90.0, 80.0], template="old")[:-1]
    assert verdict(of, [*old, *history(of, [60.0])]) is Refill.REFILLED
    assert verdict(of, [*old, *history(of, [70.0, 60.0])]) is Refill.NEEDS_UPDATE


def test_where_the_history_may_have_been_cut_it_is_used_up_for_all_we_know() -> None:
    of = service(max_attempts=50)
    ages = [60.0 + 10 * number for number in range(HISTORY)][::-1]
    assert verdict(of, history(of, ages[1:])) is Refill.REFILLED
    assert verdict(of, history(of, ages)) is Refill.NEEDS_UPDATE


def test_only_replacements_within_the_window_before_it_began_to_run_count() -> None:
    of = service(max_attempts=1, attempts_window=timedelta(seconds=100))
    assert verdict(of, history(of, [5000.0, 4000.0])) is Refill.REFILLED
    assert verdict(of, history(of, [5000.0, 40.0])) is Refill.NEEDS_UPDATE
    assert verdict(of, history(of, [float(age) for age in range(9000, 4000, -1000)])) is Refill.REFILLED
    unknown = [task(of, 1, TWO, id="old", template="t"), task(of, 1, ONE, id="runs", template="t")]
    assert verdict(of, unknown) is Refill.NEEDS_UPDATE


def test_the_clocks_of_nodes_and_managers_may_differ_by_a_minute() -> None:
    of = service(max_attempts=1, attempts_window=timedelta(seconds=100))
    assert verdict(of, history(of, [5000.0, 30 + 100 + 59.0])) is Refill.NEEDS_UPDATE
    assert verdict(of, history(of, [5000.0, 30 + 100 + 61.0])) is Refill.REFILLED


# --- What follows for a drain -----------------------------------------------------------------------------------


def test_what_a_drain_would_not_start_again_moves_by_an_update_like_what_updates_start_first() -> None:
    limited, plain, first = service("limited", max_attempts=1), service("plain"), service("first", start_first=True)
    once, idle = service("once", restarts=False, start_first=True), service("idle", start_first=True)
    tasks = [*history(limited, [90.0, 60.0]), *(task(each, 1, ONE) for each in (plain, first, once))]
    tasks.append(task(idle, 1, TWO))
    services = [limited, plain, first, once, idle]
    assert to_update({ONE.id}, tasks, services) == (limited, first)
    assert [slot.service for slot in lost_by_drain({ONE.id}, tasks, services)] == ["limited", "once"]
    assert to_update({TWO.id}, tasks, services) == (idle,)
    assert lost_by_drain({TWO.id}, tasks, services) == ()


def test_limited_attempts_are_no_obstacle_but_a_local_volume_is() -> None:
    limited, writer = service("limited", max_attempts=1), service("db", local_volumes=("data",))
    tasks = [*history(limited, [90.0, 60.0]), task(writer, 1, ONE)]
    (told,) = Departures([ONE, TWO], [limited, writer], tasks).obstacles({ONE.id})
    assert told.reason is Reason.LOCAL_VOLUME
    assert "A task of db runs on ip-10-0-3-1 and writes the local volume data, which would stay behind" in told.text
    assert "`docker service update --label-add com.df.scaler.movable=true db`" in told.text
    allowed = service("db", local_volumes=("data",), labels={"com.df.scaler.movable": "true"})
    assert Departures([ONE, TWO], [limited, allowed], tasks).obstacles({ONE.id}) == ()
    going = [task(writer, 1, ONE, desired="remove"), task(service("x", mode="global", local_volumes=("d",)), 0, ONE)]
    known = [writer, service("x", mode="global", local_volumes=("d",))]
    assert Departures([ONE, TWO], known, going).obstacles({ONE.id}) == ()


def test_each_reason_has_its_code() -> None:
    job, once, big = service("j", mode="replicated-job"), service("once", restarts=False), service("big", cpus=NOW.year)
    tasks = [task(each, 1, ONE) for each in (job, once, big, service("gone"))]
    told = Departures([ONE], [job, once, big], tasks).obstacles({ONE.id})
    assert {each.reason for each in told} == {
        Reason.JOB_RUNNING,
        Reason.NEVER_RESTARTS,
        Reason.UNKNOWN_SERVICE,
        Reason.WOULD_NOT_FIT,
    }


def test_a_task_that_ended_well_by_itself_is_settled_where_only_failures_are_restarted() -> None:
    done = [task(service(), 1, ONE, state="complete", desired="shutdown")]
    slots = [("s-web", 1)]
    assert unsettled(slots, done, [service(restarts_completed=False)], {ONE.id}) == ()
    assert len(unsettled(slots, done, [service()], {ONE.id})) == 1


def test_after_an_undo_only_slots_that_swarm_has_given_up_are_told() -> None:
    of = service("web", replicas=3)
    tasks = [task(of, 1, ONE), task(of, 2, None), task(of, 3, ONE, state="shutdown", desired="shutdown")]
    assert [each.slot for each in abandoned([("s-web", slot) for slot in (1, 2, 3)], tasks, [of])] == [3]


# --- What follows for a rescheduling ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wishes", "state", "words"),
    [
        ({"mode": "replicated-job"}, "running", "a job"),
        ({"mode": "global-job"}, "complete", "a job"),
        ({"restarts": False}, "running", "restart condition none"),
        ({"replicas": 0}, "shutdown", "it has no replicas"),
        ({"restarts_completed": False}, "complete", "its tasks have completed"),
        ({"restarts_completed": False}, "running", None),
        ({"restarts_completed": False}, "failed", None),
        ({}, "complete", None),
        ({"mode": "global"}, "running", None),
    ],
)
def test_only_what_is_meant_to_run_for_ever_is_rescheduled(
    wishes: dict[str, Any], state: str, words: str | None
) -> None:
    of, other = service(**wishes), service("other")
    tasks = [
        task(of, 1, ONE, state=state, desired="shutdown" if state != "running" else "running"),
        task(other, 1, ONE),
    ]
    told = not_reschedulable(of, tasks)
    assert (told is None) == (words is None)
    assert (words or "") in (told or "")


def test_one_task_of_several_that_completed_does_not_keep_the_service() -> None:
    of = service(restarts_completed=False, replicas=2)
    tasks = [task(of, 1, ONE, state="complete", desired="shutdown"), task(of, 2, ONE)]
    assert not_reschedulable(of, tasks) is None


def test_an_update_runs_forwards_or_back() -> None:
    states = [None, "updating", "completed", "paused", "rollback_started", "rollback_paused", "rollback_completed"]
    assert [state for state in states if update_running(service(update_state=state))] == [
        "updating",
        "rollback_started",
    ]
