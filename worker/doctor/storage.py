"""The queues and the table, judged. Pure."""

import json
from collections.abc import Mapping

from shared.table import OPEN_INDEX, TIME_INDEX
from worker.doctor.facts import TableFacts
from worker.doctor.finding import Finding, judged

LEAST_RECEIVES = 5
"""A message is received again after each take-over and each restart: fewer would put good ones aside."""
_INDEXES = {OPEN_INDEX: ("pk", "open_at"), TIME_INDEX: ("pk", "listed_at")}
_EXPIRY = "expires_at"


def queues(inbox: Mapping[str, str], dead_letters: Mapping[str, str]) -> list[Finding]:
    """The inbox, with where its messages end, and the dead-letter queue."""
    own = _standard(inbox) + _redrive(inbox, dead_letters.get("QueueArn", ""))
    other = _standard(dead_letters) + _kept(inbox, dead_letters)
    return [
        *judged("SQS_QUEUE_URL", own, "a standard queue, whose redrive policy names the dead-letter queue"),
        *judged("SQS_DLQ_URL", other, "a standard queue"),
    ]


def table(name: str, facts: TableFacts) -> list[Finding]:
    """The table's key, its local indexes and its expiry."""
    problems = [] if facts.status in {"ACTIVE", "UPDATING"} else [f"its status is {facts.status}: wait, or look at it"]
    if facts.key != ("pk", "sk"):
        problems.append(f"its key is {', '.join(facts.key)}, and must be pk, sk: make it with scaler.yaml")
    for index, key in _INDEXES.items():
        if facts.indexes.get(index) != key:
            problems.append(
                f"it needs a local secondary index {index} with the key {', '.join(key)}; local indexes are made with "
                "the table only: make it anew with scaler.yaml"
            )
    if facts.expiry != _EXPIRY:
        specification = f"Enabled=true,AttributeName={_EXPIRY}"
        command = f"aws dynamodb update-time-to-live --table-name {name} --time-to-live-specification {specification}"
        problems.append(f"old records never go away; run: {command}")
    return judged(f"DYNAMODB_TABLE {name}", problems, "key, local indexes and expiry are right")


def _standard(attributes: Mapping[str, str]) -> list[str]:
    fifo = attributes.get("FifoQueue") == "true"
    return ["it is a FIFO queue; name a standard queue"] if fifo else []


def _redrive(inbox: Mapping[str, str], dead_letters: str) -> list[str]:
    try:
        policy = json.loads(inbox.get("RedrivePolicy") or "{}")
        target, receives = policy.get("deadLetterTargetArn"), int(policy.get("maxReceiveCount", 0))
    except (ValueError, AttributeError):
        target, receives = None, 0
    if inbox.get("QueueArn") == dead_letters:
        return ["it is the same queue as SQS_DLQ_URL; name two"]
    if target is None:
        return ["it has no redrive policy: a message that is never finished comes for ever; set one (scaler.yaml)"]
    if target != dead_letters:
        return [f"its redrive policy names {target}, and SQS_DLQ_URL is {dead_letters}; make them one"]
    if receives < LEAST_RECEIVES:
        return [f"its maxReceiveCount is {receives}: take-overs would put good messages aside; set 20"]
    return []


def _kept(inbox: Mapping[str, str], dead_letters: Mapping[str, str]) -> list[str]:
    """A message keeps its age when it is moved."""
    mine, theirs = (int(each.get("MessageRetentionPeriod", 0)) for each in (inbox, dead_letters))
    if theirs >= mine:
        return []
    return [f"it keeps messages for {theirs} s, the inbox for {mine} s: those moved may be lost; set {mine} or more"]
