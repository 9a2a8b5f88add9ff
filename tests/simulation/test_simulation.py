"""The worker keeps its invariants under every trouble that the simulation can make; and the simulation can see."""

import os
import re
import subprocess
import sys

import pytest

from tests.simulation import __main__ as command
from tests.simulation.report import FAULTS, Summary
from tests.simulation.run import observe, run
from tests.simulation.twins import TWINS, Twin, prove_nothing
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


def test_one_seed_is_told_line_by_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SEED", "7")
    assert command.main() == 0
    text = capsys.readouterr().out
    assert re.search(r"^ +\d+\.\d{3}  worker-\d +\* takes the lease +token=1$", text, re.MULTILINE)
    assert re.search(r"^seed 7: \d+ virtual seconds, trace [0-9a-f]{16}$", text, re.MULTILINE)


def test_a_violation_is_told_with_its_seed_and_its_trace_and_exits_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lease = next(twin for twin in TWINS if twin.name == "lease")
    for name, value in {"SEEDS": "1", "FROM": str(lease.known), "PROCESSES": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(Lease, "prove", prove_nothing)  # the processes of the pool are copies of this one
    assert command.main() == 1
    text = capsys.readouterr().out
    assert re.search(r"^violations of 3 \(one at a time\) +1$", text, re.MULTILINE)
    assert f"seed {lease.known} (replay it: make simulate SEED={lease.known})" in text
    assert "!! violation" in text


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
