"""What `make bench` measures, asked for as anybody would: over HTTP, followed to its end in the record."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, Final, TypeVar

from infra.local.facts import Eyes

FORM: Final = "application/x-www-form-urlencoded"
_PATIENCE_SECONDS: Final = 120.0
_LOOK_SECONDS: Final = 0.02

Found = TypeVar("Found")


class WentWrong(Exception):
    """What was to be measured did not happen; the text is for a person."""


async def ended(eyes: Eyes, path: str, body: bytes) -> dict[str, Any]:
    """Ask; the record of the request when it has succeeded. Raises WentWrong."""
    return await followed(eyes, await asked(eyes, path, body))


async def asked(eyes: Eyes, path: str, body: bytes) -> str:
    """Ask; where the request's record is found. Raises WentWrong."""
    status, location, answer = await eyes.post(path, body, FORM)
    if status != 202:
        raise WentWrong(f"POST {path}: {status} {answer}")
    return location


async def followed(eyes: Eyes, location: str) -> dict[str, Any]:
    """The record of a request when it has succeeded. Raises WentWrong."""

    async def over() -> dict[str, Any] | None:
        record = await eyes.record(location)
        return record if record and record["ended_at"] else None

    record = await eventually(over, f"the end of {location}")
    if record["state"] != "succeeded":
        raise WentWrong(f"{location}: {record['state']}: {record['message']}")
    return record


async def eventually(look: Callable[[], Awaitable[Found | None]], what: str) -> Found:
    """What the look finds, at last. Raises WentWrong."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not (found := await look()):
        if time.monotonic() > deadline:
            raise WentWrong(f"not within {_PATIENCE_SECONDS:.0f} s: {what}")
        await asyncio.sleep(_LOOK_SECONDS)
    return found


def changes(eyes: Eyes, since: float) -> Sequence[float]:
    """When the groups were told to change; moments as `time.time()`."""
    return [moment for moments in eyes.changes_since(since).values() for moment in moments]


def say(line: str) -> None:
    """What is being measured, for a person."""
    sys.stderr.write(f"{datetime.now().astimezone():%H:%M:%S}  {line}\n")


def moment(text: str) -> float:
    """A moment of a record, as `time.time()`."""
    return datetime.fromisoformat(text).timestamp()


def service(name: str, replicas: int, label: str = "no") -> dict[str, Any]:
    """A service whose updates are all at once. `label`: of rescheduling."""
    return {
        "Name": name,
        "Labels": {"com.df.reschedule": label},
        "TaskTemplate": {"ContainerSpec": {"Image": f"{name}:1"}},
        "Mode": {"Replicated": {"Replicas": replicas}},
        "UpdateConfig": {"Parallelism": 0, "Monitor": 1},
    }
