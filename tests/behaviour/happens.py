"""What AWS sends by itself: the shapes of `tests/payloads/events`, about an instance of a scenario."""

import json
from pathlib import Path
from typing import Any

from shared.clock import rfc3339
from tests.behaviour.scenario import Scenario

FOLDER = Path(__file__).parents[1] / "payloads" / "events"


def payload(name: str) -> dict[str, Any]:
    """A file."""
    value: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return value


def event(name: str, s: Scenario, instance: str = "", *, time: str | None = None, **detail: Any) -> dict[str, Any]:
    """An event of EventBridge, sent now about an instance, with some of its detail changed."""
    body = payload(name)
    body["time"] = time or rfc3339(s.clock.now())
    own = {key: instance for key in ("instance-id", "EC2InstanceId") if instance and key in body["detail"]}
    body["detail"] = {**body["detail"], **own, **detail}
    return body


def notified(body: object) -> dict[str, Any]:
    """The same in an SNS envelope."""
    return {"Type": "Notification", "MessageId": "sns-1", "Message": json.dumps(body)}


def send(s: Scenario, *bodies: object) -> None:
    """Into the queue."""
    for body in bodies:
        s.inbox.send(json.dumps(body))


async def taken(s: Scenario, *bodies: object) -> list[str]:
    """The ids of the records that they become."""
    before = set(s.journal.records)
    send(s, *bodies)
    await s.until(lambda: not s.inbox.waiting)
    return [identity for identity in s.journal.records if identity not in before]


def counted(s: Scenario, kind: str, outcome: str) -> float:
    """How many events of a kind came to that."""
    labels = {"event": kind, "outcome": outcome}
    return sum(each.metrics.registry.get_sample_value("scaler_events_total", labels) or 0 for each in s.processes)


async def launched(s: Scenario, *, joins: bool = True) -> str:
    """AWS launches one more worker, which is no node yet, or never will be; its id."""
    s.launcher.never_joins = 0 if joins else 1
    group = s.groups.groups["workers"]
    group.desired += 1
    s.groups.follow("workers")
    await s.passes(2)
    (instance,) = set(group.instances) - set(s.launcher.nodes)
    return instance
