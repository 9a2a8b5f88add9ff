"""What every call to AWS has: a whole time-out, and its errors as ours."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from shared.aws import CALL_ERRORS, translated


@asynccontextmanager
async def calling(what: str, limit: timedelta) -> AsyncIterator[None]:
    """Around one call, or the few of one question. Raises Unavailable, Refused or NotFound, which name `what`."""
    try:
        async with asyncio.timeout(limit.total_seconds()):
            yield
    except CALL_ERRORS as error:
        raise translated(error, what) from error
