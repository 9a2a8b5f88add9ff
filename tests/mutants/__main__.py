"""`make mutants`: careless changes of the code, one at a time, in a copy of the tree: which test finds each.

Every `*.patch` here says in its first lines what the change does (`What:`), and which tests should find it (`Tests:`,
paths for pytest, or `simulate`: that many schedules of the simulation). SAMPLE=n draws n of them, always the same for
one FROM (a commit; HEAD unless given). First the same tests must pass without a change. Exit 1 where they do not, and
where a change is found by nothing or its patch does not apply any more: refresh the patch with the code that it
changes. Exit 2 where a variable is wrong.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
COPIED = ("cli", "ingest", "worker", "rules", "shared", "infra", "tests", "pyproject.toml")
AT_ONCE = 2
TEST_SECONDS = 300.0
"""A change that makes the tests hang has been found, too."""
SIMULATED_SEEDS = "300"


@dataclass(frozen=True, slots=True)
class Mutant:
    """One careless change."""

    name: str
    what: str
    tests: tuple[str, ...]

    @classmethod
    def read(cls, path: Path) -> "Mutant":
        """Raises ValueError where the head of a patch does not say what it is."""
        head = dict(re.findall(r"^(What|Tests): (.+)$", path.read_text().partition("\n--- ")[0], re.MULTILINE))
        if set(head) != {"What", "Tests"}:
            raise ValueError(f"{path.name} must begin with the lines `What: ...` and `Tests: ...`")
        return cls(path.stem, head["What"], tuple(head["Tests"].split()))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one change."""

    mutant: Mutant
    found_by: str | None
    """The test. None: nothing finds it."""
    trouble: str = ""
    """Why it could not be tried."""


def main() -> int:
    """The exit code."""
    try:
        mutants = drawn([Mutant.read(path) for path in sorted(FOLDER.glob("*.patch"))])
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    began = time.monotonic()
    trouble = unchanged(mutants)
    if trouble is not None:
        _say(f"Without any change a test fails already, so none of them would show anything: {trouble}")
        return 1
    verdicts = list(judged(mutants))
    bad = [verdict for verdict in verdicts if verdict.found_by is None]
    _say(f"{len(verdicts)} careless changes, {len(bad)} not found, in {time.monotonic() - began:.0f} s")
    return 1 if bad else 0


def drawn(mutants: Sequence[Mutant]) -> Sequence[Mutant]:
    """SAMPLE of them, by the commit FROM; all without SAMPLE. Raises ValueError."""
    text = os.environ.get("SAMPLE", "").strip()
    if not text:
        return mutants
    if not (text.isascii() and text.isdigit() and int(text) >= 1):
        raise ValueError(f"SAMPLE={text} is not a whole number of 1 or more")
    seed = os.environ.get("FROM", "").strip()
    seed = "HEAD" if seed in {"", "commit"} else seed  # as `make simulate` says it
    answer = subprocess.run(
        ["git", "rev-parse", "--verify", "--quiet", f"{seed}^{{commit}}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode:
        raise ValueError(f"FROM={seed} is not a commit")
    commit = answer.stdout.strip()
    _say(f"{min(int(text), len(mutants))} of {len(mutants)}, drawn from {commit[:12]}")
    by_chance = sorted(mutants, key=lambda mutant: hashlib.sha256(f"{commit} {mutant.name}".encode()).digest())
    return by_chance[: int(text)]


def judged(mutants: Sequence[Mutant]) -> Sequence[Verdict]:
    """Try all of them, AT_ONCE at a time, each in one of as many copies of the tree."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copies: SimpleQueue[Path] = SimpleQueue()
        for number in range(AT_ONCE):
            copies.put(copy_tree(Path(folder) / str(number)))

        def judge(mutant: Mutant) -> Verdict:
            copy = copies.get()
            try:
                verdict = tried(mutant, copy)
            finally:
                copies.put(copy)
            _say(_line(verdict))
            return verdict

        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(judge, mutants))


def unchanged(mutants: Sequence[Mutant]) -> str | None:
    """The test that fails without any change; None where all pass, as they have to."""
    tests = sorted({test for mutant in mutants for test in mutant.tests if mutant.tests != ("simulate",)})
    simulated = any(mutant.tests == ("simulate",) for mutant in mutants)
    runs = [Mutant("none", "nothing is changed", tuple(tests))] if tests else []
    runs += [Mutant("none", "nothing is changed", ("simulate",))] if simulated else []
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copy = copy_tree(Path(folder) / "unchanged")
        verdicts = [_asked(run, copy) for run in runs]
    return next((each.found_by or each.trouble for each in verdicts if each.found_by or each.trouble), None)


def copy_tree(folder: Path) -> Path:
    """What the tests need, as it stands now, committed or not."""
    folder.mkdir()
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, folder / name)
    return folder


def tried(mutant: Mutant, copy: Path) -> Verdict:
    """Change the copy, ask the tests, and change it back."""
    patch = FOLDER / f"{mutant.name}.patch"
    trouble = _apply(patch, copy)
    if trouble:
        return Verdict(mutant, None, f"the patch does not apply any more, refresh it: {trouble}")
    try:
        return _asked(mutant, copy)
    finally:
        _apply(patch, copy, "--reverse")


def _apply(patch: Path, copy: Path, *options: str) -> str:
    """What is wrong; empty where it was done. Outside any repository: `git apply` there goes by the folder alone."""
    environment = {**os.environ, "GIT_CEILING_DIRECTORIES": str(copy.parent), "GIT_DIR": str(copy / "none")}
    answer = subprocess.run(
        ["git", "apply", "--unidiff-zero", *options, str(patch)],
        cwd=copy,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return answer.stderr.strip().replace("\n", "; ") if answer.returncode else ""


def _asked(mutant: Mutant, copy: Path) -> Verdict:
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1", "SEEDS": SIMULATED_SEEDS}
    simulated = mutant.tests == ("simulate",)
    pytest = ["-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-m", "not slow and not lab", *mutant.tests]
    command = [sys.executable, *(["-m", "tests.simulation"] if simulated else pytest)]
    for name in ("SEED", "FROM", "SAMPLE"):
        environment.pop(name, None)
    try:
        answer = subprocess.run(
            command, cwd=copy, env=environment, capture_output=True, text=True, timeout=TEST_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return Verdict(mutant, f"{' '.join(mutant.tests)} (does not end)")
    if answer.returncode == 0:
        return Verdict(mutant, None)
    if answer.returncode != 1:
        return Verdict(mutant, None, f"the tests could not be run: {(answer.stdout + answer.stderr)[-500:]}")
    named = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$|^(seed \d+)", answer.stdout, re.MULTILINE)
    return Verdict(mutant, (named[1] or named[2]) if named else " ".join(mutant.tests))


def _line(verdict: Verdict) -> str:
    mutant = verdict.mutant
    if verdict.found_by is None:
        why = verdict.trouble or f"found by none of {' '.join(mutant.tests)}"
        return f"NOT FOUND {mutant.name} ({mutant.what}): {why}"
    return f"found     {mutant.name} ({mutant.what}): {verdict.found_by}"


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
