"""`python -m tests.simulation`: SEEDS=n FROM=k runs n schedules from seed k; SEED=k replays one, with its trace.

Exit 1 on a violation, with the seed and what happened; 2 where one of the variables is no number. PROCESSES (default:
the cores) and MINOR=1 (a replay that shows every call) are for those who look closely.
"""

import gc
import os
import sys
import time
from multiprocessing import Pool

from tests.simulation.report import Summary
from tests.simulation.run import Result, observe, run

TRACED = 3
"""Of so many seeds that failed a trace is shown."""
LAST_LINES = 60
"""So much of the trace is shown of a seed that failed among many."""


def main() -> int:
    """The exit code."""
    try:
        seed, first = _number("SEED", least=0), _number("FROM", least=0)
        count, processes = _number("SEEDS", least=1), _number("PROCESSES", least=1)
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    if seed is not None:
        return replay(seed)
    return search(count or 1000, 1 if first is None else first, processes or os.cpu_count() or 1)


def _number(name: str, *, least: int) -> int | None:
    """A variable's whole number. None: it is not set. Raises ValueError."""
    text = os.environ.get(name, "").strip()
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and int(text) >= least):
        raise ValueError(f"{name}={text} is not a whole number of {least} or more")
    return int(text)


def replay(seed: int) -> int:
    """One seed, with everything that happened."""
    result, trace = observe(seed)
    _say(trace.text(minor=bool(os.environ.get("MINOR"))))
    _say(f"\nseed {seed}: {result.seconds:.0f} virtual seconds, trace {trace.digest()[:16]}")
    for violation in result.violations:
        _say(f"  {violation}")
    return 1 if result.violations else 0


def search(count: int, first: int, processes: int) -> int:
    """Many seeds, and a table."""
    summary, began = Summary(), time.monotonic()
    with Pool(processes, _collect_rarely) as pool:
        for done, result in enumerate(pool.imap_unordered(run, range(first, first + count), chunksize=8), 1):
            summary.add(result)
            _show_progress(done, count, len(summary.failed))
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
    _say(f"\nseed {result.seed} (replay it: make simulate SEED={result.seed})")
    for violation in result.violations:
        _say(f"  {violation}")
    lines = observe(result.seed)[1].text().splitlines()
    _say("\n".join(lines[-LAST_LINES:]))


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
