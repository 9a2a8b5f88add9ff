"""Whether a group can be scaled at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.build import NOW, activity, ago, group, instance
from worker.decisions.preflight import down_refusal, launch_failure, up_refusal
from worker.ports.scaling import Activity

NO_CAPACITY = "We currently do not have sufficient m5.large capacity in the Availability Zone you requested."
FAILED = activity("Failed", 60, reason=NO_CAPACITY)


def told(refusal: str | None) -> str:
    assert refusal is not None
    return refusal


def test_a_healthy_group_may_be_scaled() -> None:
    present = group([instance(1), instance(2)])
    assert up_refusal(present, [], False) is None
    assert down_refusal(present, 2, [], False) is None


def test_a_suspended_process_is_named_with_the_command_that_resumes_it() -> None:
    stopped = group([instance(1)], suspended=frozenset({"Launch"}))
    assert "The process Launch of Auto Scaling group swarm-NodeAsg-1 is suspended" in told(
        up_refusal(stopped, [], False)
    )
    assert "resume-processes --auto-scaling-group-name swarm-NodeAsg-1 --scaling-processes Launch" in told(
        up_refusal(stopped, [], False)
    )
    assert down_refusal(stopped, 1, [], False) is None


def test_only_the_process_that_is_needed_must_run() -> None:
    stopped = group([instance(1)], suspended=frozenset({"Terminate", "AZRebalance"}))
    assert up_refusal(stopped, [], False) is None
    assert "The process Terminate" in told(down_refusal(stopped, 1, [], False))


def test_an_instance_refresh_is_waited_for_by_the_operator() -> None:
    for refusal in (up_refusal(group(), [], True), down_refusal(group([instance(1)]), 1, [], True)):
        assert "An instance refresh of Auto Scaling group swarm-NodeAsg-1 is running" in told(refusal)
        assert "cancel-instance-refresh" in told(refusal)


@pytest.mark.parametrize(("least", "count", "allowed"), [(0, 2, True), (1, 1, True), (1, 2, False), (2, 1, False)])
def test_a_down_needs_room_above_the_groups_min_size(least: int, count: int, *, allowed: bool) -> None:
    refusal = down_refusal(group([instance(1), instance(2)], min_size=least), count, [], False)
    assert (refusal is None) == allowed
    if refusal:
        assert f"desired capacity of 2 and a MinSize of {least}, so {count} cannot be removed" in refusal
        assert f"at most {2 - least}" in refusal


def test_a_group_that_owes_instances_it_could_not_launch_is_left_alone_with_awss_own_reason() -> None:
    owing = group([instance(1)], desired=3)
    for refusal in (up_refusal(owing, [FAILED], False), down_refusal(owing, 1, [FAILED], False)):
        assert "wants 3 instances and has 1" in told(refusal)
        assert NO_CAPACITY.rstrip(".") in told(refusal)
        assert ".." not in told(refusal)


def test_a_group_that_owes_nothing_or_is_only_slow_may_be_scaled() -> None:
    assert up_refusal(group([instance(1)]), [FAILED], False) is None
    assert up_refusal(group([instance(1)], desired=2), [], False) is None
    assert up_refusal(group([instance(1)], desired=2), [activity("InProgress", 5)], False) is None
    assert up_refusal(group([instance(1)], desired=2), [activity("Successful", 5), FAILED], False) is None


def test_an_instance_on_its_way_out_pays_no_debt() -> None:
    owing = group([instance(1), instance(2, lifecycle="Terminating")], desired=2)
    assert up_refusal(owing, [FAILED], False) is not None


def test_a_failure_from_before_the_last_raise_says_nothing_about_it() -> None:
    raised = group([instance(1)], desired=2)
    assert up_refusal(raised, [FAILED], False, since=ago(30)) is None
    assert up_refusal(raised, [FAILED], False, since=ago(90)) is not None


def test_without_a_reason_of_awss_the_description_is_quoted() -> None:
    owing = group(desired=1)
    assert "Launching a new EC2 instance" in told(up_refusal(owing, [activity("Failed", 9)], False))


def test_the_newest_launch_failure_counts_unless_a_later_launch_succeeded() -> None:
    older = activity("Failed", 120)
    assert launch_failure([older, FAILED], ago(600)) == FAILED
    assert launch_failure([FAILED, older], ago(600)) == FAILED
    assert launch_failure([activity("InProgress", 10), FAILED], ago(600)) == FAILED
    assert launch_failure([FAILED, activity("Successful", 90)], ago(600)) == FAILED
    assert launch_failure([activity("Successful", 30), FAILED], ago(600)) is None
    assert launch_failure([activity("Successful", 30, launching=False), FAILED], ago(600)) == FAILED
    assert launch_failure([FAILED], ago(59)) is None
    assert launch_failure([FAILED], ago(60)) == FAILED
    assert launch_failure([activity("Failed", 10, launching=False)], ago(600)) is None


ACTIVITIES = st.lists(
    st.builds(
        activity,
        st.sampled_from(["Failed", "Successful", "InProgress", "Cancelled"]),
        st.integers(0, 9),
        launching=st.booleans(),
    ),
    max_size=6,
    unique_by=lambda found: found.started_at,
)


@given(ACTIVITIES, st.integers(0, 9))
def test_a_told_failure_is_a_failed_launch_since_then_and_the_last_word(activities: list[Activity], since: int) -> None:
    found = launch_failure(activities, ago(since))
    launches = [one for one in activities if one.description.startswith("Launching") and one.started_at <= NOW]
    ended = sorted((one for one in launches if one.status in {"Failed", "Successful"}), key=lambda one: one.started_at)
    last = ended[-1] if ended else None
    assert found == (last if last and last.status == "Failed" and last.started_at >= ago(since) else None)
