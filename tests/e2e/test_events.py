"""What AWS does by itself, as `python -m infra.local.fault` makes it happen: each event goes its way to its end."""

from __future__ import annotations

from typing import Any

import pytest

from infra.local.fault import call_of, send
from tests.e2e.environment import Environment
from tests.waiting import until

pytestmark = pytest.mark.slow
WORKERS = 1
SETTINGS = {"REBALANCE_ACTION": "drain", "SCHEDULED_CHANGE_ACTION": "replace"}
REPLICAS = 6


def happens(env: Environment, *words: str) -> None:
    """Typed at a terminal."""
    send(env.variables["CONTROL_URL"], *call_of(words[0], words[1:]))


def about(env: Environment, action: str, host: str) -> dict[str, Any]:
    """The newest record of an action that is about a node."""

    def probe() -> dict[str, Any] | None:
        listed = env.caller.get("/v1/requests").json()["requests"]
        return next((one for one in listed if one["action"] == action and one.get("node") == host), None)

    return until(probe, f"a {action} of {host}")


def instance_of(node: dict[str, Any]) -> str:
    """What its engine says."""
    return str(node["Description"]["Engine"]["Labels"]["instance_id"])


def test_a_node_whose_machine_aws_retires_is_replaced(env: Environment) -> None:
    node = env.nodes()[0]
    host, before = node["Description"]["Hostname"], len(env.nodes())
    happens(env, "retire", host)
    record = env.caller.ended(about(env, "replace-node", host)["id"])
    assert record["state"] == "succeeded", record
    assert record["id"].endswith(f"-{instance_of(node)}")
    told = env.caller.ended(record["id"].removesuffix(f"-{instance_of(node)}"))
    assert told["message"].endswith(f"Replaced by request {record['id']}")
    env.heard(told["message"])
    assert host not in {one["Description"]["Hostname"] for one in env.nodes()}
    assert (len(env.nodes()), env.desired()) == (before, before)
    until(lambda: len(env.running("demo")) == REPLICAS, "every replica")


def test_a_node_is_drained_where_ec2_recommends_to_replace_its_machine(env: Environment) -> None:
    group = env.variables["AWS_WORKER_ASG"]
    env.client("autoscaling").update_auto_scaling_group(AutoScalingGroupName=group, CapacityRebalance=True)
    node = env.nodes()[0]
    host, before = node["Description"]["Hostname"], len(env.nodes())
    env.fault("boot", boot_delay_seconds=3)  # the drain comes before the successor, and so before the hook
    happens(env, "recommend-rebalance", host)
    record = about(env, "node-leaving", host)
    assert (record["source"], record["request"]["cause"]) == ("eventbridge", "rebalance recommendation")
    until(lambda: env.running("demo", node["ID"]) == [], "an empty node")
    ended = env.caller.ended(record["id"], within=60)
    assert ended["state"] in {"succeeded", "skipped"}, ended
    until(lambda: host not in {one["Description"]["Hostname"] for one in env.docker.nodes()}, "its node is gone")
    until(lambda: len(env.nodes()) == before, "its successor")
    assert env.desired() == before
    until(lambda: len(env.running("demo")) == REPLICAS, "every replica")
