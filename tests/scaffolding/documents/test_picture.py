"""The pictures of the page and of the dashboard: they are there, and show what there is."""

from __future__ import annotations

from pathlib import Path

from tests.behaviour.ingest.serving import serving
from tests.e2e.browser.portrait import MOST_BYTES, PICTURE, SETTINGS, fill, headings, label
from tests.scaffolding.monitoring import dashboard

README = Path(__file__).parents[3] / "README.md"
OPERATIONS = README.parent / "docs" / "operations.md"


async def test_the_readmes_picture_has_the_headings_of_the_present_page() -> None:
    """Else `make picture` makes it anew."""
    async with serving(SETTINGS) as service:
        fill(service)
        shown = headings((await service.get("/")).text)
    assert len(shown) > 10
    assert label(PICTURE.read_bytes()) == shown


def test_the_readme_shows_it_and_it_is_small() -> None:
    assert f"]({PICTURE.relative_to(README.parent)})" in README.read_text()
    assert PICTURE.stat().st_size < MOST_BYTES


def test_the_dashboards_picture_has_its_panels_and_operations_leads_to_it() -> None:
    """Else `make picture` makes it anew."""
    assert label(dashboard.PICTURE.read_bytes()) == dashboard.titles()
    assert f"]({dashboard.PICTURE.relative_to(OPERATIONS.parent)})" in OPERATIONS.read_text()
    assert dashboard.PICTURE.stat().st_size < MOST_BYTES
