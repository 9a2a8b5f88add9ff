"""Which seeds are run: from a number on, or from one that the commit decides, and those that have failed before."""

import hashlib
import subprocess
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).with_name("regressions.txt")
CODE = ("shared", "worker", "infra/local", "tests/fakes", "tests/simulation")
"""What a schedule depends on. From what these folders hold in the commit its first seed is made."""
MOST_OF_COMMIT = 10_000_000
MARK = "open"


@dataclass(frozen=True, slots=True)
class Regression:
    """A seed that failed once."""

    seed: int
    invariant: int
    what: str
    open: bool = False
    """Its fault is not mended: it is kept, and not run."""


def first_of_commit() -> int:
    """The first seed of the code that is checked out. Raises ValueError outside a git checkout.

    Other documents, or the same code in another commit, draw the same seeds.
    """
    command = ["git", "rev-parse", *(f"HEAD:{folder}" for folder in CODE)]
    try:
        answer = subprocess.run(command, cwd=FILE.parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise ValueError(f"FROM=commit needs git and a checkout: {error}; name a number instead") from error
    return int(hashlib.sha256(answer.stdout.encode()).hexdigest(), 16) % MOST_OF_COMMIT


def regressions(text: str) -> list[Regression]:
    """The entries of the file. Raises ValueError for a line that is none."""
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [_regression(line) for line in lines if line]


def _regression(line: str) -> Regression:
    words = line.removeprefix(MARK).split(maxsplit=2)
    if len(words) != 3 or not (words[0].isdigit() and words[1].isdigit()):
        raise ValueError(f"{FILE.name}: `{line}` is not `[{MARK}] SEED INVARIANT WHAT IT WAS`")
    return Regression(int(words[0]), int(words[1]), words[2], line.startswith(MARK))
