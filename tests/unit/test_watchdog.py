"""Who has stopped making progress."""

import asyncio

import pytest

from worker.leadership.watchdog import SILENCE_SECONDS, Watchdog

pytestmark = pytest.mark.looptime(idle_timeout=1)


async def test_who_is_silent_for_too_long_is_not_alive() -> None:
    watchdog = Watchdog()
    with watchdog.watching("a"):
        await asyncio.sleep(SILENCE_SECONDS - 1)
        assert watchdog.all_alive()
        await asyncio.sleep(1)
        assert not watchdog.all_alive()
    assert watchdog.all_alive()


async def test_one_who_is_silent_is_enough_whoever_else_speaks() -> None:
    watchdog = Watchdog()
    with watchdog.watching("a"), watchdog.watching("b"):
        for _ in range(7):
            await asyncio.sleep(SILENCE_SECONDS / 6)
            watchdog.heartbeat("a")
        assert not watchdog.all_alive()


async def test_who_waits_for_others_is_not_watched_until_the_wait_is_over() -> None:
    watchdog = Watchdog()
    with watchdog.watching("a"):
        with watchdog.suspended("a"):
            await asyncio.sleep(10 * SILENCE_SECONDS)
            assert watchdog.all_alive()
        assert watchdog.all_alive()
        await asyncio.sleep(SILENCE_SECONDS)
        assert not watchdog.all_alive()


async def test_nothing_is_remembered_of_one_that_failed() -> None:
    watchdog = Watchdog()
    with pytest.raises(RuntimeError), watchdog.watching("a"):
        raise RuntimeError
    await asyncio.sleep(2 * SILENCE_SECONDS)
    assert watchdog.all_alive()
