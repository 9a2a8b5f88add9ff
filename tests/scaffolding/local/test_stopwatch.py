"""The stopwatch of the operator's test: what a process waits for a processor does not count, and no more than that."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from tests.e2e.stopwatch import MOST_FORGIVEN, Stopwatch, ended, waited

SECOND = 1_000_000_000


def note(proc: Path, pid: int, thread: int, nanoseconds: int) -> None:
    """A thread has waited so long, in all."""
    folder = proc / str(pid) / "task" / str(thread)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "schedstat").write_text(f"123 {nanoseconds} 4\n")


def test_what_was_waited_since_it_began_is_taken_off_of_each_process_by_the_thread_that_waited_longest(
    tmp_path: Path,
) -> None:
    note(tmp_path, 1, 1, 50 * SECOND)
    watch = Stopwatch([1, 2], tmp_path)
    note(tmp_path, 1, 1, 52 * SECOND)
    note(tmp_path, 1, 2, 1 * SECOND)
    note(tmp_path, 2, 9, 1 * SECOND)
    assert watch.lost == 3
    (tmp_path / "2" / "task" / "9" / "schedstat").unlink()
    watch.add(0.5)
    assert watch.lost == 3.5


def test_no_more_than_so_much_is_forgiven(tmp_path: Path) -> None:
    before, watch = time.monotonic(), Stopwatch([], tmp_path)
    watch.add(1000)
    assert 0 < watch.elapsed <= (1 - MOST_FORGIVEN) * (time.monotonic() - before)


def test_what_a_process_sleeps_counts_and_its_waits_are_known_when_it_has_ended() -> None:
    command = [sys.executable, "-c", "import time; time.sleep(0.3)"]
    began = time.monotonic()
    with subprocess.Popen(command) as run:
        ended(run.pid)
        took, lost = time.monotonic() - began, waited(run.pid)
    assert 0 <= lost <= took - 0.3
