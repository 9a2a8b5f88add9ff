"""`make lab-bench`: the published figures, measured on the lab, as a table.

Node scales with `demo` as in the tutorial, and with two services that answer HTTP, one of each update order; each scale
`ROUNDS` times, median and worst shown. Times of the worker and of Swarm are the machine's one wall clock. That a node
is Ready is seen by looking often: a time of less than nothing since then means that the worker has seen it first.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Final, TypeVar

from infra.lab import notices
from infra.lab.driver import Driver, moment, step
from infra.lab.swarm_driver import Json
from infra.lab.watching import Seen, watching, web
from infra.local.figures import Figures

ROUNDS: Final = 3
_SERVICES: Final = (("stop-first", 8100), ("start-first", 8600))
_REPLICAS_BELOW: Final = "scale down: longest time below desired replicas, {}"

Found = TypeVar("Found")


async def measure(env: Path, say: Callable[[str], None]) -> tuple[Figures, list[Seen]]:
    """What was measured; and what was seen of the services that answer."""
    figures = Figures()
    async with Driver(env) as driver:
        for number in range(ROUNDS):
            say(f"round {number + 1} of {ROUNDS}: one worker up, one down, with demo")
            await _up(driver, figures)
            await _down(driver, figures)
        say(f"{ROUNDS} times three spot machines, each taken {notices.NOTICE_SECONDS} s after its notice")
        await notices.measure(driver, figures, ROUNDS)
        say("services of both update orders: one worker up, one down")
        seen = await _with_services(driver, figures)
    return figures, seen


async def _up(driver: Driver, figures: Figures) -> None:
    """One more worker, watched closely."""
    known = {node["ID"] for node in await driver.nodes()}
    booting = asyncio.create_task(_ready_at(driver, known))
    running = asyncio.create_task(_runs_at(driver, known))
    record = await driver.succeeded(await driver.scale("up"))
    asked, ready, runs = moment(record["requested_at"]), await booting, await running
    figures.note("POST to desired capacity raised", moment(record["plan"]["applied_at"]) - asked)
    figures.note("node Ready to reschedule begun", step(record, "reschedule") - ready)
    launch = ready - moment(record["plan"]["applied_at"])
    figures.note("launch to node Ready (boot, join)", launch)
    figures.note("POST to demo on the new node, less launch to Ready", runs - asked - launch)
    figures.note("POST to demo rescheduled whole", moment(record["ended_at"]) - asked)
    await driver.formed(workers=len(await driver.machines("worker")))


async def _down(driver: Driver, figures: Figures) -> None:
    """One worker less."""
    record = await driver.succeeded(await driver.scale("down"))
    asked = moment(record["requested_at"])
    figures.note("scale down: POST to node empty", step(record, "drain", "ended_at") - asked)
    figures.note("scale down: POST to instance terminated", step(record, "terminate", "ended_at") - asked)
    figures.note("scale down: POST to node gone from the Swarm", moment(record["ended_at"]) - asked)
    await driver.settled("demo", 6)


async def _with_services(driver: Driver, figures: Figures) -> list[Seen]:
    for order, base in _SERVICES:
        await driver.create(web(order, base, order, com_df_reschedule="true"))
    try:
        async with watching(driver, *_SERVICES) as seen:
            await driver.succeeded(await driver.scale("up"))
            down = await driver.succeeded(await driver.scale("down"), within=180)
        for one in seen:
            _note_service(one, moment(down["started_at"]), figures)
    finally:
        for order, _ in _SERVICES:
            await driver.swarm("DELETE", f"/services/{order}")
    return seen


def _note_service(seen: Seen, down_began: float, figures: Figures) -> None:
    figures.note(_REPLICAS_BELOW.format(seen.name), seen.below(down_began)[0])
    both = f"up and down, {seen.name}:"
    figures.note(f"{both} fewest replicas of 6", float(seen.fewest), unit="", more_is_better=True)
    figures.note(f"{both} requests answered", float(seen.answers), unit="", more_is_better=True)
    figures.note(f"{both} requests without an answer", float(seen.failures), unit="")


async def _ready_at(driver: Driver, known: Iterable[str]) -> float:
    """When a node that was not known is Ready, by the first look that shows it."""

    async def ready() -> float | None:
        new = [node for node in await driver.nodes() if node["ID"] not in known]
        return time.time() if any(node["Status"]["State"] == "ready" for node in new) else None

    return await _closely(driver, ready, "a Ready node")


async def _runs_at(driver: Driver, known: Iterable[str]) -> float:
    """When the first task of demo began to run on a node that was not known, as Swarm tells."""

    async def runs() -> float | None:
        new = [task for task in await driver.tasks("demo") if _is_on_new(task, known)]
        return min((moment(task["Status"]["Timestamp"]) for task in new), default=None)

    return await _closely(driver, runs, "a task of demo on it")


def _is_on_new(task: Json, known: Iterable[str]) -> bool:
    return task["Status"]["State"] == "running" and task["NodeID"] not in known


async def _closely(driver: Driver, look: Callable[[], Awaitable[Found | None]], what: str) -> Found:
    return await driver.eventually(look, what, look_seconds=0.02)


def main() -> int:
    """Measure on the lab whose `env` is named; the exit code."""

    def say(text: str) -> None:
        sys.stderr.write(f"{text}\n")

    figures, seen = asyncio.run(measure(Path(sys.argv[1]), say))
    sys.stdout.write(f"{figures.table()}\n\nReplicas of 6 over time, one worker up and one down\n")
    sys.stdout.writelines(f"{one.name}: {one.course}\n" for one in seen)
    return 0


if __name__ == "__main__":
    sys.exit(main())
