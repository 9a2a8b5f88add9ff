"""How soon a node takes nothing new after AWS's notice that its machine goes: alone, and beside other work.

Each machine really goes, some seconds after its notice, and the group launches another.
"""

from __future__ import annotations

import time
from typing import Final

from infra.lab.driver import Driver
from infra.local.figures import Figures

NOTICE_SECONDS: Final = 20
"""Two minutes on AWS."""
WORKERS: Final = 3
"""One for each notice of a round."""
_BOOT_SECONDS: Final = 15
_LOOK_SECONDS: Final = 0.02
_ROW: Final = "spot notice to node paused, {}"


async def measure(driver: Driver, figures: Figures, rounds: int) -> None:
    """So many rounds of three notices each; as many workers as before afterwards."""
    before = int((await driver.group())["DesiredCapacity"])
    if before < WORKERS:
        await driver.succeeded(await driver.scale("up", by=WORKERS - before))
    for _ in range(rounds):
        await _round(driver, figures)
    await driver.succeeded(await driver.scale("down", by=WORKERS - before))


async def _round(driver: Driver, figures: Figures) -> None:
    first, second, third, *_ = [one["name"] for one in await driver.machines("worker")]
    figures.note(_ROW.format("nothing else to do"), await _paused_after(driver, first))
    await driver.control("PATCH", "/faults/boot", {"next_boot_delays": [_BOOT_SECONDS]})
    up = await driver.scale("up")
    await driver.in_step(up, "wait")
    figures.note(_ROW.format("while a scale-up waits for machines"), await _paused_after(driver, second))
    rescheduling = await driver.ask("reschedule-services")
    await driver.in_step(rescheduling, "reschedule")
    figures.note(_ROW.format("while its services are rescheduled"), await _paused_after(driver, third))
    await driver.ended(rescheduling)
    await driver.succeeded(up)
    for name in (first, second, third):
        await _gone(driver, name)
    await driver.formed(workers=WORKERS + 1)
    await driver.succeeded(await driver.scale("down"))


async def _paused_after(driver: Driver, name: str) -> float:
    """Seconds from the notice's way into the queue on."""
    path = f"/nodes/{(await driver.node(name))['ID']}"

    async def paused() -> bool:
        return bool((await driver.swarm("GET", path))["Spec"]["Availability"] != "active")

    began = time.monotonic()
    await driver.control("POST", f"/instances/{name}/interrupt", {"notice_seconds": NOTICE_SECONDS})
    await driver.eventually(paused, f"{name} paused", look_seconds=_LOOK_SECONDS)
    return time.monotonic() - began


async def _gone(driver: Driver, name: str) -> None:
    async def lost() -> bool:
        return name not in {one["name"] for one in await driver.machines()}

    await driver.eventually(lost, f"the end of {name}")
