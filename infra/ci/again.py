"""`python -m infra.ci.again [pytest's arguments]`: pytest, and once more for tests that talk to real processes.

A test gets a second chance, in a fresh process and one after the other, where it is marked `real`, nothing else failed
and no more than `MOST` did: many failures at once are no accident. If all pass then, the exit code is 0, and each is
added to the file that FLAKY names, with what was wrong the first time. Otherwise it is the exit code of the first run.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.ci.outcomes import Failure, Outcomes

MOST = 5
TESTS_FAILED = 1
"""https://docs.pytest.org/en/stable/reference/exit-codes.html"""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of pytest."""

    code: int
    outcomes: Outcomes


def main(arguments: Sequence[str]) -> int:
    """The exit code."""
    first = run(arguments)
    failures = to_repeat(first)
    if not failures:
        return first.code
    names = [failure.test for failure in failures]
    _say(f"\nOnce more, as tests with real processes may fail by accident: {', '.join(names)}\n")
    second = run(["-q", *names])
    if second.code != 0 or not second.outcomes.passed.issuperset(names):
        return first.code
    _note(failures)
    return 0


def to_repeat(first: Run) -> Sequence[Failure]:
    """The failures that get a second chance: all, or none."""
    failures = first.outcomes.failures
    if first.code != TESTS_FAILED or len(failures) > MOST:
        return ()
    return failures if all(failure.real for failure in failures) else ()


def run(arguments: Sequence[str]) -> Run:
    """Run pytest, shown as it happens."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "outcomes.json"
        command = [sys.executable, "-m", "pytest", "-p", "infra.ci.outcomes", f"--outcomes={path}", *arguments]
        code = subprocess.run(command, check=False).returncode  # noqa: S603 - the arguments of whoever called
        return Run(code, Outcomes.read(path))


def _note(failures: Sequence[Failure]) -> None:
    """For the summary at the end."""
    path = os.environ.get("FLAKY")
    if path:
        with Path(path).open("a") as file:
            file.writelines(f"{failure.test}: {failure.reason}\n" for failure in failures)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
