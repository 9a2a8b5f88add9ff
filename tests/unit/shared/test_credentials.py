"""Credentials of an instance's metadata service: late, never, and gone later. The service is one on the loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from shared import credentials
from shared.aws import open_client, open_session
from shared.credentials import PATIENCE, NoCredentials, lost, prove, stopped_or_lost
from shared.environment import BadConfiguration

SHORT, PAUSE = timedelta(seconds=0.3), timedelta(seconds=0.02)
_ROLES = "/latest/meta-data/iam/security-credentials/"


@dataclass
class Metadata:
    """The metadata service: it fails for a while, then gives a role's keys."""

    failures: float = 0
    asked: int = 0
    given: int = 0

    async def token(self, _: web.Request) -> web.Response:
        """The session token of version 2, with which each try begins."""
        self.asked += 1
        if self.asked <= self.failures:
            raise web.HTTPServiceUnavailable
        return web.Response(text="token")

    async def role(self, _: web.Request) -> web.Response:
        """The role's name."""
        if self.asked <= self.failures:
            raise web.HTTPServiceUnavailable
        return web.Response(text="managers")

    async def keys(self, _: web.Request) -> web.Response:
        """Its keys."""
        self.given += 1
        ends = datetime.now(UTC) + timedelta(hours=6)
        keys = {"AccessKeyId": f"AKIA{self.given}", "SecretAccessKey": "secret", "Token": "session"}
        return web.json_response({"Code": "Success", **keys, "Expiration": ends.strftime("%Y-%m-%dT%H:%M:%SZ")})


@pytest_asyncio.fixture
async def metadata(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Metadata]:
    """An instance without any other credentials."""
    service, app = Metadata(), web.Application()
    app.router.add_put("/latest/api/token", service.token)
    app.router.add_get(_ROLES, service.role)
    app.router.add_get(f"{_ROLES}managers", service.keys)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "false")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://127.0.0.1:{runner.addresses[0][1]}")
    yield service
    await runner.cleanup()


async def test_static_credentials_are_there_at_once(metadata: Metadata, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    await prove(open_session(), patience=timedelta(0))
    assert metadata.asked == 0


async def test_a_client_waits_for_credentials_that_come_late(
    metadata: Metadata, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials.prove, "__defaults__", (timedelta(seconds=30), PAUSE))
    metadata.failures = 2
    session = open_session()
    async with AsyncExitStack() as stack:
        await open_client(stack, "sqs", "us-east-1", read_timeout=timedelta(seconds=1), session=session)
        frozen = await (await session.get_credentials()).get_frozen_credentials()
    assert frozen.access_key == "AKIA1"
    assert metadata.asked > 2


async def test_credentials_that_never_come_are_told(metadata: Metadata) -> None:
    metadata.failures = float("inf")
    with pytest.raises(NoCredentials, match=r"^No AWS credentials for 0.3 seconds: .* give the instance a role"):
        await prove(open_session(), SHORT, PAUSE)


async def test_a_profile_that_is_not_there_is_a_wrong_configuration(
    metadata: Metadata, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(BadConfiguration, match=r"^AWS_PROFILE: "):
        await prove(open_session(), SHORT, PAUSE)


async def proved(*, ending: bool) -> Any:
    """A session with the role's credentials. `ending`: so near their end that no call is signed with them any more.

    That is set by hand: of those that end soon when they are handed out the SDK puts the end off.
    """
    session = open_session()
    await prove(session, SHORT, PAUSE)
    if ending:
        (await session.get_credentials())._expiry_time = datetime.now(UTC) + timedelta(minutes=1)
    return session


async def test_credentials_that_vanish_are_a_loss_after_a_while(metadata: Metadata) -> None:
    session = await proved(ending=True)
    metadata.failures = float("inf")
    began = asyncio.get_running_loop().time()
    async with asyncio.timeout(20):
        assert "No AWS credentials for 0.3 seconds" in str(await lost(session, SHORT, PAUSE, PAUSE))
    assert asyncio.get_running_loop().time() - began >= SHORT.total_seconds()


async def test_credentials_that_come_back_in_time_are_no_loss(metadata: Metadata) -> None:
    session = await proved(ending=True)
    metadata.failures = metadata.asked + 2
    losing = asyncio.create_task(lost(session, timedelta(seconds=30), PAUSE, PAUSE))
    async with asyncio.timeout(20):
        while metadata.given < 2:  # noqa: ASYNC110 - the service's counter tells nobody
            await asyncio.sleep(0.01)
    assert not losing.done()
    losing.cancel()


async def test_lasting_credentials_are_looked_at_without_a_call(
    metadata: Metadata, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await proved(ending=False)
    asked, looks, enough = metadata.asked, 0, asyncio.Event()
    look = session.get_credentials

    async def counted() -> Any:
        nonlocal looks
        found = await look()
        looks += 1
        if looks == 5:
            enough.set()
        return found

    monkeypatch.setattr(session, "get_credentials", counted)
    losing = asyncio.create_task(lost(session, SHORT, timedelta(0), PAUSE))
    async with asyncio.timeout(20):
        await enough.wait()
    losing.cancel()
    assert metadata.asked == asked


async def test_a_stop_ends_the_watch(metadata: Metadata) -> None:
    stop = asyncio.Event()
    stop.set()
    assert await stopped_or_lost(stop, await proved(ending=False)) is None


class Given:
    """A session, and its credentials, which are away in given seconds of the loop's time."""

    def __init__(self, *away: tuple[float, float]) -> None:
        self._away = away

    async def get_credentials(self) -> Given | None:
        now = asyncio.get_running_loop().time()
        return None if any(begin <= now < end for begin, end in self._away) else self

    async def get_frozen_credentials(self) -> None:
        """As good as ever."""


@pytest.mark.looptime
async def test_each_outage_counts_from_its_own_beginning() -> None:
    loop = asyncio.get_running_loop()
    begin = loop.time()
    session = Given((begin + 10, begin + 50), (begin + 70, begin + 110), (begin + 200, float("inf")))
    assert isinstance(await lost(session), NoCredentials)
    assert 200 + PATIENCE.total_seconds() <= loop.time() - begin <= 200 + PATIENCE.total_seconds() + 15


@pytest.mark.looptime
async def test_those_that_come_within_a_minute_are_waited_for() -> None:
    begin = asyncio.get_running_loop().time()
    await prove(Given((begin, begin + 55)))
    with pytest.raises(NoCredentials):
        await prove(Given((begin, begin + 200)))
