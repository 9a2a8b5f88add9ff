"""Which instances a plan counts: an old description still has those that are gone."""

from tests.unit.build import group, instance, termination
from worker.flows.survey import without_ended
from worker.ports.scaling import Activities, Outcome

ALL = group([instance(number) for number in range(4)])


def left(*, by_us: set[str], outcome: Outcome = "succeeded") -> list[str]:
    """Who is left where an activity says that machine 1 is being terminated."""
    told = Activities((termination(outcome, 5, 1),))
    return [one.id for one in without_ended(ALL, told, by_us).instances]


def test_what_an_activity_says_is_being_terminated_does_not_count() -> None:
    assert left(by_us=set()) == ["i-0000", "i-0002", "i-0003"]
    assert left(by_us=set(), outcome="open") == ["i-0000", "i-0002", "i-0003"]
    assert left(by_us=set(), outcome="failed") == ["i-0000", "i-0001", "i-0002", "i-0003"]


def test_what_we_have_terminated_does_not_count_though_no_activity_shows_it_yet() -> None:
    assert left(by_us={"i-0002", "i-0009"}) == ["i-0000", "i-0003"]
