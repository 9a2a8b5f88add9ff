"""Cancelling: what waits ends, what was touched in vain is given back, what is too late goes on and says so."""

import asyncio

import pytest

from shared.errors import Unavailable
from shared.records import Record, State
from tests.behaviour.process import Process
from tests.behaviour.scenario import Scenario, scenario
from worker.ports.swarm import Node

pytestmark = pytest.mark.looptime(idle_timeout=1)

ALICE = {"asked_by": {"user": "alice", "address": "10.0.0.7"}}
PROMPT = 2.0
"""Seconds within which a wait has ended."""


def cancel(s: Scenario, request: str, **fields: object) -> str:
    return s.ask("cancel", request=request, **{**ALICE, **fields})


async def cancelled(s: Scenario, request: str, within: float = PROMPT) -> Record:
    """The record of a request after somebody has cancelled it."""
    by = cancel(s, request)
    record = await s.ended(request, within)
    ended = await s.ended(by, within)
    assert (ended.state, ended.message) == (State.SUCCEEDED, f"Request {request} was cancelled: {record.message}")
    assert record.cancelled is not None
    assert (record.cancelled["request"], record.cancelled["by"]) == (by, "alice at 10.0.0.7")
    return record


def availabilities(s: Scenario) -> set[str]:
    return {node.availability for node in s.swarm.cluster.nodes.values()}


async def stuck_drain(s: Scenario) -> tuple[Process, str]:
    """A down that waits in vain for what ran on its node to run elsewhere."""
    s.swarm.create("demo", 2, constraints=("node.role == worker",))
    await s.settled("demo", 2)
    process = await s.started()
    gate = process.ports.hold("swarm.update_node")
    down = s.down()
    await s.until(lambda: bool(process.ports.waiting))
    leaving = s.record(down).plan["leaving"][0]["node_id"]
    (stays,) = (node for node in s.nodes() if node.id != leaving)
    await s.swarm.update_node(stays.id, availability="pause")
    gate.set()
    await s.passes(10)
    assert s.record(down).step == "drain"
    assert s.swarm.cluster.nodes[leaving].availability == "drain"
    await s.swarm.update_node(stays.id, availability="active")
    s.swarm.label(stays.id, full="yes")
    return process, down


async def test_one_that_waits_for_its_turn_is_skipped_at_once() -> None:
    async with scenario(boot=600.0) as s:
        await s.started()
        first = s.up()
        await s.at(first, "wait")
        queued = s.down()
        await s.until(lambda: queued in s.journal.records)
        record = await cancelled(s, queued)
        assert (record.state, record.message) == (
            State.SKIPPED,
            "Cancelled by alice at 10.0.0.7; nothing was changed",
        )
        assert s.record(first).state is State.RUNNING


async def test_a_waiting_up_ends_and_the_capacity_stays() -> None:
    async with scenario(boot=600.0) as s:
        await s.started()
        up = s.up()
        await s.at(up, "wait")
        record = await cancelled(s, up)
        assert record.state is State.FAILED
        assert record.message.startswith("Cancelled by alice at 10.0.0.7; the desired capacity of workers is 2; ")
        assert (record.nodes_before, record.nodes_after, s.desired) == (1, 2, [1, 2])
        assert record.message in [told[-1] for told in s.told]


async def test_a_down_that_drains_is_undone_at_once_and_the_capacity_is_as_before() -> None:
    async with scenario(workers=2, drain_timeout=300) as s:
        _, down = await stuck_drain(s)
        record = await cancelled(s, down)
        assert record.state is State.FAILED
        assert record.message == "Cancelled by alice at 10.0.0.7; the desired capacity of workers is 2"
        assert (record.nodes_before, record.nodes_after) == (2, 2)
        assert availabilities(s) == {"active"}
        assert s.desired == [2]
        assert [step.name for step in record.steps] == ["plan", "drain", "undo"]


async def test_what_was_cancelled_while_docker_was_away_is_given_back_when_it_answers() -> None:
    async with scenario(workers=2, drain_timeout=300) as s:
        process, down = await stuck_drain(s)
        process.ports.away.add("swarm.update_node")
        by = cancel(s, down)
        await s.at(down, "undo", within=PROMPT)
        await s.passes(20)
        assert s.record(by).state is State.RUNNING
        waiting = s.record(by).waiting_for
        assert waiting is not None
        assert waiting["behind"] == down
        process.ports.away.clear()
        assert (await s.ended(by)).state is State.SUCCEEDED
        assert availabilities(s) == {"active"}


async def test_one_whose_step_is_tried_again_and_again_ends_promptly() -> None:
    async with scenario() as s:
        process = await s.started()
        process.ports.away.add("groups.describe")
        up = s.up()
        await s.until(lambda: process.ports.calls.count("groups.describe") > 5)
        record = await cancelled(s, up)
        assert record.message == "Cancelled by alice at 10.0.0.7; nothing was changed"
        assert s.desired == [1]


async def test_one_that_waits_for_its_turn_at_a_service_ends_promptly() -> None:
    async with scenario() as s:
        s.swarm.create("web", 2)
        await s.settled("web", 2)
        process = await s.started()
        held = process.ports.hold("swarm.update_service")
        s.ask("scale-service", service="web", scale="up")
        await s.until(lambda: "swarm.update_service" in process.ports.waiting)
        other = s.ask("scale-service", service="web", scale="up")
        await s.until(lambda: other in s.journal.records)
        record = await cancelled(s, other)
        assert record.message == "Cancelled by alice at 10.0.0.7; nothing was changed"
        held.set()


