"""The README's picture is made here, by a browser: `make picture` puts it into docs/."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.behaviour.ingest.serving import serving
from tests.e2e.browser.chromium import Tab
from tests.e2e.browser.portrait import MOST_BYTES, PICTURE, SETTINGS, WIDTH, fill, headings, label, labelled

pytestmark = pytest.mark.slow


async def test_the_page_is_pictured(tab: Tab, tmp_path: Path) -> None:
    """Into docs/ where REFRESH says so."""
    path = PICTURE if os.environ.get("REFRESH") else tmp_path / PICTURE.name
    async with serving(SETTINGS) as service:
        fill(service)
        page = (await service.get("/")).text
        await tab.open(f"http://127.0.0.1:{service.port}/", width=WIDTH)
        await tab.until("document.getElementById('live').textContent !== ''")
        await tab.picture(path)
    path.write_bytes(labelled(path.read_bytes(), page))
    assert label(path.read_bytes()) == headings(page)
    assert path.stat().st_size < MOST_BYTES
    assert tab.complaints == []
