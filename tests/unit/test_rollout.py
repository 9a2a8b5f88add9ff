"""One rescheduling of some services, service by service."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from shared.errors import Unavailable
from tests.fakes import people
from tests.unit.desk import Desk
from worker.errors import LeaseLost
from worker.flows.rollout import AT_ONCE, SLOW_SECONDS, Rescheduler, Selection
from worker.ports.swarm import Service
from worker.ports.swarm_changes import RESCHEDULE_LABEL, ServiceChange
from worker.requests.plans import Rollout

pytestmark = pytest.mark.looptime(idle_timeout=1)

KEY = "RESCHEDULE_DATE"
ROLLOUT = Rollout(id="r", stamp="20261101T130000")


@asynccontextmanager
async def desk_with(*services: str, replicas: int = 1, **variables: object) -> AsyncIterator[Desk]:
    """A desk, and services whose tasks run."""
    desk = Desk(**variables)
    for service in services:
        desk.swarm.create(service, replicas)
    await asyncio.sleep(2)
    events = asyncio.ensure_future(desk.leadership.events.run())
    try:
        yield desk
    finally:
        events.cancel()
        await asyncio.wait([events])


def service(desk: Desk, name: str) -> Service:
    """As it stands."""
    return next(each for each in desk.swarm.cluster.services.values() if each.name == name)


async def test_all_services_get_the_value_and_succeed_when_their_update_has_ended() -> None:
    async with desk_with("a", "b") as desk:
        result = await Rescheduler(desk.leadership).run(ROLLOUT, Selection(await desk.swarm.services()), [])
        assert (result.succeeded, result.failed) == (("a", "b"), ())
        assert {each.env[KEY] for each in await desk.swarm.services()} == {ROLLOUT.stamp}
        assert {each.update_state for each in await desk.swarm.services()} == {"completed"}


async def test_an_update_that_has_not_begun_yet_has_not_ended() -> None:
    async with desk_with("a") as desk:
        desk.swarm.times.update_begin_seconds = 5.0
        began = asyncio.get_running_loop().time()
        await Rescheduler(desk.leadership).run(ROLLOUT, Selection(await desk.swarm.services()), [])
        assert asyncio.get_running_loop().time() - began >= 5


async def test_the_rollout_is_continued_where_its_label_stands_whatever_the_value_is_by_now() -> None:
    async with desk_with("a") as desk:
        before = service(desk, "a")
        change = ServiceChange(request_id="r", env=(KEY, ROLLOUT.stamp))
        await desk.swarm.update_service(before.id, change)
        people.set_env(desk.swarm, "a", **{KEY: "mine"})
        calls = desk.hooks.calls.count("swarm.update_service")
        await Rescheduler(desk.leadership).run(ROLLOUT, Selection(await desk.swarm.services()), [])
        assert desk.hooks.calls.count("swarm.update_service") == calls
        assert service(desk, "a").labels[RESCHEDULE_LABEL] == "r"


async def test_a_later_rollout_has_done_what_this_one_wants() -> None:
    async with desk_with("a") as desk:
        people.set_env(desk.swarm, "a", **{KEY: "20261101T130001"})
        result = await Rescheduler(desk.leadership).run(ROLLOUT, Selection(await desk.swarm.services()), [])
        assert result.succeeded == ("a",)
        assert service(desk, "a").env[KEY] == "20261101T130001"


async def test_one_that_was_removed_meanwhile_neither_failed_nor_succeeded() -> None:
    async with desk_with("a", "b") as desk:
        services = await desk.swarm.services()
        desk.swarm.remove(service(desk, "a").id)
        result = await Rescheduler(desk.leadership).run(ROLLOUT, Selection(services), [])
        assert (result.succeeded, result.failed) == (("b",), ())


async def test_what_swarm_does_not_answer_is_asked_again_until_the_time_is_over() -> None:
    async with desk_with("a", reschedule_timeout=30) as desk:
        desk.hooks.refuse("swarm.update_service", Unavailable("no answer"))
        assert (
            await Rescheduler(desk.leadership).run(ROLLOUT, Selection(await desk.swarm.services()), [])
        ).succeeded == ("a",)
        desk.hooks.refuse("swarm.update_service", *[Unavailable("no answer")] * 100)
        second = Rollout(id="s", stamp="20261101T140000")
        result = await Rescheduler(desk.leadership).run(second, Selection(await desk.swarm.services()), [])
        assert result.failed == (("a", "no answer"),)


async def test_a_slow_service_gives_its_seat_to_the_next() -> None:
    names = [f"stuck{number}" for number in range(AT_ONCE)]
    async with desk_with(*names, "z", reschedule_timeout=300) as desk:
        desk.swarm.faults.frozen_updates.update(names)
        running = asyncio.ensure_future(
            Rescheduler(desk.leadership).run(
                ROLLOUT, Selection(sorted(await desk.swarm.services(), key=lambda each: each.name)), []
            )
        )
        await asyncio.sleep(SLOW_SECONDS - 5)
        assert KEY not in service(desk, "z").env
        await asyncio.sleep(20)
        assert service(desk, "z").update_state == "completed"
        result = await running
        assert result.succeeded == ("z",)
        assert result.failed[0] == ("stuck0", "its update has not ended within 300 seconds")


async def test_the_end_of_the_leadership_comes_through_as_itself() -> None:
    async with desk_with("a", "b") as desk:
        desk.hooks.refuse("swarm.update_service", LeaseLost("gone"))
        with pytest.raises(LeaseLost):
            await Rescheduler(desk.leadership).run(ROLLOUT, Selection(await desk.swarm.services()), [])


async def test_a_new_value_is_later_than_all_that_are_carried_and_plausible() -> None:
    async with desk_with("a", "b", "c") as desk:
        for name, value in {"a": "20261101T123000", "b": "yesterday", "c": "20991231T000000"}.items():
            people.set_env(desk.swarm, name, **{KEY: value})
        rollout = Rescheduler(desk.leadership).plan_rollout("r", await desk.swarm.services())
        assert rollout == Rollout(id="r", stamp="20261101T123001")
