"""`.ci/run`: it goes through all sections, hides no failure, and ends with a summary."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

CI = Path(__file__).parents[3] / ".ci"

MAKE = """#!/bin/sh
echo "make $*"
echo "$*" >>calls
[ "$1" = "$FLAKY_TARGET" ] && echo "tests/e2e/test_it.py::test_it: came too late" >>"$FLAKY"
[ "$1" != "$BAD" ]
"""
ALWAYS = ["setup", "lint", "demo", "test", "slow", "simulate", "mutants"]
LAB = ["lab-contract", "lab-test"]


@dataclass(frozen=True)
class Done:
    """What a run left."""

    code: int
    calls: list[str]
    summary: list[str]

    @property
    def targets(self) -> list[str]:
        """What was made, in order."""
        return [call.split()[0] for call in self.calls]


@pytest.fixture
def ci(tmp_path: Path) -> Callable[..., Done]:
    """Runs the script with a `make` that only writes down what it is asked for."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(CI / "run", tmp_path / ".ci" / "run")
    tools = tmp_path / "tools"
    tools.mkdir()

    def script(path: Path, text: str) -> None:
        path.write_text(text)
        path.chmod(0o755)

    def run(*, root: bool = True, packages: int = 0, **variables: str) -> Done:
        script(tools / "make", MAKE)
        script(tools / "id", f"#!/bin/sh\necho {0 if root else 1000}\n")
        script(tools / "apt-get", "#!/bin/sh\nexit 1\n")
        script(tmp_path / ".ci" / "packages", f"exit {packages}\n")
        done = subprocess.run(
            ["bash", ".ci/run"],
            cwd=tmp_path,
            env={"PATH": f"{tools}:{os.environ['PATH']}", "TMPDIR": str(tmp_path), **variables},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        calls = tmp_path / "calls"
        asked = calls.read_text().splitlines() if calls.exists() else []
        return Done(done.returncode, asked, done.stdout.partition("=== summary")[2].splitlines())

    return run


def rows(summary: list[str]) -> dict[str, str]:
    """Each section's outcome."""
    found = (re.fullmatch(r"(passed|FAILED) +\d+ s  (.+)", line) for line in summary)
    return {match[2]: match[1] for match in found if match}


def test_a_good_run_names_each_section_with_its_time(ci: Callable[..., Done]) -> None:
    done = ci()
    assert (done.code, done.targets) == (0, [*ALWAYS, *LAB])
    assert len(rows(done.summary)) == 9
    assert set(rows(done.summary).values()) == {"passed"}
    assert done.summary[-1] == "sections: 9 passed, 0 failed"


@pytest.mark.parametrize("bad", ["lint", "demo", "test", "slow", "simulate", "mutants", *LAB])
def test_a_bad_section_is_told_and_the_others_are_run(ci: Callable[..., Done], bad: str) -> None:
    done = ci(BAD=bad)
    assert (done.code, done.targets) == (1, [*ALWAYS, *LAB])
    assert list(rows(done.summary).values()).count("FAILED") == 1
    assert done.summary[-1] == "sections: 8 passed, 1 failed"


def test_without_a_set_up_nothing_else_is_tried(ci: Callable[..., Done]) -> None:
    assert ci(BAD="setup").targets == ["setup"]
    done = ci(packages=1)
    assert done.code == 1
    assert done.summary[-1] == "sections: 0 passed, 1 failed"


def test_who_is_not_root_has_no_lab(ci: Callable[..., Done]) -> None:
    assert ci(root=False, packages=1).targets == ALWAYS


def test_flaky_tests_are_named_at_the_end(ci: Callable[..., Done]) -> None:
    done = ci(FLAKY_TARGET="slow")
    assert done.code == 0
    assert "  tests/e2e/test_it.py::test_it: came too late" in done.summary
    assert not any("flaky" in line for line in ci().summary)


def test_a_second_chance_is_for_targets_with_real_processes_alone(ci: Callable[..., Done]) -> None:
    chances = {call.split()[0] for call in ci().calls if "infra.ci.again" in call}
    assert chances == {"test", "slow", "lab-test"}


@pytest.mark.parametrize(("target", "runs"), [("test", 1), ("slow", 1), ("lab-test", 1)])
def test_the_makefile_runs_the_pytest_that_it_is_told(target: str, runs: int) -> None:
    asked = ["make", "--dry-run", target, "PYTEST=another one"]
    done = subprocess.run(asked, cwd=CI.parent, capture_output=True, text=True, check=True)
    assert done.stdout.count("another one -q") == runs


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="no shellcheck on this machine")
def test_shellcheck_has_nothing_to_say() -> None:
    subprocess.run(["shellcheck", "--severity=warning", str(CI / "run"), str(CI / "packages")], check=True)
