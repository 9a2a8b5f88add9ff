"""What can never be valid ends in the dead-letter queue with the reason; the next good message is handled."""

from __future__ import annotations

import json

import pytest

from tests.e2e.environment import Environment
from tests.waiting import until

WORKERS = 1
POISON = {
    "this is no JSON": "not valid JSON",
    "[1, 2]": "must be a JSON object",
    '{"action": 7}': "Unknown action",
    '{"action": "scale-everything"}': "Unknown action: scale-everything",
    '{"action": "scale-nodes", "scale": 5, "type": "worker"}': "Incorrect scale direction",
    '{"action": "scale-nodes", "scale": "up", "type": "worker", "by": "many"}': "Incorrect by: many",
    '{"action": "scale-nodes", "scale": "up", "type": "worker", "by": true}': "Incorrect by",
    '{"action": "scale-service", "service": ["web"], "scale": "up"}': "Incorrect service name in request",
    '{"action": "reschedule-services", "version": 3}': "Incorrect version",
    '{"Type": "Notification", "Message": 3}': "no Message",
    json.dumps({"action": "reschedule-services", "more": "x" * (256 * 1024 - 50)}): "65536 are allowed",
}


def _dead(env: Environment) -> dict[str, str]:
    """The dead letters that can be received now, with their reasons."""
    url = env.variables["SQS_DLQ_URL"]
    answer = env.client("sqs").receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["error"], VisibilityTimeout=120, WaitTimeSeconds=0
    )
    messages = answer.get("Messages", [])
    return {one["Body"]: one["MessageAttributes"]["error"]["StringValue"] for one in messages}


def test_poison_goes_to_the_dead_letter_queue_with_its_reason_and_the_next_good_message_is_handled(
    env: Environment,
) -> None:
    for body in POISON:
        env.send(body)
    good = env.send({"action": "scale-service", "service": "demo", "scale": "down", "by": 1})
    assert env.caller.ended(good)["message"].startswith("Scaling demo from 6 to 5")

    found: dict[str, str] = {}

    def all_found() -> bool:
        found.update(_dead(env))
        return len(found) == len(POISON)

    until(all_found, "the dead letters")
    for body, reason in POISON.items():
        assert reason in found[body], body[:80]
    assert {one.service for one in env.said()} >= {"bad_request", "demo"}
    assert "scaler_dead_letters_total 11.0" in _metrics(env)


def test_a_request_that_cannot_be_done_is_a_record_not_a_dead_letter(env: Environment) -> None:
    record = env.caller.ended(env.send({"action": "scale-service", "service": "nobody", "scale": "up"}))
    assert record["state"] == "failed"
    assert _dead(env) == {}


@pytest.mark.parametrize("body", ["{", '{"action": 1}'])
def test_each_dead_letter_is_told_to_people(env: Environment, body: str) -> None:
    before = len(env.said())
    env.send(body)
    until(lambda: [one for one in env.said()[before:] if one.request == "Incorrect request"], "a notice")


def _metrics(env: Environment) -> str:
    import requests

    return requests.get(f"{env.worker_urls[0]}/metrics", timeout=5).text
