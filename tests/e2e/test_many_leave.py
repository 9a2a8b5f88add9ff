"""Twenty machines are announced to go at once; the node of one more is paused under a second while they leave."""

from __future__ import annotations

import os

import pytest

from infra.local.fault import call_of, send
from tests.e2e.environment import Environment, Measured
from tests.e2e.stopwatch import Stopwatch
from tests.waiting import until

pytestmark = pytest.mark.slow
WORKERS = 1
MANY = 20
SETTINGS = {"DEFAULT_MAX_WORKER_NODES": str(MANY + 10)}
NOTICE_SECONDS = 60
"""Two minutes on AWS."""
WITHIN_SECONDS = 1.0


def announce(env: Environment, *hosts: str) -> None:
    """Each machine gets its notice."""
    for host in hosts:
        send(env.variables["CONTROL_URL"], *call_of("interrupt", (host, str(NOTICE_SECONDS))))


def paused(env: Environment, *hosts: str) -> bool:
    """Whether all of these take nothing new."""
    nodes = {each["Description"]["Hostname"]: each["Spec"]["Availability"] for each in env.docker.nodes()}
    return all(nodes[host] != "active" for host in hosts)


def test_a_notice_is_heard_under_a_second_while_twenty_others_leave(env: Environment, measured: Measured) -> None:
    scaling, group = env.client("autoscaling"), env.variables["AWS_WORKER_ASG"]
    scaling.update_auto_scaling_group(AutoScalingGroupName=group, MaxSize=MANY + 10, DesiredCapacity=MANY + 5)
    until(lambda: len(env.nodes()) == MANY + 5, "all nodes")
    hosts = sorted(each["Description"]["Hostname"] for each in env.nodes())
    others, last = hosts[:MANY], hosts[MANY]
    pids = (os.getpid(), *map(int, env.variables["WORKER_PIDS"].split()))  # the environment is a thread of this one
    watch = Stopwatch(pids)
    announce(env, *others)
    until(lambda: paused(env, *others), "the others paused")
    measured(f"{MANY} spot notices, the first sent to the last node paused, seconds", f"{watch.elapsed:.2f}")
    watch = Stopwatch(pids)
    announce(env, last)
    until(lambda: paused(env, last), f"{last} paused")
    seconds = watch.elapsed
    measured(f"spot notice to node paused while {MANY} others leave, seconds", f"{seconds:.2f}")
    assert seconds < WITHIN_SECONDS

    def departures() -> int:
        listed = env.caller.get("/v1/requests?limit=100").json()["requests"]
        return sum(each["action"] == "node-leaving" for each in listed)

    until(lambda: departures() == MANY + 1, "a record for each")
    left = [each["ID"] for each in env.nodes() if each["Description"]["Hostname"] in {*others, last}]
    until(lambda: not any(env.running("demo", node) for node in left), "empty nodes")
