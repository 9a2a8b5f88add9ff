"""The metrics of the active worker: open requests, what they wait for, notices, cool-downs, the lease."""

from tests.behaviour.process import Process
from tests.behaviour.scenario import scenario


def sample(process: Process, name: str, **labels: str) -> float | None:
    """What a scrape would show; None: no such series."""
    return process.metrics.registry.get_sample_value(f"scaler_{name}", labels)


async def test_an_up_that_waits_for_its_nodes_and_a_down_that_waits_for_the_up() -> None:
    async with scenario(boot=40) as s:
        process = await s.started()
        assert sample(process, "open_requests", state="running") == 0
        up = s.up()
        await s.at(up, "wait")
        down = s.down()
        await s.passes(5)
        assert sample(process, "open_requests", state="running") == 1
        assert sample(process, "open_requests", state="queued") == 1
        assert sample(process, "waiting_requests", reason="wait") == 1
        assert sample(process, "waiting_requests", reason="turn") == 1
        await s.ended(down)
        assert sample(process, "open_requests", state="running") == 0
        assert sample(process, "step_seconds_count", step="wait", scale="up") == 1
        assert sample(process, "step_seconds_count", step="terminate", scale="down") == 1


async def test_who_does_not_answer_is_the_reason() -> None:
    async with scenario() as s:
        process = await s.started()
        process.ports.away.add("groups")
        s.up()
        await s.until(lambda: sample(process, "waiting_requests", reason="aws") == 1)


async def test_notices_that_are_not_taken_are_counted_until_they_are() -> None:
    async with scenario() as s:
        s.swarm.create("web", 1)
        process = await s.started()
        process.ports.away.add("alerts")
        await s.ended(s.ask("scale-service", service="web", scale="up"))
        assert sample(process, "pending_notices") == 1
        process.ports.away.clear()
        await s.until(lambda: sample(process, "pending_notices") == 0)


async def test_a_cool_down_shows_when_it_is_over() -> None:
    async with scenario(scale_up_cooldown=600) as s:
        process = await s.started()
        assert sample(process, "cooldown_end_timestamp_seconds", type="worker", scale="up") is None
        ended = await s.ended(s.up())
        assert ended.ended_at is not None
        over = sample(process, "cooldown_end_timestamp_seconds", type="worker", scale="up")
        assert over is not None
        assert 595 <= over - ended.ended_at.timestamp() <= 600
        assert sample(process, "cooldown_end_timestamp_seconds", type="worker", scale="down") is None


async def test_the_lease_is_renewed_before_it_is_over_and_a_standby_has_none() -> None:
    async with scenario() as s:
        process, second = await s.started(), s.start()
        await s.passes(60)
        age = sample(process, "lease_age_seconds")
        assert age is not None
        assert 0 <= age <= 6
        assert sample(second, "lease_age_seconds") is None
