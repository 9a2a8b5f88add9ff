"""While the cluster is paused no node scale begins; everything else goes on."""

from datetime import timedelta

import pytest

from shared.clock import rfc3339
from shared.errors import Unavailable
from shared.pause import Pause
from shared.records import State
from tests.behaviour.process import Process
from tests.behaviour.scenario import Scenario, scenario
from tests.fakes.clock import START

pytestmark = pytest.mark.looptime(idle_timeout=1)

BY_ALICE = {"asked_by": {"user": "alice", "address": "10.0.0.7"}, "reason": "maintenance"}
SECONDS = 3600.0


async def test_while_paused_node_scales_are_skipped_with_who_why_and_until_when() -> None:
    async with scenario() as s:
        await s.started()
        paused = await s.ended(s.ask("pause", id="p", **{"for": SECONDS}, **BY_ALICE))
        assert paused.state is State.SUCCEEDED
        assert paused.message.startswith("Node scales are paused until 2026-11-")
        assert paused.message.endswith(" by alice at 10.0.0.7 (maintenance)")
        for request in (s.up(), s.down()):
            record = await s.ended(request)
            assert record.state is State.SKIPPED
            assert record.message.startswith("Paused since 2026-11-")
            assert " by alice at 10.0.0.7 (maintenance): no node scale begins." in record.message
        assert s.desired == [1]
        assert ("scale_nodes", "pause", "pending", "Pause node scales", paused.message) in s.told


async def test_it_ends_by_itself() -> None:
    async with scenario() as s:
        await s.started()
        await s.ended(s.ask("pause", **{"for": 600}))
        await s.passes(599)
        assert (await s.ended(s.up())).state is State.SKIPPED
        await s.passes(2)
        assert (await s.ended(s.up())).state is State.SUCCEEDED


def told_over(s: Scenario) -> list[str]:
    """How often people were told that node scales go on, and in which words."""
    return [alert.summary for alert in (posted.alert for posted in s.alerts.posted) if alert.status == "success"]


async def successor(s: Scenario) -> Process:
    """Another active worker, whose clock is right."""
    process = s.start()
    process.clock.step(s.clock.now() - process.clock.now())
    await s.until(lambda: process.active)
    return process


async def paused_for(s: Scenario, seconds: float) -> None:
    """A pause that people were told of."""
    assert (await s.ended(s.ask("pause", id="p", **{"for": seconds}))).state is State.SUCCEEDED


async def test_what_a_message_says_of_the_end_of_a_pause_counts_for_nothing() -> None:
    async with scenario() as s:
        await s.started()
        await paused_for(s, 600)
        ended = {"request": "another", "since": rfc3339(START), "until": rfc3339(START)}
        assert (await s.ended(s.ask("resume", source="worker", over=ended))).state is State.SUCCEEDED
        assert (await s.ended(s.up())).state is State.SUCCEEDED


async def test_people_are_told_once_that_its_time_is_over() -> None:
    async with scenario() as s:
        await s.started()
        await paused_for(s, 60)
        await s.passes(55)
        assert told_over(s) == []
        await s.passes(10)
        paused = s.record("p")
        (over,) = (each for each in s.journal.records.values() if each.action == "resume")
        assert (over.state, over.source, over.reason) == (State.SUCCEEDED, "worker", "its time is over")
        assert over.message == "Node scales go on, paused since 2026-11-01T12:00:00Z until 2026-11-01T12:01:00Z"
        await s.passes(200)
        assert [told for told in s.told if told[1] == "pause"] == [
            ("scale_nodes", "pause", "pending", "Pause node scales", paused.message),
            ("scale_nodes", "pause", "success", "Resume node scales", over.message),
        ]


@pytest.mark.parametrize(
    "call", ["journal.create", "journal.create done", "journal.remember_pause", "journal.remember_pause done"]
)
async def test_a_worker_that_dies_over_its_end_leaves_it_to_the_next(call: str) -> None:
    async with scenario() as s:
        first = await s.started()
        await paused_for(s, 60)
        first.ports.hold(call.removesuffix(" done"), after=call.endswith("done"))
        await s.until(lambda: bool(first.ports.waiting), within=70)
        first.kill()
        await successor(s)
        await s.passes(30)
        assert len(told_over(s)) == 1
        assert [each.state for each in s.journal.records.values() if each.action == "resume"] == [State.SUCCEEDED]


