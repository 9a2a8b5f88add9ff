"""EventBridge's default bus: an event goes to the targets of every rule whose pattern it matches.

moto keeps rules and targets, and judges patterns. Delivery is done here, to SQS alone, as AWS does it: not to a queue
whose policy does not let that rule send, and without a word to anybody where it does not.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, Final

from moto.events.models import events_backends
from moto.sqs.models import sqs_backends

from infra.local.aws.world import REGION, World
from infra.local.scaling.messages import Event

SERVICE: Final = "events.amazonaws.com"


def emit(world: World, event: Event) -> None:
    """Tell whoever listens. Under the world's lock."""
    rules = events_backends[world.account_id][REGION].event_buses["default"].rules.values()
    for rule in rules:
        if rule.state == "ENABLED" and rule.event_pattern.matches_event(event):
            for target in rule.targets:
                _deliver(world, rule.arn, target["Arn"], event)


def send(world: World, queue: str, document: Mapping[str, Any]) -> None:
    """Put a message into a queue from inside, and wake who waits for it. One that is not there gets nothing."""
    queues = sqs_backends[world.account_id][REGION]
    if queue in queues.queues:
        queues.send_message(queue, json.dumps(document))
        world.ring(queue)


def _deliver(world: World, rule_arn: str, target_arn: str, event: Event) -> None:
    name = target_arn.rpartition(":")[2]
    queue = sqs_backends[world.account_id][REGION].queues.get(name)
    if (
        queue is not None
        and target_arn.split(":")[2] == "sqs"
        and allows(json.loads(queue.policy or "{}"), rule_arn, world.account_id)
    ):
        send(world, name, event)


def allows(policy: Mapping[str, Any], rule_arn: str, account: str) -> bool:
    """Whether a queue's policy lets EventBridge send to it for this rule."""
    facts = {"aws:sourcearn": rule_arn, "aws:sourceaccount": account, "aws:securetransport": "true"}
    verdicts = [one["Effect"] for one in policy.get("Statement", []) if _concerns(one, facts)]
    return "Allow" in verdicts and "Deny" not in verdicts


def _concerns(statement: Mapping[str, Any], facts: Mapping[str, str]) -> bool:
    principal = statement.get("Principal", {})
    services = ["*"] if principal == "*" else _several(principal.get("Service", []))
    actions = [action.lower() for action in _several(statement.get("Action", []))]
    return (
        ("*" in services or SERVICE in services)
        and any(fnmatchcase("sqs:sendmessage", action) for action in actions)
        and all(facts.get(key.lower()) in values for key, values in _conditions(statement))
    )


def _conditions(statement: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """Each with the values of which one has to be so. All operators that our templates use compare for equality."""
    for operator in statement.get("Condition", {}).values():
        for key, values in operator.items():
            yield key, [str(value).lower() if isinstance(value, bool) else str(value) for value in _several(values)]


def _several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
