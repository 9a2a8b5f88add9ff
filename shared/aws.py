"""AWS clients: how they are opened, and what every call has: a whole time-out, and its errors as ours."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import timedelta
from types import MappingProxyType
from typing import Any

import aiohttp
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError, ClientError

from shared.causes import cause
from shared.credentials import prove
from shared.errors import NotFound, Refused, ScalerError, Unavailable
from shared.models import LeanFiles, Used, timestamp

# Codes that mean "later": https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
_LATER = frozenset(
    {
        *("Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled", "EC2ThrottledException"),
        *("RequestThrottledException", "TooManyRequestsException", "ProvisionedThroughputExceededException"),
        *("RequestLimitExceeded", "LimitExceededException", "BandwidthLimitExceeded", "SlowDown", "KmsThrottled"),
        *("PriorRequestNotComplete", "TransactionInProgressException", "RequestTimeout", "RequestTimeoutException"),
        *("InternalFailure", "InternalServerError", "InternalError", "ServiceUnavailable", "RequestExpired"),
        *("ResourceContention", "ResourceContentionFault", "ExpiredToken", "ExpiredTokenException"),
        *("ScalingActivityInProgress", "ScalingActivityInProgressFault"),
    }
)
_ABSENT = frozenset({"ResourceNotFoundException", "QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue"})


def open_session(used: Mapping[str, Used] = MappingProxyType({})) -> Any:
    """What clients share: credentials, and the SDK's endpoint data (several MB, once for each session).

    `used`: what is used of a service, where that is little of it.
    """
    session = get_session()
    with suppress(BotoCoreError):  # a profile that is not there: `prove` says so
        session.get_component("data_loader").file_loader = LeanFiles(used)
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=timestamp)
    return session


async def open_client(
    stack: AsyncExitStack,
    service: str,
    region: str,
    *,
    read_timeout: timedelta,
    connections: int = 10,
    attempts: int = 2,
    session: Any = None,
) -> Any:
    """A client that lives as long as the stack. Retries are the SDK's standard ones, two attempts in all.

    One attempt where a repeated call would do its work twice. `read_timeout` bounds one attempt; whoever needs a
    bound on the whole call puts one around it. Raises BadConfiguration where a profile is named that is not there, and
    NoCredentials where they do not come.
    """
    session = session or open_session()
    await prove(session)
    config = AioConfig(
        connect_timeout=min(2.0, read_timeout.total_seconds()),
        read_timeout=read_timeout.total_seconds(),
        retries={"mode": "standard", "total_max_attempts": attempts},
        max_pool_connections=connections,
        region_name=region,
    )
    return await stack.enter_async_context(session.create_client(service, config=config))


def translated(error: Exception, what: str) -> ScalerError:
    """An SDK's error as one of ours: `Unavailable` where repeating may help, else `Refused` or `NotFound`."""
    if isinstance(error, ClientError):
        code = error.response.get("Error", {}).get("Code", "")
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        text = f"{what}: {error.response.get('Error', {}).get('Message') or code} ({code})"
        if code in _LATER or status >= 500 or status == 429:
            return Unavailable(text)
        return NotFound(text) if code in _ABSENT else Refused(text)
    return Unavailable(f"{what}: {cause(error)}")


CALL_ERRORS = (ClientError, BotoCoreError, aiohttp.ClientError, asyncio.TimeoutError, OSError)
"""What a call through aiobotocore can raise."""


@asynccontextmanager
async def calling(what: str, limit: timedelta) -> AsyncIterator[None]:
    """Around one call, or the few of one question, with a whole time-out.

    Raises Unavailable, Refused or NotFound, which name `what`.
    """
    try:
        async with asyncio.timeout(limit.total_seconds()):
            yield
    except CALL_ERRORS as error:
        raise translated(error, what) from error
