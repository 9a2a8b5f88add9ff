"""What may run now."""

from typing import Any

import pytest

from tests.unit.desk import Desk
from worker.dispatch.lanes import startable
from worker.requests.request import OpenRequest

pytestmark = pytest.mark.looptime(idle_timeout=1)

UP = {"action": "scale-nodes", "scale": "up", "type": "worker"}
DOWN = {**UP, "scale": "down"}
MANAGERS = {**UP, "type": "manager"}
WEB = {"action": "scale-service", "scale": "up", "type": None, "service": "web"}
ALL = {"action": "reschedule-services", "scale": None, "type": None}
RECOMMENDED = {
    "action": "node-leaving",
    "scale": None,
    "type": None,
    "request": {"cause": "rebalance recommendation", "instance": "i-1"},
}
TAKEN = {**RECOMMENDED, "request": {"cause": "spot interruption", "instance": "i-1"}}


def names(queued: list[OpenRequest], running: list[OpenRequest]) -> list[str]:
    """Who may begin."""
    return [request.id for request in startable(queued, running)]


async def test_of_several_node_scales_only_the_head_begins() -> None:
    desk = Desk()
    assert names([desk.put("a", **UP), desk.put("b", **UP)], []) == ["a"]


@pytest.mark.parametrize(
    ("head", "other", "step", "begins"),
    [
        (UP, UP, "wait", True),
        (UP, UP, "reschedule", True),
        (UP, UP, None, False),
        (UP, UP, "plan", False),
        (UP, UP, "apply", True),
        (UP, MANAGERS, "wait", False),
        (UP, DOWN, "drain", False),
        (DOWN, UP, "wait", False),
        (DOWN, DOWN, "remove", False),
    ],
)
async def test_a_node_scale_begins_beside_ups_of_its_type_that_have_their_targets(
    head: dict[str, Any], other: dict[str, Any], step: str | None, begins: bool
) -> None:
    desk = Desk()
    assert names([desk.put("a", **head)], [desk.put("b", **other, step=step)]) == (["a"] if begins else [])


async def test_what_stands_behind_the_head_of_the_lane_does_not_overtake_it() -> None:
    desk = Desk()
    assert names([desk.put("down", **DOWN), desk.put("up", **UP)], [desk.put("b", **UP, step="wait")]) == []


async def test_requests_about_services_take_turns_at_one_service_only() -> None:
    desk = Desk()
    queued = [desk.put("a", **WEB), desk.put("b", **WEB), desk.put("c", **{**WEB, "service": "api"})]
    assert names(queued, []) == ["a", "c"]
    assert names(queued[1:], [queued[0]]) == ["c"]


async def test_requests_about_all_services_wait_for_nobody() -> None:
    desk = Desk()
    assert names([desk.put("a", **ALL), desk.put("b", **ALL)], [desk.put("c", **ALL), desk.put("d", **WEB)]) == [
        "a",
        "b",
    ]


async def test_services_and_node_scales_do_not_hold_each_other_up() -> None:
    desk = Desk()
    assert names([desk.put("a", **WEB)], [desk.put("b", **DOWN, step="drain")]) == ["a"]
    assert names([desk.put("a", **DOWN)], [desk.put("b", **WEB)]) == ["a"]


async def test_an_action_of_a_newer_version_is_no_node_scale_and_stops_none() -> None:
    desk = Desk()
    unknown = {"action": "move-swarm", "scale": None, "type": None}
    assert sorted(names([desk.put("a", **unknown), desk.put("b", **UP)], [])) == ["a", "b"]


@pytest.mark.parametrize(
    ("head", "running", "step", "begins"),
    [
        (RECOMMENDED, DOWN, "drain", False),
        (RECOMMENDED, UP, "wait", False),
        (DOWN, RECOMMENDED, "drain", False),
        (DOWN, RECOMMENDED, "undo", False),
        (DOWN, RECOMMENDED, "remove", True),
        (UP, RECOMMENDED, "join", True),
        (RECOMMENDED, RECOMMENDED, "remove", False),
        (TAKEN, RECOMMENDED, "drain", True),
        (TAKEN, DOWN, "drain", True),
    ],
)
async def test_a_machine_that_ec2_only_recommends_to_replace_waits_for_its_turn(
    head: dict[str, Any], running: dict[str, Any], step: str, begins: bool
) -> None:
    desk = Desk()
    assert names([desk.put("a", **head)], [desk.put("b", **running, step=step)]) == (["a"] if begins else [])


async def test_a_second_such_machine_holds_nobody_up() -> None:
    desk = Desk()
    running = [desk.put("a", **RECOMMENDED, step="remove")]
    assert names([desk.put("b", **RECOMMENDED), desk.put("c", **DOWN)], running) == ["c"]
