"""Lifecycle hooks of Auto Scaling: which there are, and letting an instance that one holds go on.

https://docs.aws.amazon.com/autoscaling/ec2/userguide/lifecycle-hooks.html
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Literal

from shared.aws import calling
from shared.errors import NotFound, Refused
from worker.ports.hooks import Hold, LifecycleHook, Release

_TRANSITIONS: Mapping[str, Literal["launch", "termination"]] = {
    "autoscaling:EC2_INSTANCE_LAUNCHING": "launch",
    "autoscaling:EC2_INSTANCE_TERMINATING": "termination",
}
_OVER = "No active Lifecycle Action found"
"""What AWS says of a hold that was completed, or whose time is over."""


class LifecycleHooks:
    """The part of the Groups and GroupChanges ports that is about them."""

    def __init__(self, autoscaling_client: Any, call_timeout: timedelta) -> None:
        self._autoscaling = autoscaling_client
        self._call_timeout = call_timeout

    async def lifecycle_hooks(self, name: str) -> Sequence[LifecycleHook]:
        """The lifecycle hooks of a group."""
        async with calling("DescribeLifecycleHooks", self._call_timeout):
            answer = await self._autoscaling.describe_lifecycle_hooks(AutoScalingGroupName=name)
        return tuple(
            LifecycleHook(
                each["LifecycleHookName"],
                transition,
                timedelta(seconds=each.get("HeartbeatTimeout", 3600)),
                each.get("DefaultResult", "ABANDON"),
            )
            for each in answer["LifecycleHooks"]
            if (transition := _TRANSITIONS.get(each["LifecycleTransition"])) is not None
        )

    async def complete(self, hold: Hold, release: Release) -> None:
        """Let a held instance go on. Raises NotFound where AWS knows of no such hold."""
        async with _over_is_not_found(), calling("CompleteLifecycleAction", self._call_timeout):
            await self._autoscaling.complete_lifecycle_action(**_named(hold), LifecycleActionResult=release)

    async def heartbeat(self, hold: Hold) -> None:
        """Begin a hook's time anew. Raises NotFound where AWS knows of no such hold."""
        async with _over_is_not_found(), calling("RecordLifecycleActionHeartbeat", self._call_timeout):
            await self._autoscaling.record_lifecycle_action_heartbeat(**_named(hold))


def _named(hold: Hold) -> dict[str, str]:
    token = {} if hold.token is None else {"LifecycleActionToken": hold.token}
    return {
        "AutoScalingGroupName": hold.group,
        "LifecycleHookName": hold.hook,
        "InstanceId": hold.instance_id,
        **token,
    }


@asynccontextmanager
async def _over_is_not_found() -> AsyncIterator[None]:
    try:
        yield
    except NotFound:
        raise
    except Refused as error:
        if _OVER in str(error):
            raise NotFound(str(error)) from error
        raise