async def test_one_that_ends_while_no_worker_is_active_is_told_by_the_next_and_by_no_other() -> None:
    async with scenario() as s:
        first = await s.started()
        await paused_for(s, 60)
        first.kill()
        await s.passes(100)
        assert told_over(s) == []
        second = await successor(s)
        await s.passes(60)
        assert len(told_over(s)) == 1
        await second.stop()
        await successor(s)
        await s.passes(100)
        assert len(told_over(s)) == 1


async def test_while_the_table_is_away_its_end_is_told_later() -> None:
    async with scenario() as s:
        process = await s.started()
        await paused_for(s, 60)
        process.ports.away.add("journal.create")
        await s.passes(70)
        assert told_over(s) == []
        process.ports.away.clear()
        await s.passes(60)
        assert len(told_over(s)) == 1


async def test_who_pauses_anew_or_resumes_before_its_time_is_over_is_the_last_to_say_so() -> None:
    async with scenario() as s:
        await s.started()
        await paused_for(s, 60)
        await s.passes(30)
        await s.ended(s.ask("pause", id="longer", **{"for": 90}))
        await s.passes(60)
        assert (told_over(s), (await s.ended(s.up())).state) == ([], State.SKIPPED)
        resumed = await s.ended(s.ask("resume"))
        await s.passes(200)
        assert told_over(s) == [resumed.message]


async def test_a_pause_that_was_asked_for_before_its_end_and_comes_after_it_counts() -> None:
    async with scenario() as s:
        await s.started()
        await paused_for(s, 60)
        await s.passes(80)
        assert len(told_over(s)) == 1
        before = rfc3339(s.record("p").requested_at + timedelta(seconds=50))
        record = await s.ended(s.ask("pause", requested_at=before, **{"for": 90}))
        assert record.state is State.SUCCEEDED
        assert (await s.ended(s.up())).state is State.SKIPPED


async def test_without_a_time_it_lasts_until_somebody_resumes() -> None:
    async with scenario() as s:
        process = await s.started()
        assert "until somebody resumes" in (await s.ended(s.ask("pause"))).message
        for clock in (s.clock, process.clock):
            clock.step(timedelta(days=400))
        await s.passes(600)
        assert "until somebody resumes" in (await s.ended(s.up())).message
        resumed = await s.ended(s.ask("resume"))
        assert resumed.state is State.SUCCEEDED
        assert resumed.message.startswith("Node scales go on, paused since ")
        assert ("scale_nodes", "pause", "success", "Resume node scales", resumed.message) in s.told
        assert (await s.ended(s.up())).state is State.SUCCEEDED


async def test_what_has_begun_and_services_go_on() -> None:
    async with scenario(boot=60.0) as s:
        s.swarm.create("web", 2)
        await s.started()
        begun = s.up()
        await s.at(begun, "wait")
        await s.ended(s.ask("pause"))
        assert (await s.ended(s.ask("scale-service", service="web", scale="up"))).state is State.SUCCEEDED
        assert (await s.ended(begun)).state is State.SUCCEEDED


async def test_one_that_waited_for_its_turn_when_the_pause_began_is_skipped() -> None:
    async with scenario(boot=60.0) as s:
        await s.started()
        await s.at(s.up(), "wait")
        behind = s.down()
        await s.ended(s.ask("pause"))
        assert (await s.ended(behind)).message.startswith("Paused since ")


async def test_the_later_requested_one_counts_in_whatever_order_they_come() -> None:
    async with scenario() as s:
        await s.started()
        earlier, later = "2026-11-01T09:00:00Z", "2026-11-01T09:00:01Z"
        assert (await s.ended(s.ask("resume", id="r", requested_at=later))).state is State.SKIPPED
        late = await s.ended(s.ask("pause", requested_at=earlier))
        assert (late.state, late.message) == (State.SKIPPED, "Request r paused or resumed later, and counts")
        assert (await s.ended(s.up())).state is State.SUCCEEDED
        assert (await s.ended(s.ask("pause", id="p"))).state is State.SUCCEEDED
        assert (await s.ended(s.ask("resume", requested_at=earlier))).state is State.SKIPPED
        assert (await s.ended(s.up())).state is State.SKIPPED


