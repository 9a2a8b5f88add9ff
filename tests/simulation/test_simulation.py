"""The worker keeps its invariants under every trouble that the simulation can make; and the simulation can see."""

import os
import subprocess
import sys

import pytest

from tests.simulation.report import Summary
from tests.simulation.run import observe, run
from tests.simulation.twins import TWINS, Twin

QUICK = range(1, 151)
MANY = range(151, 2151)
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


def test_the_invariants_hold() -> None:
    summary = summary_of(QUICK)
    assert not summary.failed, told(summary)


def test_a_seed_has_enough_requests_and_faults_to_say_something() -> None:
    summary = summary_of(range(1, 41))
    assert summary.requests / summary.seeds >= 5
    assert summary.faults / summary.seeds >= 10


@pytest.mark.slow
def test_the_invariants_hold_for_many_seeds() -> None:
    summary = summary_of(MANY)
    assert not summary.failed, told(summary)


@pytest.mark.slow
@pytest.mark.parametrize("twin", TWINS, ids=lambda twin: twin.name)
def test_a_worker_without_one_protection_is_found_out(twin: Twin) -> None:
    found = twin.first_finding(twin.known, MOST)
    assert found is not None, f"{MOST} seeds, and nobody misses {twin.lacks}"
    seed, violation = found
    sys.stdout.write(f"without {twin.lacks}: seed {seed}: {violation}\n")
    assert not run(seed).violations, "the seed fails with all protections, too"


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
