"""Nodes that join though no request asked for them: the labelled services are rescheduled, once for all of them."""

from typing import Any

from shared.records import Record, State
from tests.behaviour.scenario import RESCHEDULED, Scenario, scenario
from worker.intake.arrivals import AT_MOST_EVERY_SECONDS


def passes(s: Scenario) -> list[Record]:
    return [record for record in s.journal.records.values() if record.action == "reschedule-services"]


async def demo(s: Scenario, **options: Any) -> None:
    s.swarm.create("demo", 4, labels=RESCHEDULED)
    await s.settled("demo", 4)
    await s.started(**options)
    await s.passes(30)


async def test_what_aws_launches_by_itself_is_used() -> None:
    async with scenario(workers=3) as s:
        await demo(s)
        s.groups.kill(s.workers[0])
        await s.until(lambda: any(record.state.ended for record in passes(s)), within=90)
        (record,) = passes(s)
        new = next(node for node in s.nodes() if node.id not in {s.launcher.nodes[each] for each in s.workers})
        assert (record.state, record.source) == (State.SUCCEEDED, "swarm")
        assert record.reason == f"{new.hostname} joined, and no request had asked for it"
        assert s.service("demo").env["RESCHEDULE_DATE"]


async def test_all_that_join_within_ten_minutes_of_one_are_served_together_after_them() -> None:
    async with scenario(workers=4) as s:
        await demo(s)
        s.groups.kill(s.workers[0])
        await s.until(lambda: len(passes(s)) == 1, within=90)
        s.groups.kill(s.workers[1])
        await s.passes(60)
        s.groups.kill(s.workers[2])
        await s.passes(AT_MOST_EVERY_SECONDS - 120)
        assert len(passes(s)) == 1
        await s.until(lambda: len(passes(s)) == 2, within=150)
        assert " and no request" in str(passes(s)[1].reason)
        assert str(passes(s)[1].reason).count("ip-") == 2
        await s.passes(2 * AT_MOST_EVERY_SECONDS)
        assert len(passes(s)) == 2


async def test_what_a_scale_up_asked_for_is_rescheduled_by_it_alone() -> None:
    async with scenario(workers=2) as s:
        await demo(s)
        await s.ended(s.up())
        await s.passes(60)
        assert passes(s) == []


async def test_an_engine_that_joins_again_a_start_and_a_take_over_reschedule_nothing() -> None:
    async with scenario(workers=2) as s:
        await demo(s)
        assert passes(s) == []
        node = s.node(s.workers[0])
        s.swarm.lose(node.id)
        await s.passes(30)
        s.launcher.join("workers", s.groups.groups["workers"].instances[s.workers[0]])
        await s.passes(60)
        s.processes[0].kill()
        s.start()
        await s.passes(60)
        assert passes(s) == []


async def test_it_can_be_turned_off() -> None:
    async with scenario(workers=2) as s:
        await demo(s, reschedule_on_join=False)
        s.groups.kill(s.workers[0])
        await s.passes(120)
        assert passes(s) == []
