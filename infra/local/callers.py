"""Callers for load tests: connections that ask again as soon as they are answered, at little cost of their own."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass(slots=True)
class Heard:
    """What all callers were answered, and how long each answer took, in seconds."""

    codes: Counter[int] = field(default_factory=Counter)
    taken: list[float] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.taken) / self.seconds

    def slowest_of(self, share: float) -> float:
        """The time within which so many of all answers came: 0.99 for the p99."""
        return sorted(self.taken)[min(len(self.taken) - 1, int(len(self.taken) * share))]


async def call(url: str, path: str, body: bytes, *, connections: int, times: int, method: str = "POST") -> Heard:
    """So many requests over so many connections."""
    heard, left = Heard(), [times]
    began = time.monotonic()
    async with asyncio.TaskGroup() as callers:
        for _ in range(connections):
            callers.create_task(_caller(url, f"{method} {path}", body, heard, left))
    heard.seconds = time.monotonic() - began
    return heard


async def _caller(url: str, what: str, body: bytes, heard: Heard, left: list[int]) -> None:
    host = urlsplit(url)
    reader, writer = await asyncio.open_connection(host.hostname, host.port)
    head = f"{what} HTTP/1.1\r\nHost: {host.netloc}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    try:
        while left[0] > 0:
            left[0] -= 1
            began = time.monotonic()
            writer.write(head + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            lines = answer.lower().split(b"\r\n")
            length = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
            await reader.readexactly(length)
            heard.taken.append(time.monotonic() - began)
            heard.codes[int(lines[0].split()[1])] += 1
    finally:
        writer.close()
