"""The status page as people see and use it: at a desk and on a phone, light and dark, by keyboard, with 1,000 nodes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from shared.records import State
from shared.status import Queue
from tests.behaviour.ingest import sample
from tests.behaviour.ingest.serving import Service, serving
from tests.e2e.browser.chromium import Tab
from tests.fakes.ingest import record

pytestmark = pytest.mark.slow
AUDIT = (Path(__file__).parent / "audit.js").read_text()
DESK, PHONE = 1280, 390
DOWN = "down-worker"


def fill(service: Service, workers: int = 5, *, trouble: bool = True, active: bool = True) -> None:
    service.journal.stored = sample.stored(workers, trouble=trouble, active=active)
    service.counts.queue = (
        Queue(waiting=2, oldest=80.0, dead_letters=1) if trouble else Queue(waiting=0, dead_letters=0)
    )
    for each in sample.records():
        service.journal.write(each)


def url(service: Service, path: str = "/") -> str:
    return f"http://127.0.0.1:{service.port}{service.settings.server_prefix}{path}"


async def pictured(tab: Tab, name: str) -> None:
    """Where PICTURES names a folder, what the page looks like, for people to look at."""
    if folder := os.environ.get("PICTURES"):
        await tab.picture(Path(folder) / f"{name}.png")


CASES: dict[str, dict[str, Any]] = {
    "trouble": {},
    "well": {"trouble": False},
    "no-worker": {"active": False},
    "thousand": {"workers": 1000, "trouble": False},
}


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [DESK, PHONE])
@pytest.mark.parametrize("case", CASES)
async def test_it_can_be_read_and_asks_for_nothing_elsewhere(tab: Tab, case: str, width: int, dark: bool) -> None:
    async with serving({"SERVER_PREFIX": "scaler"}) as service:
        fill(service, **CASES[case])
        await tab.open(url(service), width=width, dark=dark)
        await pictured(tab, f"{case}-{width}-{'dark' if dark else 'light'}")
        assert await tab.ask(AUDIT) == []
        assert tab.complaints == []
        assert all(address.startswith(url(service)) for address in tab.requested)


@pytest.mark.parametrize("width", [DESK, PHONE])
async def test_one_request_can_be_read(tab: Tab, width: int) -> None:
    async with serving({"SERVER_PREFIX": "scaler"}) as service:
        fill(service)
        await tab.open(url(service, "/requests/down-1"), width=width)
        await pictured(tab, f"request-{width}")
        assert await tab.ask(AUDIT) == []
        assert tab.complaints == []


async def test_without_scripts_all_of_it_can_be_read(tab: Tab) -> None:
    async with serving() as service:
        fill(service)
        await tab.open(url(service), script=False)
        await tab.call("Emulation.setScriptExecutionDisabled", value=False)
        text = await tab.ask("document.body.innerText")
        for words in ("paused by ann", "5 ready", "Waits for 6 worker nodes", "would-not-fit", "down 1 worker node"):
            assert words in text


async def test_it_is_live_and_keeps_the_place_of_the_keyboard(tab: Tab) -> None:
    async with serving() as service:
        fill(service, trouble=False)
        await tab.open(url(service))
        await tab.ask(f"document.getElementById('{DOWN}').focus()")
        service.journal.stored = sample.stored(9, trouble=False)
        service.journal.write(record("fresh", State.FAILED, "just now"))
        await tab.until("document.body.innerText.includes('9 ready')")
        assert "just now" in await tab.ask("document.getElementById('recent').innerText")
        assert await tab.ask("document.activeElement.id") == DOWN
        assert await tab.ask("document.getElementById('live').textContent") == "Live"


async def test_a_service_that_does_not_answer_is_told(tab: Tab) -> None:
    async with serving() as service:
        fill(service, trouble=False)
        await tab.open(url(service))
    await tab.until("document.getElementById('live').textContent.startsWith('Not live')")


async def test_a_node_is_taken_down_by_keyboard_after_the_dry_run_was_shown(tab: Tab) -> None:
    async with serving({"SERVER_PREFIX": "scaler"}) as service:
        fill(service, trouble=False)
        service.inbox.on_send = lambda message: take(service, message)
        await tab.open(url(service))
        await reach(tab, DOWN)
        await tab.press("Enter")
        await tab.until("document.getElementById('ask').open")
        await pictured(tab, "dry-run")
        text = await tab.ask("document.getElementById('ask-text').textContent")
        assert text == "A dry run says: Would change" or text.startswith("Not tried before (dry_run")
        assert await tab.ask(AUDIT) == []
        await tab.press("Escape")
        await tab.until("!document.getElementById('ask').open")
        assert real(service) == []
        await tab.until(f"!document.getElementById('{DOWN}').disabled")
        await reach(tab, DOWN)
        await tab.press("Enter")
        await tab.until("document.getElementById('ask').open")
        await reach(tab, "ask-yes")
        await tab.press("Enter")
        await tab.until("location.pathname.startsWith('/scaler/requests/')")
        [message] = real(service)
        assert (message["scale"], message["type"], message["by"]) == ("down", "worker", 1)
        await tab.until("document.body.innerText.includes('It goes on')")


async def test_a_pause_asks_for_the_reason(tab: Tab) -> None:
    async with serving() as service:
        fill(service, trouble=False)
        await tab.open(url(service))
        await tab.ask("document.querySelector('[data-post=\"/v1/pause\"]').click()")
        await tab.until("document.getElementById('ask-input') !== null")
        await tab.ask("document.getElementById('ask-input').value = 'a deployment & more'")
        await tab.ask("document.getElementById('ask-yes').click()")
        await tab.until("location.pathname.startsWith('/requests/')")
        [message] = service.inbox.messages
        assert (message["action"], message["reason"]) == ("pause", "a deployment & more")


async def reach(tab: Tab, identity: str) -> None:
    """By the Tab key alone."""
    for _ in range(200):
        await tab.press("Tab")
        if await tab.ask("document.activeElement.id") == identity:
            return
    pytest.fail(f"{identity} cannot be reached by keyboard")


def real(service: Service) -> list[dict[str, Any]]:
    """What was asked for, dry runs aside."""
    return [message for message in service.inbox.messages if not message.get("dry_run")]


def take(service: Service, message: dict[str, Any]) -> None:
    """A worker takes a request: what it would do, or that it does it."""
    state, words = (State.SUCCEEDED, "Would change") if message.get("dry_run") else (State.RUNNING, "It goes on")
    service.journal.write(record(message["id"], state, words))
