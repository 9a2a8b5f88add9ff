"""Chromium without a window, driven through its DevTools protocol: https://chromedevtools.github.io/devtools-protocol/"""

from __future__ import annotations

import asyncio
import base64
import itertools
import re
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

WITHIN = 30.0
_FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
    "--hide-scrollbars",  # in a picture they would be a gap
    *(
        "--remote-debugging-port=0",
        "--disable-background-networking",
        "--disable-component-update",
        "--no-proxy-server",
    ),
)


class Tab:
    """One page of the browser."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.requested: list[str] = []
        """Every address that the page asked for."""
        self.complaints: list[str] = []
        """What the browser says in its console: errors of scripts, and what the policy forbids."""

    async def listen(self) -> None:
        """Take what the browser says, until it says no more."""
        async for message in self._socket:
            said = message.json()
            if "id" in said:
                self._answers.pop(said["id"]).set_result(said)
            elif said["method"] == "Network.requestWillBeSent":
                self.requested.append(said["params"]["request"]["url"])
            elif said["method"] == "Log.entryAdded" and said["params"]["entry"]["level"] == "error":
                self.complaints.append(said["params"]["entry"]["text"])
            elif said["method"] == "Runtime.exceptionThrown":
                self.complaints.append(str(said["params"]["exceptionDetails"]))

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """A command, and what it answers."""
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": params})
        async with asyncio.timeout(WITHIN):
            said = await answer
        assert "error" not in said, said
        return dict(said["result"])

    async def open(self, url: str, *, width: int = 1280, dark: bool = False, script: bool = True) -> None:
        """Show a page."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        await self.call("Emulation.setDeviceMetricsOverride", **size)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        await self.call("Emulation.setEmulatedMedia", features=scheme)
        await self.call("Emulation.setScriptExecutionDisabled", value=not script)
        await self.call("Page.navigate", url=url)
        await self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    async def ask(self, expression: str) -> Any:
        """The value of an expression of JavaScript."""
        said = await self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in said, said["exceptionDetails"]
        return said["result"].get("value")

    async def until(self, expression: str) -> None:
        """Look until an expression is true; fail where it never is."""
        async with asyncio.timeout(WITHIN):
            while True:
                if await self.ask(expression):
                    return
                await asyncio.sleep(0.05)

    async def press(self, key: str, *, shift: bool = False) -> None:
        """A key, down and up."""
        known = {"Tab": 9, "Enter": 13, "Escape": 27}
        event = {"key": key, "code": key, "windowsVirtualKeyCode": known[key], "modifiers": 8 if shift else 0}
        text = {"text": "\r"} if key == "Enter" else {}
        await self.call("Input.dispatchKeyEvent", type="keyDown", **event, **text)
        await self.call("Input.dispatchKeyEvent", type="keyUp", **event)

    async def picture(self, path: Path) -> None:
        """The whole page, as it looks."""
        shot = await self.call("Page.captureScreenshot", captureBeyondViewport=True, format="png")
        await asyncio.to_thread(path.write_bytes, base64.b64decode(shot["data"]))


@asynccontextmanager
async def chromium() -> AsyncIterator[Tab]:
    """A browser with one page. Fails where there is no chromium: `.ci/packages` installs it."""
    program = shutil.which("chromium")
    assert program is not None, "chromium is missing: apt-get install chromium"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            program, *_FLAGS, f"--user-data-dir={profile}", "about:blank", stderr=asyncio.subprocess.PIPE
        )
        assert process.stderr is not None
        try:
            port = await _port(process.stderr)
            complaining = asyncio.create_task(_drained(process.stderr))
            async with aiohttp.ClientSession() as http, _connected(http, port) as tab:
                yield tab
            complaining.cancel()
        finally:
            process.terminate()
            await process.wait()


@asynccontextmanager
async def _connected(http: aiohttp.ClientSession, port: str) -> AsyncIterator[Tab]:
    async with http.get(f"http://127.0.0.1:{port}/json/list") as answer:
        [page] = [each for each in await answer.json() if each["type"] == "page"]
    async with http.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0) as socket:
        tab = Tab(socket)
        listening = asyncio.create_task(tab.listen())
        try:
            for domain in ("Page", "Runtime", "Network", "Log"):
                await tab.call(f"{domain}.enable")
            yield tab
        finally:
            listening.cancel()


async def _port(said: asyncio.StreamReader) -> str:
    """Where it listens, as it says itself."""
    async with asyncio.timeout(WITHIN):
        async for line in said:
            if found := re.search(rb"listening on ws://127.0.0.1:(\d+)/", line):
                return found[1].decode()
    raise AssertionError("chromium has ended before it listened")


async def _drained(said: asyncio.StreamReader) -> None:
    """Read what nobody wants, so that it is never stopped by a full pipe."""
    while await said.read(65536):
        pass
