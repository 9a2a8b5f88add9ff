"""What documents and comments refer to is in the repository."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
ROOMS = (
    *(".ci", ".github", "cli", "docs", "infra", "ingest", "monitoring", "rules", "shared", "stacks", "tests"),
    "worker",
)
KINDS = {".cfg", ".in", ".md", ".py", ".sh", ".toml", ".yaml", ".yml"}
NAMES = {"Dockerfile", "Makefile", "packages", "run"}

ELSEWHERE = re.compile(r"(?<!RFC \d{4}, )\b[Ss]ections? \d|\bCONTRACT(?![\w=])")
"""A section by number, or a title, is of a document that is not here; an RFC's is public."""
DOCUMENT = re.compile(r"(?<![\w/.-])(?!https?:)[\w./-]*\b[\w-]+\.md\b")


def texts() -> Iterator[Path]:
    """What people read, and write, in this project."""
    for path in [*ROOT.iterdir(), *(path for room in ROOMS for path in (ROOT / room).rglob("*"))]:
        known = path.suffix in KINDS or path.name in NAMES
        if known and path.is_file() and path != Path(__file__):
            yield path


def pages() -> list[Path]:
    return [path for path in texts() if path.suffix == ".md"]


def problems(text: str, folder: Path) -> list[str]:
    """The references in a text that lead nowhere."""
    prose = re.sub(r"https?://\S+", "", text)
    missing = [
        name
        for name in DOCUMENT.findall(prose)
        if not any((base / name).exists() for base in (ROOT, folder, ROOT / "docs"))
    ]
    return missing + ELSEWHERE.findall(prose)


def test_nothing_refers_to_a_document_that_is_not_here() -> None:
    found = {str(path.relative_to(ROOT)): problems(path.read_text(), path.parent) for path in texts()}
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize(
    "text", ["see PLAN.md", "(the rules, section 4)", "as CONTRACT says", "docs/nowhere.md", "Sections 3 and 4 say"]
)
def test_what_leads_nowhere_is_found(text: str) -> None:
    assert problems(text, ROOT)


@pytest.mark.parametrize(
    "text",
    ["docs/reference.md", "README.md", "(RFC 9112, section 9.6)", "https://example.org/a/PLAN.md", "the section below"],
)
def test_what_leads_somewhere_is_not(text: str) -> None:
    assert problems(text, ROOT) == []


def heading_anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    prose = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        there = (page.parent / name) if name else page
        assert there.exists(), f"{page.name}: {target}"
        if anchor and there.suffix == ".md":
            assert anchor in heading_anchors(there), f"{page.name}: {target}"
