"""`scaler_oldest_request_seconds`: what each worker says of the oldest request that has not ended."""

import json
from datetime import timedelta

from shared.clock import rfc3339
from shared.records import State
from tests.behaviour.stage import Process
from tests.behaviour.world import world


def oldest(process: Process) -> float:
    """What a scrape would show."""
    value = process.metrics.registry.get_sample_value("scaler_oldest_request_seconds")
    assert value is not None
    return value


async def test_it_grows_while_a_request_is_open_and_is_zero_before_and_after() -> None:
    async with world(boot=40) as w:
        process = await w.started()
        assert oldest(process) == 0
        up = w.up()
        await w.at(up, "wait")
        before = oldest(process)
        await w.passes(20)
        assert 20 <= oldest(process) - before <= 21
        await w.ended(up)
        assert oldest(process) == 0


async def test_of_several_the_oldest_counts_since_it_was_requested() -> None:
    async with world(boot=40) as w:
        process = await w.started()
        requested = w.clock.now() - timedelta(seconds=500)
        old = w.inbox.send(
            json.dumps({"action": "scale-nodes", "scale": "up", "type": "worker", "requested_at": rfc3339(requested)})
        )
        new = w.up()
        await w.at(old, "wait")
        await w.at(new, "wait")
        assert 500 <= oldest(process) <= 505


async def test_a_request_that_ended_and_is_only_not_told_yet_does_not_count() -> None:
    async with world() as w:
        w.swarm.create("web", 1)
        process = await w.started()
        process.stage.away.add("alerts")
        asked = w.ask("scale-service", service="web", scale="up")
        assert (await w.ended(asked)).state == State.SUCCEEDED
        await w.passes(30)
        assert not w.record(asked).settled
        assert oldest(process) == 0


async def test_a_standby_says_zero_and_who_takes_over_goes_on_where_the_other_was() -> None:
    async with world(boot=120) as w:
        first = await w.started()
        second = w.start()
        up = w.up()
        await w.at(up, "wait")
        await w.passes(10)
        assert oldest(first) >= 10
        assert oldest(second) == 0
        first.stage.away.add("lease")
        await w.until(lambda: second.active)
        await w.until(lambda: oldest(second) >= 20)
        assert not first.active
        assert oldest(first) == 0
