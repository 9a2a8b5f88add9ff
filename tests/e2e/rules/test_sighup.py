"""The companion of a Prometheus that does not reload by itself."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rules.file import RuleFile
from rules.sighup import main, seen
from tests.waiting import until

PROMETHEUS = """
import signal, sys
signal.signal(signal.SIGHUP, lambda *_: (sys.stdout.write("reloaded\\n"), sys.stdout.flush()))
print("ready", flush=True)
while True:
    signal.pause()
"""


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A process that says when it is told to reload, and where it says so."""
    said = tmp_path / "said"
    with said.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-c", PROMETHEUS], stdout=output)
    try:
        until(lambda: said.read_text() == "ready\n", "its start")
        yield process, said
    finally:
        process.kill()
        process.wait(10)


def test_changes_are_told_and_it_ends_with_prometheus(
    prometheus: tuple[subprocess.Popen[bytes], Path], tmp_path: Path
) -> None:
    process, said = prometheus
    path = tmp_path / "rules.yml"
    contents = itertools.count()

    def told() -> bool:
        """Of one more change: what came before the companion's first look is none to it."""
        RuleFile(path).write(f"# {next(contents)}\n")
        return "reloaded" in said.read_text()

    command = [sys.executable, "-m", "rules.sighup", str(process.pid), str(path)]
    with subprocess.Popen(command) as companion:
        try:
            until(told, "a reload")
            process.kill()
            process.wait(10)
            assert companion.wait(10) == 0
        finally:
            companion.kill()


def test_a_file_that_is_replaced_is_another_one_and_an_equal_one_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "rules.yml"
    assert seen(path) is None
    RuleFile(path).write("groups: []\n")
    first = seen(path)
    assert not RuleFile(path).write("groups: []\n")
    assert seen(path) == first
    assert RuleFile(path).write("groups: [ ]")
    assert seen(path) != first


@pytest.mark.parametrize("arguments", [[], ["1"], ["one", "/x"], ["1", "/x", "/y"]])
def test_a_wrong_call_is_exit_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert "usage: python -m rules.sighup PID FILE" in capsys.readouterr().err
