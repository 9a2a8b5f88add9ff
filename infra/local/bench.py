"""`make bench`: what ingest and the workers take for their work, on an embedded environment of its own, as a table.

The AWS and the Swarm around them are emulated in one process: what is measured is ours, and what the emulation adds.
Machines boot in a second; everything else is as in `make up`. The figures of a real Swarm are `make lab-bench`'s.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from functools import partial
from typing import Any, Final

from infra.local.asking import FORM, WentWrong, changes, ended, eventually, moment, say, service
from infra.local.children import Child
from infra.local.demo import CURL, PATH, WEBHOOK
from infra.local.environment import Environment
from infra.local.facts import Eyes
from infra.local.figures import Figures
from infra.local.growth import grow
from infra.local.load import busy, load_ingest, resident
from infra.local.surroundings import FOLDER, shield
from infra.local.terminal import log_to, run

ROUNDS: Final = 3
BURST: Final = 4
BUSY: Final = 2
SERVICES: Final = 100
SCALES: Final = 20
KILLS: Final = 5
LEASE_SECONDS: Final = 3.0
POSTS: Final = 1000
CALLERS: Final = 8
_FAST: Final = {"BOOT_DELAY": "1", "LEASE_SECONDS": f"{LEASE_SECONDS:.0f}"}
_UP: Final = b'{"groupLabels": {"scale": "up"}}'
_RESOLVED: Final = json.dumps({**json.loads(WEBHOOK.read_bytes()), "status": "resolved"}).encode()
_ONE_UP: Final = "one scale-up: POST to the end"
_INTERRUPTED: Final = 130
_WRONG_USAGE: Final = 2


def main() -> int:
    """The exit code."""
    only = os.environ.get("ONLY", "")
    if only and only not in _PARTS:
        sys.stderr.write(f"ONLY: must be one of {', '.join(_PARTS)}, not {only}\n")
        return _WRONG_USAGE
    shield(os.environ)
    log_to(FOLDER / "bench" / "logs" / "environment.log")
    try:
        return run(_bench(only), stopped=_INTERRUPTED)
    except WentWrong as error:
        sys.stderr.write(f"{error}. The logs: {FOLDER / 'bench' / 'logs'}\n")
        return 1


async def _bench(only: str) -> int:
    figures = Figures()
    for part, measure in _PARTS.items():
        if only in {"", part}:
            await measure(figures)
    sys.stdout.write(f"\n{figures.table()}\n")
    return 0


async def _scales(figures: Figures) -> None:
    async with Environment(FOLDER / "bench", {**os.environ, **_FAST}) as environment, Eyes(environment) as eyes:
        bench = _Bench(environment, eyes, figures)
        for what, measure in (
            (f"{ROUNDS} times one worker node more, one less", bench.nodes),
            (f"{BURST} scale-ups at once", bench.burst),
            (f"{SCALES} scales of a service", bench.service),
            (f"{SERVICES} services rescheduled", bench.services),
            (f"{KILLS} workers killed while they are active", bench.takeovers),
            (f"{BURST} scale-ups at once, beside {BUSY} busy loops", bench.strained),
            (f"{POSTS} posts by {CALLERS} callers, with no worker", bench.posts),
        ):
            say(what)
            await measure()


async def _ingest(figures: Figures) -> None:
    say("ingest alone, SQS a stub")
    await load_ingest(figures, FOLDER / "bench" / "logs", os.environ)


async def _growth(figures: Figures) -> None:
    await grow(figures, FOLDER / "bench", os.environ)


_PARTS: Final = {"scales": _scales, "ingest": _ingest, "growth": _growth}


class _Bench:
    """Measures one thing after the other; each leaves the group and the Swarm as they were."""

    def __init__(self, environment: Environment, eyes: Eyes, figures: Figures) -> None:
        self._environment = environment
        self._eyes = eyes
        self._figures = figures

    async def nodes(self) -> None:
        """What a person waits for, and Alertmanager."""
        for _ in range(ROUNDS):
            posted = time.time()
            record = await ended(self._eyes, PATH, _UP)
            self._note_up(record, posted)
            posted = time.time()
            record = await ended(self._eyes, PATH, CURL)
            (changed,) = changes(self._eyes, posted)
            self._figures.note("scale down: POST to the instance terminated", changed - posted)
            self._figures.note("scale down: POST to the end", moment(record["ended_at"]) - posted)

    def _note_up(self, record: dict[str, Any], posted: float) -> None:
        (changed,) = changes(self._eyes, posted)
        began = next(moment(step["started_at"]) for step in record["steps"] if step["name"] == "reschedule")
        ready = max(node.meta.created_ns for node in self._environment.swarm.store.nodes.values()) / 1e9
        self._figures.note("scale up: POST to desired capacity raised", changed - posted)
        self._figures.note("scale up: node Ready to rescheduling begun", began - ready)
        self._figures.note(_ONE_UP, moment(record["ended_at"]) - posted)

    async def burst(self) -> None:
        """Several at once, each time beside one."""
        for _ in range(ROUNDS):
            await self._beside_one(f"{BURST} scale-ups at once: all ended, in times of one")

    async def strained(self) -> None:
        """The same while others want the processors, too; one and several alike."""
        async with busy(BUSY):
            for _ in range(ROUNDS):
                await self._beside_one(
                    f"{BURST} scale-ups at once beside {BUSY} busy loops: all ended, in times of one"
                )

    async def _beside_one(self, what: str) -> None:
        posted = time.time()
        record = await ended(self._eyes, PATH, _UP)
        one = moment(record["ended_at"]) - posted
        await ended(self._eyes, PATH, CURL)
        self._figures.note(what, await self._burst() / one, unit="x")

    async def _burst(self) -> float:
        """Seconds until the last has ended; then as many nodes less. Notes what it took of AWS, and of the Swarm."""
        posted = time.time()
        records = await asyncio.gather(*(ended(self._eyes, PATH, _UP) for _ in range(BURST)))
        self._figures.note(
            f"{BURST} scale-ups at once: changes of the capacity", len(changes(self._eyes, posted)), unit=""
        )
        rollouts = {record["plan"]["reschedule"]["stamp"] for record in records}
        self._figures.note(f"{BURST} scale-ups at once: reschedulings", len(rollouts), unit="")
        await ended(self._eyes, PATH.replace("by=1", f"by={BURST}"), CURL)
        return max(moment(record["ended_at"]) for record in records) - posted

    async def service(self) -> None:
        """Up and down in turns, inside the bounds."""
        self._environment.swarm.control.create_service(service("scaled", 2))
        for number in range(SCALES):
            direction = ("up", "down")[number % 2]
            posted = time.time()
            record = await ended(self._eyes, f"/v1/scale-service?service=scaled&scale={direction}&by=1", b"")
            self._figures.note("service scale: POST to the end", moment(record["ended_at"]) - posted)

    async def services(self) -> None:
        """With tasks that start and stop at once: the time is ours."""
        self._environment.swarm.config.start_seconds = self._environment.swarm.config.stop_seconds = 0.0
        names = [f"service-{number:03}" for number in range(SERVICES)]
        for name in names:
            self._environment.swarm.control.create_service(service(name, 1, label="true"))
        posted = time.time()
        record = await ended(self._eyes, "/v1/reschedule-services", b"")
        self._figures.note(f"{SERVICES} services rescheduled", moment(record["ended_at"]) - posted)
        for name in names:
            self._environment.swarm.control.remove_service(name)

    async def takeovers(self) -> None:
        """From kill -9 of the active worker until another one is active."""
        services = self._environment.services
        for _ in range(KILLS):
            active = await self._active()
            active.kill()
            killed = time.monotonic()
            await self._active()
            taken = time.monotonic() - killed
            self._figures.note(f"take-over after kill -9 (LEASE_SECONDS={LEASE_SECONDS:.0f})", taken)
            newcomer = await services.start_worker()
            await eventually(partial(services.listens, newcomer), "one more worker")

    async def posts(self) -> None:
        """Requests that are queued, and webhooks that are read and ignored; then what the processes hold."""
        services = self._environment.services
        active = await self._active()
        self._figures.note("worker: resident memory", resident(active.pid), unit="MiB")
        for worker in services.workers:
            worker.kill()
        await self._load("POST answered 202 (the emulated SQS is the slowest)", "/v1/reschedule-services", b"", 202)
        await self._load("resolved webhook, answered 200", PATH, _RESOLVED, 200)
        self._figures.note("ingest: resident memory", resident(services.ingest.pid), unit="MiB")

    async def _load(self, what: str, path: str, body: bytes, expected: int) -> None:
        taken: list[float] = []
        began = time.monotonic()
        async with asyncio.TaskGroup() as callers:
            for _ in range(CALLERS):
                callers.create_task(self._call(path, body, expected, POSTS // CALLERS, taken))
        self._figures.note(f"{what}: a second", len(taken) / (time.monotonic() - began), unit="/s", more_is_better=True)
        self._figures.note(f"{what}: each", *taken)

    async def _call(self, path: str, body: bytes, expected: int, times: int, taken: list[float]) -> None:
        for _ in range(times):
            began = time.monotonic()
            status, _, answer = await self._eyes.post(path, body, FORM)
            taken.append(time.monotonic() - began)
            if status != expected:
                raise WentWrong(f"POST {path}: {status} {answer}")

    async def _active(self) -> Child:
        return await eventually(self._environment.services.active_worker, "an active worker")


if __name__ == "__main__":
    sys.exit(main())
