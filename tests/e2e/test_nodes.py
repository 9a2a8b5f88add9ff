"""A node more, a node less: the tutorial's curl and a message in the queue, against what `make up` runs."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.e2e.caller import DOWN, NODES, UP, up
from tests.e2e.environment import Environment, Measured
from tests.waiting import until

SETTINGS = {"RESCHEDULE_TICKER_INTERVAL": "60"}


def _all_run(env: Environment, replicas: int = 6) -> bool:
    return len(env.running("demo")) == replicas


def _check_up(env: Environment, record: dict[str, Any], before: int) -> None:
    assert record["state"] == "succeeded", record
    assert (record["nodes_before"], record["nodes_after"]) == (before, before + 1)
    nodes = env.nodes()
    assert len(nodes) == before + 1
    until(lambda: all(env.running("demo", node["ID"]) for node in nodes), "tasks of demo on every worker")
    assert record["message"] == (
        f"Changing the number of worker nodes on aws from {before} to {before + 1}; "
        f"{up('worker', before + 1)}, demo rescheduled"
    )


def _check_down(env: Environment, record: dict[str, Any], before: int) -> None:
    assert record["state"] == "succeeded", record
    assert len(env.nodes()) == before - 1
    assert env.nodes(state="down") == []
    assert _all_run(env)
    assert env.desired() == before - 1


def test_the_tutorials_curl_adds_a_node_with_tasks_of_demo_and_removes_the_least_loaded(
    env: Environment,
) -> None:
    before = len(env.nodes())
    answer = env.caller.post(NODES, UP)
    body = answer.json()
    assert (answer.status_code, body["status"]) == (202, "OK")
    assert answer.headers["Location"] == f"/v1/requests/{body['id']}"
    _check_up(env, env.caller.ended(body["id"]), before)
    until(lambda: _all_run(env), "six tasks")
    load = {node["Description"]["Hostname"]: len(env.running("demo", node["ID"])) for node in env.nodes()}

    record = env.caller.ended(env.caller.queued(NODES, DOWN))

    _check_down(env, record, before + 1)
    gone = next(name for name in load if name not in [node["Description"]["Hostname"] for node in env.nodes()])
    assert load[gone] == min(load.values())
    assert record["message"].endswith(f"{up('worker', before)}, {gone} removed")


@pytest.mark.slow
def test_a_message_in_the_queue_does_the_same(env: Environment) -> None:
    before = len(env.nodes())
    up = env.send({"action": "scale-nodes", "scale": "up", "type": "worker", "by": 1})
    record = env.caller.ended(up)
    assert record["source"] == "sqs"
    _check_up(env, record, before)
    until(lambda: _all_run(env), "six tasks")
    down = env.send({"action": "scale-nodes", "scale": "down", "type": "worker", "by": 1})
    _check_down(env, env.caller.ended(down), before + 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "replicas", "message"),
    [
        ({"action": "scale-service", "service": "demo", "scale": "down", "by": 2}, 6, "Scaling demo from 6 to 4"),
        ({"action": "scale-service", "service": "demo", "scale": "up", "by": 2}, 4, "Scaling demo from 4 to 5"),
        ({"action": "reschedule-services"}, 6, "demo rescheduled"),
        ({"action": "reschedule-service", "service": "demo"}, 6, "Rescheduled service: demo"),
    ],
    ids=lambda value: value["action"] if isinstance(value, dict) else "",
)
def test_the_other_bodies_of_the_contract_work_from_the_queue(
    env: Environment, body: dict[str, Any], replicas: int, message: str
) -> None:
    env.set_replicas("demo", replicas)
    try:
        record = env.caller.ended(env.send(body))
    finally:
        env.set_replicas("demo", 6)
    assert record["state"] == "succeeded"
    assert record["message"].startswith(message)


def test_an_sns_envelope_is_unwrapped_and_unknown_fields_stay_in_the_record(env: Environment) -> None:
    inner = {"action": "scale-service", "service": "nobody", "scale": "up", "ticket": {"number": 7}, "version": 1}
    env.send({"Type": "Notification", "MessageId": "sns-1", "TopicArn": "arn:x", "Message": json.dumps(inner)})
    record = env.caller.ended("sns-1")
    assert (record["source"], record["state"]) == ("sns", "failed")
    assert record["ticket"] == {"number": 7}


def _moments(env: Environment, since: float) -> list[tuple[str, str, float]]:
    """What the engine says has happened: type, action, and the moment by its own clock."""
    stream = env.docker.events(since=int(since), until=int(time.time()) + 1, decode=True)
    return [(one["Type"], one["Action"], one["timeNano"] / 1e9) for one in stream]


def ready_to_rescheduled(env: Environment) -> float:
    """Seconds from a new node's being Ready to the update of demo, by the engine's own events."""
    since = time.time()
    record = env.caller.ended(env.caller.queued(NODES, UP))
    assert record["state"] == "succeeded", record
    moments = [one for one in _moments(env, since) if one[2] >= since]
    ready = next(moment for kind, action, moment in moments if (kind, action) == ("node", "create"))
    return next(at - ready for kind, action, at in moments if (kind, action) == ("service", "update") and at > ready)


@pytest.mark.slow
def test_from_ready_to_being_rescheduled_takes_under_a_second(env: Environment, measured: Measured) -> None:
    env.edit("demo", lambda spec: spec["UpdateConfig"].update(Parallelism=6, Monitor=10**8))
    taken = []
    for _ in range(3):
        taken.append(ready_to_rescheduled(env))
        until(lambda: _all_run(env), "six tasks")
        env.caller.ended(env.caller.queued(NODES, DOWN))
    measured("from Ready to being rescheduled, seconds", [round(seconds, 3) for seconds in taken])
    assert sorted(taken)[1] < 1
