"""What AWS says of machines: in which shape, and when it comes. Late, twice, out of order, never, or after the fact."""

import json
from functools import cache
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from shared.clock import rfc3339
from worker.requests.events import Ending

if TYPE_CHECKING:
    from tests.simulation.world import World

FOLDER = Path(__file__).parents[1] / "payloads" / "events"
NEVER, TWICE, WRAPPED, BARE = 0.12, 0.15, 0.15, 0.3
"""How much of it is lost, comes twice, lies in an SNS envelope, and is sent by the hook itself."""
LATE, LATER = 0.25, 0.08
LATE_SECONDS, LATER_SECONDS = 20.0, 150.0


@cache
def _payload(name: str) -> str:
    return (FOLDER / f"{name}.json").read_text()


class Announcements:
    """The words of AWS in one world."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._numbers = 0
        self.on_their_way = 0
        """Words that are in no queue yet."""
        self.heard: dict[str, float] = {}
        """Instances, and when the first word of their departure lay in the queue."""

    def interruption(self, instance: str) -> None:
        """A spot instance is reclaimed in two minutes."""
        self._send(self._event("spot_interruption", instance), departs=instance)

    def recommendation(self, instance: str) -> None:
        """A spot instance is in danger."""
        self._send(self._event("rebalance", instance))

    def state(self, instance: str, state: Ending) -> None:
        """An instance's state has changed."""
        body = self._event("state_change", instance)
        self._send({**body, "detail": {**body["detail"], "state": state}})

    def planned(self, instance: str) -> None:
        """The hardware of an instance is retired in some days."""
        self._numbers += 1
        body = self._event("health_retirement", instance)
        entity = {"entityValue": f"arn:aws:ec2:us-east-1:123456789012:instance/{instance}", "status": "PENDING"}
        name = {"communicationId": f"planned-{self._numbers}"}
        self._send({**body, "detail": {**body["detail"], **name, "affectedEntities": [entity]}})

    def held(self, event: dict[str, Any]) -> None:
        """A lifecycle hook holds an instance: by way of EventBridge, or by the hook itself."""
        detail, leaves = event["detail"], "TERMINATING" in event["detail"]["LifecycleTransition"]
        bare = self._luck().random() < BARE
        named = {
            **event,
            "id": detail["LifecycleActionToken"],
            "time": self._now,
        }  # a history depends on its seed alone
        body = {**detail, "Service": "AWS Auto Scaling", "Time": self._now} if bare else named
        ours = detail["LifecycleHookName"] in self._world.settings.hooks()
        self._send(body, departs=detail["EC2InstanceId"] if leaves and ours else None)

    def hook_made(self) -> None:
        """Making a hook sends a message."""
        self._send(json.loads(_payload("test_notification")))

    def of_no_concern(self) -> None:
        """A kind of event that nobody here knows."""
        self._send({**self._event("state_change", "i-0123456789abcdef0"), "detail-type": "EC2 Fast Launch Changed"})

    # --- Its way ------------------------------------------------------------------------------------------------

    @property
    def _now(self) -> str:
        return rfc3339(self._world.clock.now())

    def _event(self, name: str, instance: str) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(_payload(name))
        named = {"instance-id": instance} if "instance-id" in body["detail"] else {}
        return {**body, "time": self._now, "detail": {**body["detail"], **named}}

    def _luck(self) -> Random:
        """Of the next word."""
        return self._world.random(f"word-{self._numbers}")

    def _send(self, body: dict[str, Any], *, departs: str | None = None) -> None:
        luck = self._luck()
        luck.random()  # its shape
        self._numbers += 1
        name = f"word-{self._numbers}"
        if luck.random() < NEVER:
            self._world.trace.counts["event: never comes"] += 1
            return
        wrapped = luck.random() < WRAPPED
        text = json.dumps({"Type": "Notification", "MessageId": name, "Message": json.dumps(body)} if wrapped else body)
        twice = luck.random() < TWICE
        self._world.trace.counts["event: comes twice"] += twice
        for _ in range(1 + twice):
            self.on_their_way += 1
            self._world.loop.call_later(self._delay(luck), self._arrive, name, text, departs)

    def _delay(self, luck: Random) -> float:
        draw = luck.random()
        late = draw < LATE
        self._world.trace.counts["event: late"] += late
        return luck.random() * (LATER_SECONDS if draw < LATER else LATE_SECONDS if late else 1.0)

    def _arrive(self, name: str, text: str, departs: str | None) -> None:
        self.on_their_way -= 1
        if departs is not None:
            self.heard.setdefault(departs, self._world.clockwork.now)
        self._world.trace.add("aws", "@ event", id=name, body=text)
        self._world.queue.send(text, name)
