"""A dry run names what the request right after it does, in many random Swarms (invariant 12)."""

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any
from unittest import mock

import pytest

from shared.records import State
from tests.simulation.rehearsals import Pair, Rehearsal
from tests.simulation.world import World
from worker.flows import dry_run
from worker.flows.flow import Context
from worker.ports.swarm import Node

FEW = range(1, 16)
MANY = range(1, 1001)


def differing(pairs: Iterable[Pair]) -> list[str]:
    return [str(pair) for pair in pairs if pair.difference is not None]


def counted(pairs: Iterable[Pair]) -> Counter[str]:
    """What was asked, and what the dry runs said to it."""
    return Counter(
        " ".join(filter(None, (pair.request["action"], pair.request.get("scale"), pair.dry.state))) for pair in pairs
    )


def rehearsed(seeds: range) -> list[Pair]:
    return [pair for seed in seeds for pair in Rehearsal(seed).run()]


def test_a_dry_run_names_what_the_request_right_after_it_does() -> None:
    pairs = rehearsed(FEW)
    assert differing(pairs) == []
    asked = counted(pairs)
    assert asked["scale-nodes down succeeded"] >= len(FEW) / 3
    assert asked["scale-nodes down failed"] >= 1
    assert asked["scale-nodes up succeeded"] >= 1


@pytest.mark.slow
def test_a_dry_run_names_the_same_victim_in_1000_random_swarms() -> None:
    pairs = rehearsed(MANY)
    assert differing(pairs) == []
    asked = counted(pairs)
    assert asked["scale-nodes down succeeded"] >= 1000
    everything = {
        *(f"scale-nodes {way} {state}" for way in ("up", "down") for state in ("succeeded", "skipped", "failed")),
        *(f"scale-service {way} {state}" for way in ("up", "down") for state in ("succeeded", "failed")),
        *(f"{action} {state}" for action in ("drain-node", "replace-node") for state in ("succeeded", "failed")),
        *(f"reschedule-service {state}" for state in ("succeeded", "failed")),
        *("drain-node skipped", "reschedule-services succeeded"),
    }
    assert everything - asked.keys() == set()
    taken = {(pair.seed, pair.request.get("type")) for pair in pairs if pair.real.state is State.SUCCEEDED}
    assert {kind for _, kind in taken} >= {"worker", "manager"}


class _Unlabelled:
    """A Swarm whose nodes bear no labels."""

    def __init__(self, swarm: Any) -> None:
        self._swarm = swarm

    def __getattr__(self, name: str) -> Any:
        return getattr(self._swarm, name)

    async def nodes(self, *arguments: Any) -> Sequence[Node]:
        return [replace(node, labels={}) for node in await self._swarm.nodes(*arguments)]


def _look_through_other_ports(_world: World, stack: ExitStack) -> None:
    """The dry run reads nodes by a way of its own, which leaves the labels out."""
    without_effects = dry_run._without_effects

    def other(context: Context) -> Context:
        made = without_effects(context)
        return replace(made, leadership=replace(made.leadership, swarm=_Unlabelled(made.leadership.swarm)))

    stack.enter_context(mock.patch.object(dry_run, "_without_effects", other))


def test_a_dry_run_that_sees_something_else_than_the_request_is_found_out() -> None:
    found = (differing(Rehearsal(seed).run(_look_through_other_ports)) for seed in MANY)
    assert next(filter(None, found), None) is not None
