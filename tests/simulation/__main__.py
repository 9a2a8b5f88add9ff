"""`python -m tests.simulation`: SEEDS=n FROM=k runs n schedules from seed k; SEED=k replays one, with its trace.

FROM=commit begins where the code of the commit says, and runs the seeds of regressions.txt as well: that is what the
weekly run does. CI runs the first 2,000, so that it says the same of each commit. SEED=k SHRINK=1 finds a smaller
schedule that still fails; SEED=k ONLY=a,b replays that part of a seed's decisions.

Exit 1 on a violation, with the seed and what happened; 2 where a variable cannot be understood. PROCESSES (default:
the cores) and MINOR=1 (a replay that shows every call) are for those who look closely.
"""

import gc
import os
import sys
import time
from collections.abc import Sequence
from multiprocessing import Pool

from tests.simulation.report import Summary
from tests.simulation.run import Result, observe, run
from tests.simulation.seeds import FILE, first_of_commit, regressions
from tests.simulation.shrink import only, shrink

TRACED = 3
"""Of so many seeds that failed a trace is shown."""
LAST_LINES = 60
"""So much of the trace is shown of a seed that failed among many."""


def main() -> int:
    """The exit code."""
    try:
        seed, count = _number("SEED", least=0), _number("SEEDS", least=1)
        processes, names = _number("PROCESSES", least=1), _names(seed)
        if seed is not None:
            return show_smaller(seed) if _text("SHRINK") else replay(seed, names)
        seeds = _seeds(count or 1000)
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return search(seeds, processes or os.cpu_count() or 1)


def _names(seed: int | None) -> list[str]:
    """The decisions to be replayed; none: all. Raises ValueError."""
    names = [name.strip() for name in _text("ONLY").split(",") if name.strip()]
    if seed is None and (names or _text("SHRINK")):
        raise ValueError("SHRINK and ONLY need SEED=n: a schedule is made smaller, or replayed, one at a time")
    return names


def _seeds(count: int) -> list[int]:
    """So many, and those that have failed before. Raises ValueError."""
    if _text("FROM") != "commit":
        first = _number("FROM", least=0)
        first = 1 if first is None else first
        return list(range(first, first + count))
    first = first_of_commit()
    mended = [known.seed for known in regressions(FILE.read_text()) if not known.open]
    return [*mended, *range(first, first + count)]


def _text(name: str) -> str:
    """A variable, empty where it is not set."""
    return os.environ.get(name, "").strip()


def _number(name: str, *, least: int) -> int | None:
    """A variable's whole number. None: it is not set. Raises ValueError."""
    text = _text(name)
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and int(text) >= least):
        raise ValueError(f"{name}={text} is not a whole number of {least} or more")
    return int(text)


def replay(seed: int, names: Sequence[str] = ()) -> int:
    """One seed, or some of its decisions, with everything that happened. Raises ValueError for an unknown name."""
    result, trace = observe(seed, reshape=only(names) if names else None)
    unknown = ", ".join(name for name in names if name not in result.decisions)
    if unknown:
        raise ValueError(f"seed {seed} does not decide {unknown}; it decides: {', '.join(result.decisions)}")
    _say(trace.text(minor=bool(_text("MINOR"))))
    _say(f"\nseed {seed}: {result.seconds:.0f} virtual seconds, trace {trace.digest()[:16]}")
    for violation in result.violations:
        _say(f"  {violation}")
    return 1 if result.violations else 0


def show_smaller(seed: int) -> int:
    """The smallest schedule that fails as the seed does, with everything that happens in it."""
    smaller = shrink(seed)
    if smaller is None:
        _say(f"seed {seed}: no violation, nothing to make smaller")
        return 0
    _say(observe(seed, reshape=only(smaller.kept))[1].text())
    _say(f"\n{smaller.text()}")
    return 1


def search(seeds: Sequence[int], processes: int) -> int:
    """Many seeds, and a table."""
    summary, began = Summary(), time.monotonic()
    _say(f"{len(seeds)} schedules, the last {seeds[-1]}")
    with Pool(processes, _collect_rarely) as pool:
        for done, result in enumerate(pool.imap_unordered(run, seeds, chunksize=8), 1):
            summary.add(result)
            _show_progress(done, len(seeds), len(summary.failed))
    _say(summary.table(time.monotonic() - began))
    for result in summary.failed:
        _say("\n".join(f"seed {result.seed}: {violation}" for violation in result.violations))
    for result in summary.failed[:TRACED]:
        _show_failure(result)
    return 1 if summary.failed else 0


def _collect_rarely() -> None:
    """Looking for garbage again and again among what stays costs a schedule a twentieth of its time."""
    gc.freeze()
    gc.set_threshold(50_000)


def _show_progress(done: int, count: int, failed: int) -> None:
    if sys.stderr.isatty() and (done % 50 == 0 or done == count):
        sys.stderr.write(f"\r{done} of {count} schedules, {failed} with a violation ")


def _show_failure(result: Result) -> None:
    _say(f"\nseed {result.seed} (replay it: make simulate SEED={result.seed}, a smaller one: SHRINK=1)")
    for violation in result.violations:
        _say(f"  {violation}")
    lines = observe(result.seed)[1].text().splitlines()
    _say("\n".join(lines[-LAST_LINES:]))


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
