"""What is released: the wheel holds the product and nothing else, and there is one version."""

import re
import tomllib
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

import shared

ROOT = Path(__file__).parents[3]
PRODUCT = {"cli", "ingest", "worker", "rules", "shared"}


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The files of the wheel, built as a release builds it."""
    folder = tmp_path_factory.mktemp("dist")
    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"])
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_the_wheel_holds_the_product_and_nothing_else(names: list[str]) -> None:
    folders = {name.split("/")[0] for name in names}
    assert folders == PRODUCT | {f"docker_scaler-{shared.__version__}.dist-info"}


def test_the_wheel_holds_each_module_and_the_marker_of_typed_packages(names: list[str]) -> None:
    modules = {str(path.relative_to(ROOT)) for package in PRODUCT for path in (ROOT / package).rglob("*.py")}
    assert modules | {f"{package}/py.typed" for package in PRODUCT} <= set(names)


def test_the_wheel_holds_what_pages_are_made_of(names: list[str]) -> None:
    site = ROOT / "ingest" / "site"
    parts = {str(path.relative_to(ROOT)) for path in site.rglob("*") if path.suffix in {".html", ".css", ".js", ".svg"}}
    assert len(parts) > 10
    assert parts <= set(names)


def test_the_wheel_offers_all_commands(names: list[str]) -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    mains = {f"{target.split('.')[0]}/__main__.py" for target in scripts.values()}
    assert mains == {"cli/__main__.py", "ingest/__main__.py", "worker/__main__.py", "rules/__main__.py"}
    assert mains <= set(names)


def test_pyproject_reads_the_version_from_the_code() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["hatch"]["version"]["path"] == "shared/__init__.py"


@pytest.mark.parametrize(
    ("file", "pattern"),
    [
        ("stacks/scaler.yml", r"SCALER_TAG:-([0-9.]+)\}"),
        ("stacks/monitor.yml", r"SCALER_TAG:-([0-9.]+)\}"),
        ("compose.yaml", r"SCALER_TAG:-([0-9.]+)\}"),
        ("docs/tutorial.md", r"docker-scaler-\$process:([0-9.]+)\""),
        ("CHANGELOG.md", r"(?m)^## \[([0-9.]+)\]"),
    ],
)
def test_who_names_the_version_names_this_one(file: str, pattern: str) -> None:
    named = re.findall(pattern, (ROOT / file).read_text())
    assert named, f"{file} no longer names the version like this: {pattern}"
    newest = named[:1] if file == "CHANGELOG.md" else named
    assert set(newest) == {shared.__version__}
