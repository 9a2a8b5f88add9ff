"""Managers are demoted only while the others can go on without them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.build import manager, node
from worker.decisions.quorum import demotion_refusal, demotions_refusal
from worker.ports.swarm import Node


def test_one_of_three_may_go() -> None:
    assert demotion_refusal([manager(1), manager(2), manager(3), node(4)], "n-0001") is None


def test_one_of_two_may_go_and_the_last_may_not() -> None:
    assert demotion_refusal([manager(1), manager(2)], "n-0001") is None
    refusal = demotion_refusal([manager(1), node(2)], "n-0001")
    assert refusal is not None
    assert refusal.startswith("ip-10-0-3-1 is the last Ready manager")


def test_a_demotion_that_costs_quorum_is_refused_with_the_numbers() -> None:
    nodes = [manager(1), manager(2), manager(3, reachable=False)]
    refusal = demotion_refusal(nodes, "n-0001")
    assert refusal is not None
    assert (
        "Demoting ip-10-0-3-1 would cost the managers' quorum: of the 2 others 1 can be reached, 2 are needed"
        in refusal
    )


def test_the_unreachable_one_itself_may_go() -> None:
    assert demotion_refusal([manager(1), manager(2), manager(3, reachable=False)], "n-0003") is None


@pytest.mark.parametrize("other", [manager(2, state="down"), manager(2, role="worker"), node(2, role="manager")])
def test_a_manager_that_is_down_or_on_its_way_out_or_none_yet_cannot_be_the_last(other: Node) -> None:
    refusal = demotion_refusal([manager(1), other], "n-0001")
    assert refusal is not None
    assert "last Ready manager" in refusal


def test_what_is_no_manager_any_more_needs_no_demotion() -> None:
    assert demotion_refusal([manager(1), node(2)], "n-0002") is None
    assert demotion_refusal([manager(1)], "gone") is None


def test_several_are_judged_one_after_the_other() -> None:
    nodes = [manager(number) for number in range(1, 4)]
    assert demotions_refusal(nodes, ["n-0001", "n-0002"]) is None
    assert demotions_refusal(nodes, ["n-0001", "n-0002", "n-0003"]) is not None


MANAGERS = st.lists(st.tuples(st.booleans(), st.sampled_from(["ready", "down"])), min_size=1, max_size=7)


@given(MANAGERS, st.lists(st.integers(0, 6), max_size=7, unique=True))
def test_what_is_allowed_leaves_a_majority_and_a_ready_manager(
    managers: list[tuple[bool, str]], order: list[int]
) -> None:
    nodes = [manager(number, reachable=ok, state=state) for number, (ok, state) in enumerate(managers)]
    ids = [f"n-{number:04d}" for number in order if number < len(nodes)]
    if demotions_refusal(nodes, ids) is None and ids:
        rest = [one for one in nodes if one.id not in ids]
        reachable = [one for one in rest if one.manager and one.manager.reachable]
        assert 2 * len(reachable) > len(rest)
        assert any(one.ready for one in reachable)


@given(st.integers(2, 9), st.integers(0, 8))
def test_a_healthy_swarm_may_always_lose_one(count: int, which: int) -> None:
    nodes = [manager(number) for number in range(count)]
    assert demotion_refusal(nodes, nodes[which % count].id) is None
