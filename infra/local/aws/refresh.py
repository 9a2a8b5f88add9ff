"""Instance refreshes of one group: its members are replaced, a few at a time.

The preferences MinHealthyPercentage, MaxHealthyPercentage and ScaleInProtectedInstances count; there is no warm-up, no
checkpoint and no rollback. A protected group whose refresh is to `Wait` for its instances waits an hour, then fails.
https://docs.aws.amazon.com/autoscaling/ec2/userguide/instance-refresh-overview.html
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from moto.autoscaling.exceptions import AutoscalingClientError, ValidationError

from infra.local.scaling.activities import at, now

if TYPE_CHECKING:
    from infra.local.aws.group import Group

PROTECTED: Final = ("Wait", "Ignore", "Refresh")
WAIT_SECONDS: Final = 3600.0
_HEALTHY: Final = 90


@dataclass(slots=True, eq=False)
class Refresh:
    """One refresh. `old` are the members when it began, `left` those that are still to be replaced."""

    group: str
    old: tuple[str, ...]
    low: int
    high: int
    protected: str
    refresh_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    status: str = "InProgress"
    reason: str | None = None
    start: datetime = field(default_factory=now)
    end: datetime | None = None
    left: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.left = list(self.old)

    @property
    def batch(self) -> int:
        """How many may be away at once; always one, else nothing would ever be replaced."""
        return max(1, len(self.old) * (100 - self.low) // 100)

    def finish(self, status: str, reason: str | None = None) -> None:
        """It has ended so."""
        self.status, self.reason, self.end = status, reason, now()

    def as_aws(self) -> dict[str, Any]:
        """The InstanceRefresh shape of the API."""
        done = len(self.old) - len(self.left)
        shape = {
            "InstanceRefreshId": self.refresh_id,
            "AutoScalingGroupName": self.group,
            "Status": self.status,
            "StatusReason": self.reason,
            "StartTime": self.start,
            "EndTime": self.end,
            "PercentageComplete": 100 * done // len(self.old) if self.old else 100,
            "InstancesToUpdate": len(self.left),
            "Preferences": {
                "MinHealthyPercentage": self.low,
                "MaxHealthyPercentage": self.high,
                "ScaleInProtectedInstances": self.protected,
            },
        }
        return {name: value for name, value in shape.items() if value is not None}


class Refreshes:
    """The refreshes of one group, the newest first."""

    def __init__(self, group: Group) -> None:
        self._group = group
        self._known: list[Refresh] = []
        self._looking = False

    def all(self) -> list[dict[str, Any]]:
        """Every one that was started."""
        return [one.as_aws() for one in self._known]

    def start(self, preferences: dict[str, Any]) -> str:
        """Begin one; its id. Raises InstanceRefreshInProgress while another runs, ValidationError."""
        if self._active():
            raise AutoscalingClientError(
                "InstanceRefreshInProgress",
                "An Instance Refresh is already in progress and blocks the execution of this Instance Refresh.",
            )
        refresh = _asked(self._group.name, [one.instance_id for one in self._group.living()], preferences)
        self._known.insert(0, refresh)
        if refresh.protected == "Wait":
            self._group.world.timers.after(WAIT_SECONDS, lambda: self._waited_enough(refresh))
        self.look_soon()
        return refresh.refresh_id

    def cancel(self) -> str:
        """End the one that runs. Raises ActiveInstanceRefreshNotFound where none does."""
        active = self._active()
        if active is None:
            raise AutoscalingClientError(
                "ActiveInstanceRefreshNotFound",
                f"No in progress or pending Instance Refresh found for Auto Scaling group {self._group.name}",
            )
        active.finish("Cancelled")
        return active.refresh_id

    def look_soon(self) -> None:
        """Something has changed in the group: the refresh that runs may go on."""
        if self._active() and not self._looking:
            self._looking = True
            self._group.world.timers.after(0.0, self._look)

    def _look(self) -> None:
        self._looking = False
        refresh = self._active()
        if refresh is None:
            return
        group = self._group
        there = {state.instance_id: state for state in group.living()}
        serving = sum(state.lifecycle_state == "InService" for state in there.values())
        under_way = max(0, group.desired_capacity - serving) + group.replacements.surplus()
        refresh.left = [one for one in refresh.left if one in there]
        ready = [one for one in refresh.left if self._may_go(refresh, there[one])]
        for instance_id in ready[: max(0, refresh.batch - under_way)]:
            self._replace(refresh, instance_id)
        skipped = [one for one in refresh.left if one not in ready]
        if not under_way and not ready and (not skipped or refresh.protected == "Ignore"):
            refresh.finish("Successful")

    def _may_go(self, refresh: Refresh, state: Any) -> bool:
        if self._group.replacements.replacing(state.instance_id):
            return False
        return refresh.protected == "Refresh" or not state.protected_from_scale_in

    def _replace(self, refresh: Refresh, instance_id: str) -> None:
        group = self._group
        cause = f"instance {instance_id} was taken out of service in response to an instance refresh."
        if refresh.high > 100:
            group.replacements.begin(instance_id, "an instance was started in response to an instance refresh.", cause)
        else:
            group.take_out(instance_id, f"{at()} {cause}")
        group.converge()

    def _waited_enough(self, refresh: Refresh) -> None:
        """The hour is over: what is still protected was waited for in vain."""
        if refresh.status == "InProgress" and any(
            state.protected_from_scale_in for state in self._group.living() if state.instance_id in refresh.left
        ):
            refresh.finish("Failed", "Timed out waiting for instances that are protected from scale in.")

    def _active(self) -> Refresh | None:
        return next((one for one in self._known if one.status == "InProgress"), None)


def _asked(group: str, members: list[str], preferences: dict[str, Any]) -> Refresh:
    low = int(preferences.get("MinHealthyPercentage", _HEALTHY))
    high = int(preferences.get("MaxHealthyPercentage", 100))
    protected = preferences.get("ScaleInProtectedInstances", "Wait")
    if not 0 <= low <= 100 <= high <= 200 or high - low > 100:
        raise ValidationError(
            "MinHealthyPercentage must be 0 to 100, MaxHealthyPercentage 100 to 200, at most 100 apart."
        )
    if protected not in PROTECTED:
        raise ValidationError(f"ScaleInProtectedInstances must be one of {', '.join(PROTECTED)}, not {protected}.")
    return Refresh(group, tuple(members), low, high, protected)
