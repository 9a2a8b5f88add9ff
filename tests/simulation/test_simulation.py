"""The worker keeps its invariants under every trouble that the simulation can make; and the simulation can see."""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.simulation import __main__ as command
from tests.simulation.report import FAULTS, Summary
from tests.simulation.run import observe, run
from tests.simulation.seeds import FILE, Regression, first_of_commit, regressions
from tests.simulation.shrink import minimal, only, shrink
from tests.simulation.twin import Twin
from tests.simulation.twins import TWINS, prove_nothing
from worker.leadership.lease import Lease

QUICK = range(1, 151)
MOST = 2000
"""Within so many seeds a twin must be found."""


def summary_of(seeds: range) -> Summary:
    """Run the seeds."""
    summary = Summary()
    for seed in seeds:
        summary.add(run(seed))
    return summary


def told(summary: Summary) -> str:
    """What went wrong, with the seeds."""
    return "\n".join(f"SEED={result.seed}: {violation}" for result in summary.failed for violation in result.violations)


def test_the_invariants_hold_and_no_kind_of_fault_is_missing() -> None:
    summary = summary_of(QUICK)
    assert not summary.failed, told(summary)
    assert [kind for kind in FAULTS if not summary.counts[kind]] == []


def test_a_seed_has_enough_requests_and_faults_to_say_something() -> None:
    summary = summary_of(range(1, 41))
    assert summary.requests / summary.seeds >= 5
    assert summary.faults / summary.seeds >= 10


@pytest.mark.slow
@pytest.mark.parametrize("twin", TWINS, ids=lambda twin: twin.name)
def test_a_worker_without_one_protection_is_found_out(twin: Twin) -> None:
    found = twin.finding(MOST)
    assert found is not None, f"{MOST} seeds, and nobody misses {twin.lacks}"
    seed, violation = found
    sys.stdout.write(f"without {twin.lacks}: seed {seed}: {violation}\n")
    assert not run(seed).violations, "the seed fails with all protections, too"


@pytest.mark.parametrize(
    ("name", "value", "least"),
    [("SEEDS", "abc", 1), ("SEEDS", "0", 1), ("SEED", "1.5", 0), ("FROM", "-3", 0), ("PROCESSES", "two", 1)],
)
def test_what_is_no_number_is_refused_in_one_line(
    name: str, value: str, least: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(name, value)
    assert command.main() == 2
    assert capsys.readouterr() == ("", f"{name}={value} is not a whole number of {least} or more\n")


@pytest.mark.parametrize("variables", [{"SHRINK": "1"}, {"ONLY": "m1"}, {"SEED": "7", "ONLY": "m1,coffee"}])
def test_what_cannot_be_replayed_is_refused_with_what_can(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert command.main() == 2
    told = capsys.readouterr().err
    assert "SEED=n" in told or "seed 7 does not decide coffee; it decides: " in told


def test_one_seed_is_told_line_by_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SEED", "7")
    assert command.main() == 0
    text = capsys.readouterr().out
    assert re.search(r"^ +\d+\.\d{3}  worker-\d +\* takes the lease +token=1$", text, re.MULTILINE)
    assert re.search(r"^seed 7: \d+ virtual seconds, trace [0-9a-f]{16}$", text, re.MULTILINE)


def test_a_violation_is_told_with_its_seed_and_its_trace_and_exits_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lease = twin_named("lease")
    for name, value in {"SEEDS": "1", "FROM": str(lease.known), "PROCESSES": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(Lease, "prove", prove_nothing)  # the processes of the pool are copies of this one
    assert command.main() == 1
    text = capsys.readouterr().out
    assert re.search(r"^violations of 3 \(one at a time\) +1$", text, re.MULTILINE)
    assert f"seed {lease.known} (replay it: make simulate SEED={lease.known}, a smaller one: SHRINK=1)" in text
    assert "!! violation" in text


def twin_named(name: str) -> Twin:
    return next(twin for twin in TWINS if twin.name == name)


@pytest.mark.parametrize("name", ["smaller", "duplicates"])
def test_a_seed_that_fails_becomes_a_smaller_schedule_that_fails_in_the_same_way(name: str) -> None:
    twin = twin_named(name)
    smaller = shrink(twin.known, twin.change, twin.reshape)
    assert smaller is not None
    assert smaller.invariant == twin.breaks
    assert len(smaller.kept) <= smaller.decided / 3

    def broken(names: Sequence[str]) -> set[int]:
        return {one.invariant for one in run(twin.known, twin.change, only(names, twin.reshape)).violations}

    assert twin.breaks in broken(smaller.kept)
    for left_out in smaller.kept:
        assert twin.breaks not in broken([kept for kept in smaller.kept if kept != left_out]), left_out
    assert not run(twin.known, reshape=only(smaller.kept)).violations


def test_what_is_not_needed_is_left_out_wherever_it_stands() -> None:
    names = [str(number) for number in range(50)]
    assert minimal(names, lambda some: {"7", "31", "32"} <= set(some)) == ["7", "31", "32"]
    assert minimal(names, lambda some: len(some) >= 5) == names[-5:]
    assert minimal(names, lambda _: True) == []


def test_a_smaller_schedule_is_told_with_the_command_that_replays_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = twin_named("lease").known
    for name, value in {"SEED": str(seed), "SHRINK": "1"}.items():
        monkeypatch.setenv(name, value)
    assert command.main() == 0
    assert capsys.readouterr().out == f"seed {seed}: no violation, nothing to make smaller\n"
    monkeypatch.setattr(Lease, "prove", prove_nothing)
    assert command.main() == 1
    told = re.search(rf"^replay it: make simulate SEED={seed} ONLY=(\S+)$", capsys.readouterr().out, re.MULTILINE)
    assert told is not None
    monkeypatch.setenv("SHRINK", "")
    monkeypatch.setenv("ONLY", told[1])
    assert command.main() == 1
    assert "invariant 3 (one at a time)" in capsys.readouterr().out


def test_the_commit_says_which_seeds_and_those_that_failed_once_are_run_with_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    listed = tmp_path / "regressions.txt"
    listed.write_text("# words\n\n7 9 a message that was not true  # mended\nopen 8 3 two at a time\n")
    assert regressions(listed.read_text()) == [
        Regression(7, 9, "a message that was not true"),
        Regression(8, 3, "two at a time", open=True),
    ]
    monkeypatch.setattr(command, "FILE", listed)
    for name, value in {"FROM": "commit", "SEEDS": "2", "PROCESSES": "1"}.items():
        monkeypatch.setenv(name, value)
    assert command.main() == 0
    assert capsys.readouterr().out.startswith(f"3 schedules, the last {first_of_commit() + 1}\n")
    assert 0 <= first_of_commit() < 10_000_000
    listed.write_text("7 it went wrong\n")
    assert command.main() == 2
    assert "`7 it went wrong` is not `[open] SEED INVARIANT WHAT IT WAS`" in capsys.readouterr().err


def test_the_list_of_seeds_that_failed_can_be_read() -> None:
    regressions(FILE.read_text())


def test_the_same_seed_is_the_same_history() -> None:
    first, second = observe(7)[1], observe(7)[1]
    assert first.digest() == second.digest()
    assert first.digest() != observe(8)[1].digest()


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_the_history_does_not_depend_on_how_strings_are_hashed(hash_seed: str) -> None:
    code = "from tests.simulation.run import observe; print(*(observe(seed)[1].digest() for seed in range(7, 13)))"
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    answer = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=120
    )
    assert answer.stdout.split() == [observe(seed)[1].digest() for seed in range(7, 13)]
