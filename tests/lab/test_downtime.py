"""Nobody who retries at another replica goes without an answer while nodes come and go."""

import sys
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from infra.lab.driver import Driver
from infra.lab.watching import REPLICAS, Seen, watching, web
from tests.lab.conftest import desired_workers

pytestmark = [pytest.mark.lab, pytest.mark.asyncio]

STOP_FIRST, START_FIRST = ("stopping", 8100), ("starting", 8600)


@pytest_asyncio.fixture
async def served(driver: Driver) -> AsyncIterator[Driver]:
    """Two services that are rescheduled: one that stops a task before it starts the next, one the other way round."""
    await driver.update("demo", lambda spec: spec.update(Labels={}))
    for (name, base), order in ((STOP_FIRST, "stop-first"), (START_FIRST, "start-first")):
        await driver.create(web(name, base, order, com_df_reschedule="true"))
    yield driver
    for name, _ in (STOP_FIRST, START_FIRST):
        await driver.swarm("DELETE", f"/services/{name}")
    await driver.update("demo", lambda spec: spec.update(Labels={"com.df.reschedule": "true"}))


async def test_services_answer_all_through_scale_up_rescheduling_and_scale_down(
    served: Driver, capsys: pytest.CaptureFixture[str]
) -> None:
    before = await desired_workers(served)
    async with watching(served, STOP_FIRST, START_FIRST) as (stopping, starting):
        await served.succeeded(await served.scale("up"))
        await served.formed(workers=before + 1)
        await served.succeeded(await served.scale("down"), within=150)
        await served.formed(workers=before)
    with capsys.disabled():
        sys.stdout.write(f"\n{stopping}\n{starting}\n")
    assert_served(stopping)
    assert_served(starting)
    assert stopping.fewest >= REPLICAS - 2  # what a drain of one node stops at once: Swarm's, which is stop-first
    assert starting.fewest == REPLICAS


def assert_served(seen: Seen) -> None:
    assert seen.failures == 0, str(seen)
    assert seen.answers > 100, str(seen)
