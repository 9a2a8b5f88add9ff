"""Who gets a second chance in CI, and that nobody gets it without being named."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import pytest

from infra.ci.again import MOST, Run, to_repeat
from infra.ci.outcomes import Failure, Outcomes

TESTS = Path(__file__).parents[2]
LOGIC = {"unit", "behaviour", "simulation"}
PROCESSES = {"e2e", "lab"}
MODULES = {"scaffolding/engine/test_command_line.py"}

HEAD = """
    import pathlib, pytest
    real = pytest.mark.real
    RUNS = pathlib.Path(__file__).with_name("runs")

    def nth(name):
        with RUNS.open("a") as file:
            file.write(name + "\\n")
        return RUNS.read_text().splitlines().count(name)
"""


@dataclass(frozen=True)
class Done:
    """What a run of `again` left."""

    code: int
    output: str
    runs: list[str]
    flaky: list[str]


@pytest.fixture
def again(tmp_path: Path) -> Callable[..., Done]:
    """Runs a module of tests, in a folder of its own."""

    def run(module: str, *arguments: str) -> Done:
        (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = real: talks to real processes\n")
        (tmp_path / "test_it.py").write_text(dedent(HEAD) + dedent(module))
        done = subprocess.run(
            [sys.executable, "-m", "infra.ci.again", *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "FLAKY": str(tmp_path / "flaky")},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        runs, flaky = tmp_path / "runs", tmp_path / "flaky"
        return Done(
            done.returncode,
            done.stdout + done.stderr,
            runs.read_text().splitlines() if runs.exists() else [],
            flaky.read_text().splitlines() if flaky.exists() else [],
        )

    return run


def test_a_real_test_that_passes_the_second_time_is_named_and_the_others_are_not_run_again(
    again: Callable[..., Done],
) -> None:
    done = again("""
        def test_good():
            nth("good")

        @real
        @pytest.mark.parametrize("word", ["a b"])
        def test_once(word):
            assert nth("once") == 2, "came too late"
    """)
    assert done.code == 0, done.output
    assert done.runs == ["good", "once", "once"]
    assert len(done.flaky) == 1
    assert done.flaky[0].startswith("test_it.py::test_once[a b]: AssertionError: came too late")


def test_side_by_side_too(again: Callable[..., Done]) -> None:
    module = """
        @real
        def test_once():
            assert nth("once") == 2
    """
    done = again(module, "-p", "xdist.plugin", "-n", "1")
    assert (done.code, done.runs) == (0, ["once", "once"]), done.output
    assert len(done.flaky) == 1


def test_a_real_test_that_fails_twice_has_failed(again: Callable[..., Done]) -> None:
    done = again("""
        @real
        def test_never():
            assert nth("never") == 0
    """)
    assert (done.code, done.runs, done.flaky) == (1, ["never", "never"], [])


def test_any_other_test_has_one_chance_and_so_have_those_beside_it(again: Callable[..., Done]) -> None:
    done = again("""
        @real
        def test_once():
            assert nth("once") == 2

        def test_logic():
            assert nth("logic") == 2
    """)
    assert (done.code, sorted(done.runs), done.flaky) == (1, ["logic", "once"], [])


def test_a_test_that_is_skipped_the_second_time_has_not_passed(again: Callable[..., Done]) -> None:
    done = again("""
        @real
        def test_skipped():
            if nth("skipped") == 2:
                pytest.skip("not now")
            assert False
    """)
    assert (done.code, done.flaky) == (1, [])


def test_what_fails_when_it_is_torn_down_has_failed_and_gets_its_chance(again: Callable[..., Done]) -> None:
    done = again("""
        @pytest.fixture
        def stage():
            yield
            assert nth("down") == 2

        @real
        def test_it(stage):
            pass
    """)
    assert (done.code, done.runs, len(done.flaky)) == (0, ["down", "down"], 1), done.output


def test_what_passes_is_run_once(again: Callable[..., Done]) -> None:
    done = again("""
        @real
        def test_good():
            nth("good")
    """)
    assert (done.code, done.runs, done.flaky) == (0, ["good"], [])


def test_no_test_at_all_is_no_success(again: Callable[..., Done]) -> None:
    assert again("", "-k", "nothing").code == 5


def test_what_cannot_be_collected_is_not_run_again(again: Callable[..., Done]) -> None:
    assert again("raise RuntimeError").code == 2


def failed(*real: bool, code: int = 1) -> Run:
    return Run(code, Outcomes(tuple(Failure(f"test_{n}", real=each, reason="") for n, each in enumerate(real))))


@pytest.mark.parametrize(
    "run",
    [
        failed(),  # it failed for another reason: the coverage is too low
        failed(False),
        failed(True, False),
        failed(*[True] * (MOST + 1)),
        failed(True, code=2),  # interrupted
        failed(True, code=3),  # pytest itself failed
    ],
)
def test_all_or_none(run: Run) -> None:
    assert not to_repeat(run)


def test_a_handful_of_real_tests_is_repeated() -> None:
    assert len(to_repeat(failed(*[True] * MOST))) == MOST


def test_logic_never_has_the_mark_and_tests_of_processes_always(request: pytest.FixtureRequest) -> None:
    """Of the tests that are run together with this one: in `make test`, all of those folders."""
    for item in request.session.items:
        path = item.path.relative_to(TESTS)
        folder = path.parts[0]
        marked = item.get_closest_marker("real") is not None
        assert not (folder in LOGIC and marked), item.nodeid
        assert not (folder in PROCESSES and not marked), item.nodeid
        assert not (str(path) in MODULES and not marked), item.nodeid
