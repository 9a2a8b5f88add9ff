"""`scaler_oldest_request_seconds`: what each worker says of the oldest request that has not ended."""

import json
from datetime import timedelta

from shared.clock import rfc3339
from shared.records import State
from tests.behaviour.process import Process
from tests.behaviour.scenario import scenario


def oldest(process: Process) -> float:
    """What a scrape would show."""
    value = process.metrics.registry.get_sample_value("scaler_oldest_request_seconds")
    assert value is not None
    return value


async def test_it_grows_while_a_request_is_open_and_is_zero_before_and_after() -> None:
    async with scenario(boot=40) as s:
        process = await s.started()
        assert oldest(process) == 0
        up = s.up()
        await s.at(up, "wait")
        before = oldest(process)
        await s.passes(20)
        assert 20 <= oldest(process) - before <= 21
        await s.ended(up)
        assert oldest(process) == 0


async def test_of_several_the_oldest_counts_since_it_was_requested() -> None:
    async with scenario(boot=40) as s:
        process = await s.started()
        requested = s.clock.now() - timedelta(seconds=500)
        old = s.inbox.send(
            json.dumps({"action": "scale-nodes", "scale": "up", "type": "worker", "requested_at": rfc3339(requested)})
        )
        new = s.up()
        await s.at(old, "wait")
        await s.at(new, "wait")
        assert 500 <= oldest(process) <= 505


async def test_a_request_that_ended_and_is_only_not_told_yet_does_not_count() -> None:
    async with scenario() as s:
        s.swarm.create("web", 1)
        process = await s.started()
        process.ports.away.add("alerts")
        asked = s.ask("scale-service", service="web", scale="up")
        assert (await s.ended(asked)).state == State.SUCCEEDED
        await s.passes(30)
        assert not s.record(asked).settled
        assert oldest(process) == 0


async def test_a_standby_says_zero_and_who_takes_over_goes_on_where_the_other_was() -> None:
    async with scenario(boot=120) as s:
        first = await s.started()
        second = s.start()
        up = s.up()
        await s.at(up, "wait")
        await s.passes(10)
        assert oldest(first) >= 10
        assert oldest(second) == 0
        first.ports.away.add("lease")
        await s.until(lambda: second.active)
        await s.until(lambda: oldest(second) >= 20)
        assert not first.active
        assert oldest(first) == 0
