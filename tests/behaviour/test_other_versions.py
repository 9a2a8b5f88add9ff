"""Records of the version before and of a version to come, taken over by this one at every step.

What it does not know it keeps, what it cannot read costs no more than that: nodes are given back, nothing is terminated
twice, and the lane goes on.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from shared.records import Record, State
from shared.table import Layout
from tests.behaviour.other_versions import NAMES, load, put, size
from tests.behaviour.scenario import RESCHEDULED, Scenario, scenario
from worker.requests.plans import DepartingNode

DOWN = [name for name in NAMES if name.startswith("down_")]
UP = [name for name in NAMES if name.startswith("up_")]
UNDONE = {"down_at_undo", "down_lost"}
CAPACITIES = {
    "down_of_two_one_terminated": [4, 3, 2],
    "down_of_two_second_intended": [4, 3, 2],
    "down_lost": [4],
    "down_at_undo": [2],
    "down_of_managers_demoted": [1],
}
"""Every desired capacity of the workers, where it is not from 3 to 2 (down), from 1 to 2 (up), or 1 (services)."""
MARK = {"of": ["a", "version", "to", "come"]}


def capacities(name: str) -> list[int]:
    """Every desired capacity of the workers, from the first to the last."""
    return CAPACITIES.get(name, [3, 2] if name in DOWN else [1, 2] if name in UP else [1])


def least(name: str) -> int:
    """The lowest desired capacity of the workers that the request of a file may leave."""
    document = load_document(name)
    workers = document["scale"] == "down" and document["type"] == "worker"
    return int(document["nodes_after"] or 2) if workers else 1


def as_it_should(s: Scenario, name: str, record: Record) -> None:
    """The record has the end that its request should have, and so has the world."""
    assert record.state == (State.FAILED if name in UNDONE else State.SUCCEEDED), record.message
    assert s.desired == capacities(name)
    assert s.groups.groups["managers"].desired_history == ([5, 4] if "managers" in name else [len(s.managers)])
    assert all(node.availability == "active" for node in s.swarm.cluster.nodes.values() if node.ready)
    assert len(s.nodes("manager")) == s.groups.groups["managers"].desired
    if name in UNDONE:
        assert record.message == load_document(name)["plan"]["why"]
    if name.startswith("scale_service"):
        assert s.service("web").replicas == 3
    if name.startswith("reschedule"):
        assert s.service("demo").env["RESCHEDULE_DATE"] == load_document(name)["plan"]["reschedule"]["stamp"]


def load_document(name: str) -> dict[str, Any]:
    """The record in a file."""
    document: dict[str, Any] = load(name)["item"]["document"]
    return document


async def taken_over(s: Scenario, request: str) -> Record:
    """A worker of this version takes over; the record when it is settled."""
    s.start()
    await s.until(lambda: s.record(request).settled, within=1200)
    await s.passes(5)
    return s.record(request)


def test_there_is_a_record_of_every_step() -> None:
    steps = {(document["action"], document["scale"], document["step"]) for document in map(load_document, NAMES)}
    for scale, names in {
        "up": (None, "plan", "apply", "wait", "reschedule"),
        "down": ("plan", "drain", "terminate", "remove", "undo"),
    }.items():
        assert {step for action, way, step in steps if (action, way) == ("scale-nodes", scale)} == set(names)
    assert ("scale-service", "up", "apply") in steps
    assert ("reschedule-services", None, "reschedule") in steps


@pytest.mark.parametrize("name", NAMES)
async def test_a_record_of_the_version_before_ends_as_it_should(name: str) -> None:
    async with scenario(**size(name)) as s:
        as_it_should(s, name, await taken_over(s, await put(s, name)))


@pytest.mark.parametrize("name", ["up_ended_with_notices", "down_ended_with_notices", "up_at_wait_with_notices"])
async def test_what_the_version_before_could_not_say_is_said_in_its_order(name: str) -> None:
    async with scenario(**size(name)) as s:
        await taken_over(s, await put(s, name))
        owed = [notice["summary"] for notice in load_document(name)["notices"]]
        assert s.alerts.summaries[: len(owed)] == [summary for summary in s.alerts.summaries if summary in owed] != []
        assert len(s.alerts.summaries) == len(set(s.alerts.summaries))


# --- Fields that this version does not know ---------------------------------------------------------------------


def with_unknown_fields(document: dict[str, Any]) -> None:
    """One more field at every level. (`demoted` has instances for keys, and no fields.)"""
    for nested in [document, *_documents(document, but={"demoted", "request"})]:
        nested["x_future"] = MARK
    for step in document["steps"]:
        step["x_future"] = MARK


def _documents(document: dict[str, Any], but: set[str]) -> Iterator[dict[str, Any]]:
    for key, value in document.items():
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, dict) and key not in but | {"steps"}:
                yield from _documents(each, but)
                yield each


def without_unknown_fields(value: Any) -> set[str]:
    """The places (paths of keys, without numbers) of all unknown fields."""
    if isinstance(value, dict):
        nested = {f"{key}.{place}" for key, each in value.items() for place in without_unknown_fields(each)}
        return nested | ({"x_future"} if value.get("x_future") == MARK else set())
    if isinstance(value, list):
        return {place for each in value for place in without_unknown_fields(each)}
    return set()


@pytest.mark.parametrize("name", NAMES)
async def test_fields_of_the_future_change_nothing_and_are_still_there_at_the_end(name: str) -> None:
    async with scenario(**size(name)) as s:
        before = load_document(name)
        with_unknown_fields(before)
        record = await taken_over(s, await put(s, name, with_unknown_fields))
        as_it_should(s, name, record)
        # An intent and a notice end with what they are about.
        ended = {"notices.x_future", "plan.intent.x_future"}
        kept = without_unknown_fields(json.loads(Layout("x").item(record)["document"]["S"]))
        assert kept >= without_unknown_fields(before) - ended
        assert {"x_future", "plan.x_future"} <= kept | ({"plan.x_future"} if not before["plan"] else set())
        assert all(step.unknown == {"x_future": MARK} for step in record.steps[: len(before["steps"])])


async def test_a_notice_of_the_future_keeps_its_fields_until_it_is_taken() -> None:
    name = "up_at_wait_with_notices"
    async with scenario(**size(name)) as s:
        request = await put(s, name, with_unknown_fields)
        process = s.start()
        process.ports.away.add("alerts")
        record = await s.ended(request)
        assert [notice.get("x_future") for notice in record.notices] == [MARK, MARK, None]
        process.ports.away.clear()
        await s.until(lambda: s.record(request).settled)
        assert len(s.told) == 3


# --- Fields that are missing, or that this version cannot read --------------------------------------------------


def _fields_of_plans() -> list[tuple[str, str]]:
    """One record for each field of each plan at each step."""
    found = {}
    for name in NAMES:
        document = load_document(name)
        for field in document["plan"] if "ended" not in name else ():
            found[document["action"], document["scale"], document["step"], field] = name, field
    return sorted(found.values())


@pytest.mark.parametrize(("name", "field"), _fields_of_plans())
async def test_a_plan_that_has_lost_a_field_ends_and_the_lane_goes_on(name: str, field: str) -> None:
    def damaged(document: dict[str, Any]) -> None:
        document["plan"][field] = {"unlike": [1, {"x": None}]} if field != "reschedule" else 7

    async with scenario(**size(name)) as s:
        request = await put(s, name, damaged)
        process = s.start()
        await s.until(lambda: s.record(request).state.ended, within=2400)
        assert process.ports.calls.count("groups.terminate") <= int(s.record(request).by or 1)
        assert min(s.desired) >= least(name), "more was terminated than was asked for"
        if field != "leaving":  # who they are is written nowhere else
            await s.until(lambda: {node.availability for node in s.nodes() if node.ready} == {"active"})
        assert (await s.ended(s.up(type="manager"), within=2400)).state.ended


@pytest.mark.parametrize("part", ["leaving", "intent", "expectation", "reschedule"])
async def test_a_nested_document_that_is_empty_has_its_defaults(part: str) -> None:
    names = [name for name in NAMES if load_document(name)["plan"].get(part) and "ended" not in name]

    def emptied(document: dict[str, Any]) -> None:
        value = document["plan"][part]
        document["plan"][part] = [{} for _ in value] if isinstance(value, list) else {}

    for name in names:
        async with scenario(**size(name)) as s:
            request = await put(s, name, emptied)
            s.start()
            await s.ended(request, within=2400)
            assert min(s.desired) >= least(name)
    assert names


def test_a_node_of_which_nothing_is_written_was_active() -> None:
    """Else an undo would leave it paused."""
    assert DepartingNode.parse({}).availability == "active"


@pytest.mark.parametrize("field", sorted(set(load_document("down_at_drain_with_slots")) - {"plan", "type", "scale"}))
async def test_a_record_that_has_lost_a_field_ends_and_its_nodes_are_given_back(field: str) -> None:
    def damaged(document: dict[str, Any]) -> None:
        document[field] = {"unlike": []} if field != "request" else 7

    name = "down_at_drain_with_slots"
    async with scenario(**size(name)) as s:
        request = await put(s, name, damaged)
        s.start()
        await s.until(lambda: s.record(request).state.ended, within=2400)
        await s.passes(5)
        assert len(s.desired) <= 2
        assert {node.availability for node in s.nodes()} <= {"active"} or field in {"step", "action"}


async def test_an_action_of_the_future_ends_as_failed_with_its_sentence_and_the_lanes_go_on() -> None:
    def of_the_future(document: dict[str, Any]) -> None:
        document.update(action="move-swarm", step="drain")

    name = "down_at_drain_paused"
    async with scenario(**size(name)) as s:
        request = await put(s, name, of_the_future)
        s.start()
        record = await s.ended(request)
        assert (record.state, record.message) == (
            State.FAILED,
            (
                "This version of the worker does not know the action move-swarm. Update the workers, then repeat the "
                "request"
            ),
        )
        s.swarm.create("demo2", 2, labels=RESCHEDULED)
        assert (await s.ended(s.up())).state == State.SUCCEEDED
        assert (await s.ended(s.ask("reschedule-services"))).state == State.SUCCEEDED


async def test_a_step_of_the_future_ends_as_failed_and_the_nodes_are_given_back() -> None:
    def of_the_future(document: dict[str, Any]) -> None:
        document["step"] = "hand-over"

    name = "down_at_drain_paused"
    async with scenario(**size(name)) as s:
        request = await put(s, name, of_the_future)
        s.start()
        record = await s.ended(request)
        assert record.state == State.FAILED
        assert "hand-over" in record.message
        await s.until(lambda: {node.availability for node in s.nodes()} == {"active"})
        assert s.desired == [3]
