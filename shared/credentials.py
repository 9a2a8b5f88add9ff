"""AWS credentials: proved before clients are opened with them, and looked after for as long as the process lives.

A client that was opened without credentials never gets any, and a process without them can do nothing but hold on to
what others wait for. So it ends, and whoever supervises it starts it again. Static credentials come at once; those of
the instance metadata service may take a while after boot. Nothing here calls STS that a call would not call as well.
"""

import asyncio
import signal
from datetime import timedelta
from typing import Any

import aiohttp
import structlog
from botocore.exceptions import BotoCoreError, ClientError, ProfileNotFound

from shared.causes import cause
from shared.environment import BadConfiguration
from shared.errors import ScalerError

log = structlog.get_logger()

PATIENCE = timedelta(seconds=60)
"""So long may credentials be missing before the process ends."""
PAUSE = timedelta(seconds=2)
"""Between two tries while they are missing."""
LOOK = timedelta(seconds=10)
"""Between two looks while they are there; only those that end soon cost a call to whoever gives them."""
ATTEMPT = timedelta(seconds=20)
"""One try ends here, whatever its provider (a metadata service, a program) does."""


class NoCredentials(ScalerError):
    """There have been no AWS credentials for too long: this process is of no use."""

    def __init__(self, patience: timedelta, reason: str) -> None:
        super().__init__(
            f"No AWS credentials for {patience.total_seconds():g} seconds: {reason}. On EC2: give the instance a role, "
            "and for containers a hop limit of 2 or more to its metadata service. Elsewhere: set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or AWS_ENV_FILE"
        )


async def prove(session: Any, patience: timedelta = PATIENCE, pause: timedelta = PAUSE) -> None:
    """Return once the session has credentials. Raises NoCredentials; BadConfiguration: no such profile."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience.total_seconds()
    told = False
    while (lack := await _lack(session, fresh=False)) is not None:
        if loop.time() >= deadline:
            raise NoCredentials(patience, lack)
        if not told:
            log.warning("credentials_awaited", reason=lack, seconds=patience.total_seconds())
        told = True
        await asyncio.sleep(pause.total_seconds())


async def lost(
    session: Any, patience: timedelta = PATIENCE, look: timedelta = LOOK, pause: timedelta = PAUSE
) -> NoCredentials:
    """Return when credentials that were there have been missing for too long; that may be never."""
    loop = asyncio.get_running_loop()
    since: float | None = None
    while True:
        await asyncio.sleep((look if since is None else pause).total_seconds())
        lack = await _lack(session, fresh=True)
        if lack is None:
            since = None
        elif since is None:
            since = loop.time()
            log.warning("credentials_missing", reason=lack, seconds=patience.total_seconds())
        elif loop.time() - since >= patience.total_seconds():
            return NoCredentials(patience, lack)


def stop_event() -> asyncio.Event:
    """Set by SIGTERM and SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


async def stopped_or_lost(stop: asyncio.Event, session: Any) -> NoCredentials | None:
    """Wait for the stop, None, or for the loss of the credentials: then what is to be raised after cleaning up."""
    stopping, losing = asyncio.ensure_future(stop.wait()), asyncio.ensure_future(lost(session))
    try:
        await asyncio.wait({stopping, losing}, return_when=asyncio.FIRST_COMPLETED)
        return None if stop.is_set() else losing.result()
    finally:
        stopping.cancel()
        losing.cancel()


async def _lack(session: Any, *, fresh: bool) -> str | None:
    """Why there are no credentials now; None: there are. `fresh`: those that have run out are none."""
    try:
        async with asyncio.timeout(ATTEMPT.total_seconds()):
            credentials = await session.get_credentials()
            if credentials is not None and fresh:
                await credentials.get_frozen_credentials()
    except ProfileNotFound as error:
        raise BadConfiguration([f"AWS_PROFILE: {error}"]) from error
    except (BotoCoreError, ClientError, aiohttp.ClientError, OSError, RuntimeError) as error:
        return cause(error)
    return "neither the environment nor the instance gives any" if credentials is None else None
