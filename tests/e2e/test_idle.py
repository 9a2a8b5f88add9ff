"""What a worker costs that has nothing to do."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.e2e.docker_proxy import DockerProxy, proxied
from tests.e2e.environment import Environment, Measured
from tests.waiting import until

WORKERS = 0
MINUTE = 60.0
OBSERVED = 66.0
KEY = "AKIAIDLEWORKER000001"
LEASE_SECONDS = 15


@pytest.mark.slow
def test_an_idle_active_worker_makes_at_most_20_aws_calls_a_minute_and_does_not_poll_docker(
    env: Environment, measured: Measured
) -> None:
    settings = {"AWS_ACCESS_KEY_ID": KEY, "LEASE_SECONDS": str(LEASE_SECONDS)}
    engine = Path(env.variables["DOCKER_HOST"].removeprefix("unix://"))
    with tempfile.TemporaryDirectory() as folder, proxied(Path(folder) / "docker.sock", engine) as docker:
        own = {**env.own_queue(), **settings, "DOCKER_HOST": f"unix://{docker.path}"}
        with env.process("worker", own) as worker:
            until(worker.is_active, "an active worker")
            _wait_for_the_start_to_be_over(env, docker)
            begun, wall = time.monotonic(), time.time()
            until(lambda: time.monotonic() - begun >= OBSERVED, "the time of watching", OBSERVED + 10)
            asked = docker.since(begun)
            until(worker.is_active, "a worker that is still active")
    calls = [call for call in env.aws.calls.since(wall, KEY) if call.at < wall + MINUTE]
    counted = Counter(f"{call.service}.{call.action}" for call in calls)
    measured("AWS calls of an idle worker in 60 s", f"{len(calls)}: {dict(counted)}")
    measured(f"Docker calls of an idle worker in {OBSERVED:.0f} s", asked)
    # Sixteen of the lease, the queue and the journal; three looks at what lifecycle hooks hold.
    assert len(calls) <= 20
    # The ticker's look once in RESCHEDULE_TICKER_INTERVAL (60 s), nothing faster.
    assert len(asked) <= 2


def _wait_for_the_start_to_be_over(env: Environment, docker: DockerProxy) -> None:
    """The first look for open records and the first long poll have been sent.

    So have the subscription to events, and who the Swarm is has been asked twice: for the lease, and in the term; and
    everything has been looked at once for the status document.
    """

    def asked() -> bool:
        counts = env.aws.calls.counts(KEY)
        ends = [call.partition("?")[0].rpartition("/")[2] for call in docker.since(0)]
        swarm = "events" in ends and ends.count("info") >= 2
        seen = {"nodes", "tasks", "services"} <= set(ends) and counts.get(
            "autoscaling.DescribeInstanceRefreshes", 0
        ) >= 2
        return swarm and seen and "sqs.ReceiveMessage" in counts and "dynamodb.Query" in counts

    until(asked, "the first calls of the term")
