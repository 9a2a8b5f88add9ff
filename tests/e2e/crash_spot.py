"""More rows of the crash matrix: spot takes a machine, after a notice by the queue; it dies when the test says so."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from infra.local.fault import send
from shared.clock import rfc3339
from tests.e2e.crash_act import Act, Before, End
from tests.e2e.crash_events import WAIT_SECONDS, Joining, Leaving
from tests.e2e.crash_setup import CrashSetup, wall

SPOT: Final = Path(__file__).parents[1] / "payloads" / "events" / "spot_interruption.json"
NOTICE: Final = timedelta(minutes=2)
"""From a spot interruption warning to the end of the machine, as AWS says."""


def notice(setup: CrashSetup, instance: str, said_at: datetime) -> str:
    """A spot interruption warning comes by the queue; the id of the record about it."""
    body: dict[str, Any] = json.loads(SPOT.read_text())
    body |= {"time": rfc3339(said_at), "detail": {**body["detail"], "instance-id": instance}}
    setup.env.send(body, setup.variables["SQS_QUEUE_URL"])
    return f"spot-{instance}-{body['time']}"


class SpotLeaving(Leaving):
    """Spot takes it, and nothing holds it."""

    def post(self, setup: CrashSetup) -> str:
        """Its notice comes by the queue; the machine dies later."""
        return notice(setup, self._instance, wall())

    def check(self, setup: CrashSetup, before: Before, request: str) -> None:
        """Its node is empty before the machine dies."""
        setup.caller.at_step(request, "remove")
        send(
            setup.env.variables["CONTROL_URL"], "POST", f"/instances/{self._instance}/interrupt", {"notice_seconds": 0}
        )
        super().check(setup, before, request)


class SpotNotJoined(Joining):
    """Spot takes a machine that is no node yet, and does not become one in the time that is left."""

    def prepare(self, setup: CrashSetup) -> Before:
        """It never becomes one."""
        before = super().prepare(setup)
        setup.env.fault("boot", never_join_next=1)
        return before

    def post(self, setup: CrashSetup) -> str:
        """Its notice is as old as all but the last seconds of the two minutes."""
        self._raise(setup)
        return notice(setup, self._instance, wall() - NOTICE + timedelta(seconds=WAIT_SECONDS))

    def end(self, setup: CrashSetup, before: Before) -> End:
        """Nothing ran there."""
        return End(
            "succeeded", ("wait",), f"{self._instance} is no node of the Swarm: nothing runs there to be moved", (), {}
        )

    def check(self, setup: CrashSetup, before: Before, request: str) -> None:
        """Somebody takes it away."""
        Act.check(self, setup, before, request)
        setup.env.client("autoscaling").terminate_instance_in_auto_scaling_group(
            InstanceId=self._instance, ShouldDecrementDesiredCapacity=True
        )
        self._whole(setup, before.number)
