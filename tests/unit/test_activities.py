"""What a group's activities tell."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.build import NOW, ago, group, instance, launch, termination
from worker.ports.scaling import Activities, Activity, Fate

OLDER = launch("failed", 120, reason="older")
FAILED = launch("failed", 60, reason="no capacity")


def why_not(*recorded: Activity, since: float = 600) -> str | None:
    return Activities(recorded).why_not(ago(since))


def test_the_newest_failed_launch_tells_whatever_the_order_of_the_records() -> None:
    assert why_not(OLDER, FAILED) == why_not(FAILED, OLDER) == "no capacity"


@pytest.mark.parametrize("silent", [launch("open", 10), launch("cancelled", 10), termination("succeeded", 10, 1)])
def test_what_is_no_ended_launch_says_nothing(silent: Activity) -> None:
    assert why_not(silent, FAILED) == "no capacity"
    assert why_not(silent) is None


def test_a_later_success_settles_it_and_an_earlier_one_does_not() -> None:
    assert why_not(launch("succeeded", 30), FAILED) is None
    assert why_not(FAILED, launch("succeeded", 90)) == "no capacity"


def test_only_a_launch_that_began_since_the_moment_counts() -> None:
    assert why_not(FAILED, since=59) is None
    assert why_not(FAILED, since=60) == "no capacity"


def test_a_termination_that_failed_is_no_failed_launch() -> None:
    assert why_not(termination("failed", 10, 1)) is None


def test_a_failed_launch_always_has_a_reason() -> None:
    assert why_not(launch("failed", 10)) == "AWS gives no reason"


def test_the_fate_of_an_instance_is_a_termination_that_names_it_and_was_not_given_up() -> None:
    recorded = Activities((termination("open", 5, 1, lowered_to=2), termination("succeeded", 9, 2, 3), FAILED))
    assert recorded.fate_of(instance(1).id) == Fate(lowered_to=2)
    assert recorded.fate_of(instance(2).id) == recorded.fate_of(instance(3).id) == Fate(lowered_to=None)
    assert recorded.fate_of(instance(4).id) is None
    assert recorded.ended == {instance(number).id for number in (1, 2, 3)}
    given_up = Activities((termination("failed", 5, 1), termination("cancelled", 5, 2), launch("succeeded", 1)))
    assert given_up.ended == frozenset()
    assert given_up.fate_of(instance(1).id) is None


def test_of_several_terminations_of_one_instance_the_one_that_lowered_the_capacity_tells() -> None:
    recorded = Activities((termination("open", 5, 1), termination("succeeded", 9, 1, lowered_to=4)))
    assert recorded.fate_of(instance(1).id) == Fate(lowered_to=4)


def age(*recorded: Activity, launched: float | None = 3600) -> float | None:
    """How many seconds ago machine 1 came into service, as far as these records know."""
    described = instance(1, launched_at=None if launched is None else ago(launched))
    (member,) = Activities(recorded).applied_to(group([described])).instances
    return None if member.launched_at is None else (NOW - member.launched_at).total_seconds()


ONE = frozenset({instance(1).id})


def test_an_instance_is_as_old_as_its_service_in_the_group_and_not_as_its_machine() -> None:
    warm = launch("succeeded", 90, instance_ids=ONE, ended_at=ago(60))
    assert age(warm) == age(warm, launch("succeeded", 3600, instance_ids=ONE), launched=None) == 60
    assert age(launch("open", 90, instance_ids=ONE)) == 90
    assert age(replace(warm, kind="arrival")) == 60


def test_a_machine_that_was_started_again_later_is_as_old_as_that_start() -> None:
    assert age(launch("succeeded", 3600, instance_ids=ONE), launched=30) == 30


def test_what_says_nothing_about_its_coming_leaves_the_description() -> None:
    other, failed = launch("succeeded", 5, instance_ids=frozenset({"i-9"})), launch("failed", 5, instance_ids=ONE)
    assert age(other, failed, replace(failed, kind="other", outcome="succeeded")) == 3600


def test_an_instance_that_is_recorded_as_ended_is_no_part_of_the_group() -> None:
    present = group([instance(1), instance(2)])
    assert Activities((termination("open", 5, 1),)).applied_to(present).instances == (instance(2),)


RECORDED = st.lists(
    st.builds(
        lambda make, outcome, age: make(outcome, age),
        st.sampled_from([launch, termination]),
        st.sampled_from(["failed", "succeeded", "open", "cancelled"]),
        st.integers(0, 9),
    ),
    max_size=6,
    unique_by=lambda activity: activity.started_at,
)


@given(RECORDED, st.integers(0, 9))
def test_a_told_failure_is_a_failed_launch_since_then_and_the_last_word(recorded: list[Activity], since: int) -> None:
    launches = [each for each in recorded if each.kind == "launch" and each.started_at <= NOW]
    ended = sorted((each for each in launches if each.outcome in {"failed", "succeeded"}), key=lambda a: a.started_at)
    last = ended[-1] if ended else None
    told = last is not None and last.outcome == "failed" and last.started_at >= ago(since)
    assert (why_not(*recorded, since=since) is not None) == told