async def test_one_that_comes_when_its_time_is_over_pauses_nothing() -> None:
    async with scenario() as s:
        await s.started()
        record = await s.ended(s.ask("pause", requested_at="2026-11-01T09:00:00Z", **{"for": 60}))
        assert (record.state, record.message) == (
            State.SKIPPED,
            "The pause was to end at 2026-11-01T09:01:00Z, and that is over",
        )
        assert (await s.ended(s.up())).state is State.SUCCEEDED


async def test_one_whose_writing_was_not_answered_until_its_time_was_over_is_not_told_of() -> None:
    async with scenario() as s:
        process = await s.started()
        process.ports.lose_answer("journal.remember_pause", Unavailable("no answer"))
        process.ports.refuse("journal.recall_pause", *[Unavailable("no answer")] * 3)
        record = await s.ended(s.ask("pause", **{"for": 3}))
        assert (record.state, record.message) == (
            State.SKIPPED,
            "The pause was to end at 2026-11-01T12:00:03Z, and that is over",
        )
        await s.passes(120)
        assert s.alerts.posted == []
        process.kill()
        await s.started()
        await s.passes(120)
        assert s.alerts.posted == []


async def test_one_whose_answer_was_lost_holds_from_the_moment_it_was_written() -> None:
    async with scenario() as s:
        process = await s.started()
        process.ports.lose_answer("journal.remember_pause", Unavailable("no answer"))
        request = s.ask("pause")
        await s.until(lambda: "journal.remember_pause" in process.ports.calls)
        assert (await s.ended(s.up())).state is State.SKIPPED
        assert (await s.ended(request)).state is State.SUCCEEDED


async def test_one_that_was_given_up_although_it_counts_has_succeeded() -> None:
    async with scenario(request_max_age=300) as s:
        process = await s.started()
        process.ports.lose_answer("journal.remember_pause", Unavailable("no answer"))
        process.ports.away.add("journal.recall_pause")
        request = s.ask("pause")
        await s.passes(360)
        process.ports.away.clear()
        assert (await s.ended(request)).state is State.SUCCEEDED
        assert (await s.ended(s.up())).state is State.SKIPPED


async def test_a_resume_without_a_pause_has_nothing_to_do() -> None:
    async with scenario() as s:
        await s.started()
        record = await s.ended(s.ask("resume"))
        assert (record.state, record.message) == (State.SKIPPED, "Node scales are not paused")


async def test_it_survives_take_overs() -> None:
    async with scenario() as s:
        first = await s.started()
        await s.ended(s.ask("pause"))
        first.kill()
        second = await s.started()
        assert (await s.ended(s.up())).state is State.SKIPPED
        await s.ended(s.ask("resume"))
        await second.stop()
        await s.started()
        assert (await s.ended(s.up())).state is State.SUCCEEDED


@pytest.mark.parametrize("call", ["journal.remember_pause", "journal.remember_pause done"])
async def test_a_worker_that_dies_over_it_leaves_it_to_the_next(call: str) -> None:
    async with scenario() as s:
        first = await s.started()
        first.ports.hold(call.removesuffix(" done"), after=call.endswith("done"))
        request = s.ask("pause")
        await s.until(lambda: bool(first.ports.waiting))
        first.kill()
        await s.started()
        assert (await s.ended(request)).state is State.SUCCEEDED
        assert (await s.ended(s.up())).state is State.SKIPPED


async def test_while_the_table_does_not_say_whether_it_is_paused_no_node_scale_begins() -> None:
    async with scenario() as s:
        process = s.start()
        process.ports.refuse("journal.recall_pause", *[Unavailable("no answer")] * 2)
        await s.until(lambda: "journal.recall_pause" in process.ports.calls)  # early, for the first that comes
        request = s.up()
        await s.until(lambda: process.ports.calls.count("journal.recall_pause") == 2)
        assert s.record(request).step is None
        assert (await s.ended(request)).state is State.SUCCEEDED


def test_a_pause_is_read_as_it_was_written() -> None:
    pause = Pause(START, None, "alice", "maintenance")
    assert Pause.parse(pause.document()) == pause
    assert Pause.parse({"since": pause.document()["since"], "by": 7}) == Pause(START)
