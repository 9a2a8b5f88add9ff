"""What a service's users and its owner see while nodes come and go: how many replicas run, and who gets an answer."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp

from infra.lab.driver import Driver
from infra.lab.engine import EngineError
from infra.lab.image import IMAGE

REPLICAS: Final = 6
_LOOK_SECONDS: Final = 0.2
_ASK_SECONDS: Final = 0.05
_ANSWER: Final = aiohttp.ClientTimeout(total=1.0)
# The second port is for a task that starts on a node where the one that it replaces still listens.
_SERVE: Final = (
    "trap 'exit 0' TERM; cd /bin; (httpd -f -p $((BASE + SLOT)) || httpd -f -p $((BASE + 100 + SLOT))) & wait"
)


def web(name: str, base: int, order: str, **labels: str) -> dict[str, Any]:
    """A service that answers HTTP on its nodes' addresses, at port base + slot."""
    return {
        "Name": name,
        "Labels": {key.replace("_", "."): value for key, value in labels.items()},
        "TaskTemplate": {
            "ContainerSpec": {
                "Image": IMAGE,
                "Command": ["sh", "-c", _SERVE],
                "Env": ["SLOT={{.Task.Slot}}", f"BASE={base}"],
            },
            "Networks": [{"Target": "host"}],
            "RestartPolicy": {"Condition": "any", "Delay": 10**8},
        },
        "Mode": {"Replicated": {"Replicas": REPLICAS}},
        "UpdateConfig": {"Parallelism": 1, "Monitor": 10**9 // 2, "Order": order},
    }


@dataclass
class Seen:
    """What was seen of one service."""

    name: str
    base: int
    counts: list[tuple[float, int]] = field(default_factory=list)
    """Replicas that ran, when (seconds)."""
    answers: int = 0
    retries: int = 0
    failures: int = 0
    """Requests that no replica answered."""

    @property
    def fewest(self) -> int:
        """Replicas that ran at the worst moment."""
        return min(count for _, count in self.counts)

    def below(self, since: float = 0.0) -> tuple[float, float]:
        """Longest and total time with fewer replicas than desired, in seconds, from then on."""
        spans: list[float] = []
        current = 0.0
        for (began, count), (ended, _) in itertools.pairwise([one for one in self.counts if one[0] >= since]):
            current = current + ended - began if count < REPLICAS else 0.0
            spans.append(current)
        total = sum(
            ended - began
            for (began, count), (ended, _) in itertools.pairwise(self.counts)
            if count < REPLICAS and began >= since
        )
        return max(spans, default=0.0), total

    @property
    def course(self) -> str:
        """Replicas below desired over time: `+12.4 s: 5` at each change, from the first look on."""
        began = self.counts[0][0]
        changes = [one for last, one in itertools.pairwise([(0.0, REPLICAS), *self.counts]) if one[1] != last[1]]
        return ", ".join(f"+{at - began:.1f} s: {count}" for at, count in changes) or "none"

    def __str__(self) -> str:
        longest, total = self.below()
        return (
            f"{self.name}: {self.answers} answers, {self.retries} at another replica, {self.failures} failures; "
            f"fewest replicas {self.fewest} of {REPLICAS}, below for {total:.1f} s in all, {longest:.1f} s at a time "
            f"({self.course})"
        )


class Watcher:
    """Counts a service's replicas, and asks them as a client with retries does, until it is stopped."""

    def __init__(self, driver: Driver, name: str, base: int) -> None:
        self.seen = Seen(name, base)
        self._driver = driver
        self._replicas: list[str] = []

    async def count(self) -> None:
        """Look at the tasks again and again."""
        while True:
            try:
                await self._look()
            except EngineError:  # a manager on its way out; others are asked next time
                self._replicas = self._replicas or []
            await asyncio.sleep(_LOOK_SECONDS)

    async def ask(self) -> None:
        """Ask one replica after the other; where one does not answer, the next is tried."""
        while True:
            if self._replicas:
                await self._ask_once()
            await asyncio.sleep(_ASK_SECONDS)

    async def _look(self) -> None:
        at = time.time()
        tasks = [task for task in await self._driver.tasks(self.seen.name) if task["Status"]["State"] == "running"]
        nodes = {node["ID"]: node["Status"].get("Addr", "") for node in await self._driver.nodes()}
        self.seen.counts.append((at, len({task["Slot"] for task in tasks})))
        ports = [(nodes.get(task["NodeID"], ""), self.seen.base + task["Slot"]) for task in tasks]
        self._replicas = [f"http://{address}:{port + more}/" for address, port in ports for more in (0, 100) if address]

    async def _ask_once(self) -> None:
        replicas = list(self._replicas)
        first = self.seen.answers % len(replicas)
        for place, url in enumerate(replicas[first:] + replicas[:first]):
            if await self._answers(url):
                self.seen.answers += 1
                self.seen.retries += place > 1  # the same replica has two ports
                return
        self.seen.failures += 1

    async def _answers(self, url: str) -> bool:
        try:
            async with self._driver.http.get(url, timeout=_ANSWER) as answer:
                return answer.status > 0
        except (aiohttp.ClientError, TimeoutError):
            return False


@asynccontextmanager
async def watching(driver: Driver, *services: tuple[str, int]) -> AsyncIterator[list[Seen]]:
    """Watch services, named with their first port, for as long as the context lasts."""
    watchers = [Watcher(driver, name, base) for name, base in services]
    tasks = [asyncio.create_task(work) for one in watchers for work in (one.count(), one.ask())]
    try:
        yield [one.seen for one in watchers]
    finally:
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
    if early := [end for end in ends if not isinstance(end, asyncio.CancelledError)]:
        raise RuntimeError("a watcher ended early") from early[0]
