"""Instance refreshes of one group: started, shown in progress, cancelled. They replace nothing."""

from __future__ import annotations

import uuid
from typing import Any

from moto.autoscaling.exceptions import AutoscalingClientError

from infra.local.aws.activities import now


class Refreshes:
    """The refreshes of one group, the newest first."""

    def __init__(self, group: str) -> None:
        self._group = group
        self._known: list[dict[str, Any]] = []

    def all(self) -> list[dict[str, Any]]:
        """Every one that was started."""
        return list(self._known)

    def start(self) -> str:
        """Begin one; its id. Raises InstanceRefreshInProgress while another runs."""
        if self._active():
            raise AutoscalingClientError(
                "InstanceRefreshInProgress",
                "An Instance Refresh is already in progress and blocks the execution of this Instance Refresh.",
            )
        refresh = {
            "InstanceRefreshId": str(uuid.uuid4()),
            "AutoScalingGroupName": self._group,
            "Status": "InProgress",
            "StartTime": now(),
            "PercentageComplete": 0,
            "InstancesToUpdate": 1,
        }
        self._known.insert(0, refresh)
        return str(refresh["InstanceRefreshId"])

    def cancel(self) -> str:
        """End the one that runs. Raises ActiveInstanceRefreshNotFound where none does."""
        active = self._active()
        if active is None:
            raise AutoscalingClientError(
                "ActiveInstanceRefreshNotFound",
                f"No in progress or pending Instance Refresh found for Auto Scaling group {self._group}",
            )
        active |= {"Status": "Cancelled", "EndTime": now()}
        return str(active["InstanceRefreshId"])

    def _active(self) -> dict[str, Any] | None:
        return next((one for one in self._known if one["Status"] == "InProgress"), None)
