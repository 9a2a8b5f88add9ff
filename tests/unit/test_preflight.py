"""Whether a group can be scaled at all."""

import pytest

from tests.unit.build import ago, group, instance, launch
from worker.decisions.preflight import down_refusal, unit_refusal, up_refusal
from worker.ports.scaling import Activities, Phase

NO_CAPACITY = "We currently do not have sufficient m5.large capacity in the Availability Zone you requested."
NONE = Activities()
FAILED = launch("failed", 60, reason=NO_CAPACITY)
DEBT = Activities((FAILED,))


def told(refusal: str | None) -> str:
    assert refusal is not None
    return refusal


def test_a_healthy_group_may_be_scaled() -> None:
    present = group([instance(1), instance(2)])
    assert up_refusal(present, NONE, False) is None
    assert down_refusal(present, 2, NONE, False) is None


def test_a_suspended_process_is_named_with_the_command_that_resumes_it() -> None:
    stopped = group([instance(1)], launches_suspended=True)
    assert "The process Launch of Auto Scaling group swarm-NodeAsg-1 is suspended" in told(
        up_refusal(stopped, NONE, False)
    )
    assert "resume-processes --auto-scaling-group-name swarm-NodeAsg-1 --scaling-processes Launch" in told(
        up_refusal(stopped, NONE, False)
    )
    assert down_refusal(stopped, 1, NONE, False) is None


def test_only_the_process_that_is_needed_must_run() -> None:
    stopped = group([instance(1)], terminations_suspended=True)
    assert up_refusal(stopped, NONE, False) is None
    assert "The process Terminate" in told(down_refusal(stopped, 1, NONE, False))


def test_a_group_that_counts_its_capacity_in_something_else_is_not_scaled() -> None:
    weighted = group([instance(1), instance(2)], desired=6, unit="weights")
    refusal = told(unit_refusal(weighted))
    assert "swarm-NodeAsg-1 counts its capacity in weights, not in instances: 6 desired, 2 instances" in refusal
    assert "Take the weights out of its mixed-instances policy" in refusal
    assert unit_refusal(group([instance(1)])) is None


def test_an_instance_refresh_is_waited_for_by_the_operator() -> None:
    for refusal in (up_refusal(group(), NONE, True), down_refusal(group([instance(1)]), 1, NONE, True)):
        assert "An instance refresh of Auto Scaling group swarm-NodeAsg-1 is running" in told(refusal)
        assert "cancel-instance-refresh" in told(refusal)


@pytest.mark.parametrize(("least", "count", "allowed"), [(0, 2, True), (1, 1, True), (1, 2, False), (2, 1, False)])
def test_a_down_needs_room_above_the_groups_min_size(least: int, count: int, *, allowed: bool) -> None:
    refusal = down_refusal(group([instance(1), instance(2)], min_size=least), count, NONE, False)
    assert (refusal is None) == allowed
    if refusal:
        assert f"desired capacity of 2 and a MinSize of {least}, so {count} cannot be removed" in refusal
        assert f"at most {2 - least}" in refusal


def test_a_group_that_owes_instances_it_could_not_launch_is_left_alone_with_awss_own_reason() -> None:
    owing = group([instance(1)], desired=3)
    for refusal in (up_refusal(owing, DEBT, False), down_refusal(owing, 1, DEBT, False)):
        assert "wants 3 instances and has 1" in told(refusal)
        assert NO_CAPACITY.rstrip(".") in told(refusal)
        assert ".." not in told(refusal)


def test_a_group_that_owes_nothing_or_is_only_slow_may_be_scaled() -> None:
    assert up_refusal(group([instance(1)]), DEBT, False) is None
    assert up_refusal(group([instance(1)], desired=2), NONE, False) is None
    assert up_refusal(group([instance(1)], desired=2), Activities((launch("open", 5),)), False) is None
    assert up_refusal(group([instance(1)], desired=2), Activities((launch("succeeded", 5), FAILED)), False) is None


def test_an_instance_on_its_way_out_pays_no_debt() -> None:
    owing = group([instance(1), instance(2, phase=Phase.LEAVING)], desired=2)
    assert up_refusal(owing, DEBT, False) is not None


def test_a_failure_from_before_the_last_raise_says_nothing_about_it() -> None:
    raised = group([instance(1)], desired=2)
    assert up_refusal(raised, DEBT, False, since=ago(30)) is None
    assert up_refusal(raised, DEBT, False, since=ago(90)) is not None