async def test_once_a_node_is_being_terminated_it_is_too_late() -> None:
    async with scenario(workers=2) as s:
        process = await s.started()
        held = process.ports.hold("groups.terminate")
        down = s.down()
        await s.until(lambda: "groups.terminate" in process.ports.waiting)
        refused = await s.ended(cancel(s, down))
        assert refused.state is State.FAILED
        assert refused.message == (
            f"Request {down} (scale-nodes) can be cancelled no more: "
            "a node of it has been terminated, or is about to be"
        )
        held.set()
        assert (await s.ended(down)).state is State.SUCCEEDED
        assert s.record(down).cancelled is None


@pytest.mark.parametrize(("held", "stopped"), [("groups.describe", True), ("journal.save", False)])
async def test_whichever_of_the_intent_and_the_cancellation_is_written_first_counts(
    held: str, *, stopped: bool
) -> None:
    async with scenario(workers=2) as s:
        process = await s.started()
        down = s.down()
        gates: list[asyncio.Event] = []

        def watch(call: str) -> None:
            if call == "groups.describe" and s.record(down).step == "terminate" and not gates:
                gates.append(process.ports.hold(held))

        process.ports.watchers.append(watch)
        await s.until(lambda: held in process.ports.waiting)
        by = cancel(s, down)
        await s.passes(5)
        gates[0].set()
        record, ended = await s.ended(down), await s.ended(by)
        if stopped:
            assert (record.state, record.nodes_after, ended.state) == (State.FAILED, 2, State.SUCCEEDED)
            assert (s.desired, availabilities(s)) == ([2], {"active"})
        else:
            assert (record.state, ended.state, s.desired) == (State.SUCCEEDED, State.FAILED, [2, 1])
            assert record.cancelled is None


async def test_what_cannot_be_cancelled_says_why() -> None:
    async with scenario() as s:
        await s.started()
        up = s.up()
        await s.ended(up)
        pause = s.ask("pause", id="p")
        await s.ended(pause)
        for request, why in (
            ("nobody", "There is no request nobody, or no worker has taken it yet"),
            (up, f"Request {up} (scale-nodes) has ended already: succeeded"),
            (pause, "Request p (pause) has ended already: succeeded"),
        ):
            record = await s.ended(cancel(s, request))
            assert (record.state, record.message) == (State.FAILED, why)


async def test_cancelling_itself_is_refused() -> None:
    async with scenario() as s:
        await s.started()
        record = await s.ended(cancel(s, "me", id="me"))
        assert (record.state, record.message) == (
            State.FAILED,
            "Request me (cancel) is of a kind that cannot be cancelled",
        )


async def test_cancelling_twice_is_once() -> None:
    async with scenario(boot=600.0) as s:
        process = await s.started()
        up = s.up()
        await s.at(up, "wait")
        held = process.ports.hold("alerts.post")
        first, second = cancel(s, up, id="c1"), cancel(s, up, id="c2")
        await s.until(lambda: second in s.journal.records)
        held.set()
        for request in (first, second):
            assert (await s.ended(request)).state is State.SUCCEEDED
        cancellation = s.record(up).cancelled
        assert cancellation is not None
        assert cancellation["request"] == "c1"


@pytest.mark.parametrize("nth", range(1, 7))
async def test_a_worker_that_dies_at_any_write_of_it_leaves_it_to_the_next(nth: int) -> None:
    async with scenario(workers=2, drain_timeout=300) as s:
        first, down = await stuck_drain(s)
        by = cancel(s, down)
        await _killed_at_save(s, first, nth)
        await s.started()
        assert (await s.ended(by)).state is State.SUCCEEDED
        record = await s.ended(down)
        assert (record.state, record.nodes_after, s.desired) == (State.FAILED, 2, [2])
        assert record.message.startswith("Cancelled by alice at 10.0.0.7; ")
        assert availabilities(s) == {"active"}


async def _killed_at_save(s: Scenario, process: Process, nth: int) -> None:
    """The process dies when its nth write of a record from now on has been done."""
    saves = 0

    def watch(call: str) -> None:
        nonlocal saves
        saves += call == "journal.save done"
        if saves == nth:
            process.kill()

    process.ports.watchers.append(watch)
    await s.until(lambda: saves >= nth, within=30)


async def test_a_cancellation_whose_write_had_no_answer_counts_once() -> None:
    async with scenario(boot=600.0) as s:
        process = await s.started()
        up = s.up()
        await s.at(up, "wait")
        process.ports.refuse("journal.save", Unavailable("no answer"))
        record = await cancelled(s, up, within=10)
        assert record.state is State.FAILED


async def test_the_managers_that_were_demoted_are_promoted_again() -> None:
    async with scenario(managers=5, default_min_manager_nodes=3) as s:
        process = await s.started()
        down = s.ask("scale-nodes", scale="down", type="manager")
        held = process.ports.hold("swarm.update_node", after=True)
        await s.until(lambda: bool(process.ports.waiting))
        held.set()
        await s.at(down, "terminate", within=30)
        by = cancel(s, down)
        record, ended = await s.ended(down), await s.ended(by)
        assert (record.state is State.FAILED) == (ended.state is State.SUCCEEDED)
        if record.state is State.FAILED:
            assert len([node for node in s.swarm.cluster.nodes.values() if _manages(node)]) == 5


def _manages(node: Node) -> bool:
    return node.role == "manager" and node.availability == "active"
