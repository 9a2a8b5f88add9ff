"""Lifecycle actions: instances of one group that wait in `Pending:Wait` or `Terminating:Wait` for whoever was told.

Holds them, tells of them, and ends their wait: by CompleteLifecycleAction, or by the hook's default result when its
heartbeat time-out runs out (each heartbeat begins it anew) or the whole wait becomes too long. What happens to the
instance then is left to who had it held.
https://docs.aws.amazon.com/autoscaling/ec2/userguide/lifecycle-hooks-overview.html
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from moto.autoscaling.exceptions import ValidationError
from moto.sns.models import sns_backends

from infra.local.aws import messages
from infra.local.aws.eventbridge import emit, send
from infra.local.aws.hooks import RESULTS, Hook
from infra.local.aws.messages import Place
from infra.local.aws.world import REGION, World

TIMED_OUT: Final = "Heartbeat Timeout"
ABANDONED: Final = "Lifecycle Action Completed with ABANDON Result"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a wait has ended. `token` and `reason` say which action abandoned it, and why."""

    abandoned: bool
    token: str = ""
    reason: str = ""


Then = Callable[[Outcome], None]


@dataclass(slots=True, eq=False)
class Action:
    """One instance that waits for one hook. Moments by the world's timers."""

    hook: Hook
    instance_id: str
    token: str
    deadline: float
    last: float
    then: Then


class Lifecycle:
    """The open actions of one group. Everything under the world's lock."""

    def __init__(self, world: World, group: str) -> None:
        self._world = world
        self._group = group
        self._open: list[Action] = []
        self.group_arn = ""

    def put(self, hook: Hook) -> None:
        """A hook was put: its target hears of it once."""
        if hook.target_arn:
            self._notify(hook.target_arn, messages.test_notification(self._place, self._group, self.group_arn))

    def hold(self, instance_id: str, hooks: Sequence[Hook], then: Then) -> bool:
        """Have the instance wait for these hooks, then call `then`. False where there are none: nothing waits."""
        now = self._world.timers.now()
        actions = [
            Action(
                hook=hook,
                instance_id=instance_id,
                token=str(uuid.uuid4()),
                deadline=now + hook.heartbeat_timeout,
                last=now + hook.global_timeout,
                then=then,
            )
            for hook in hooks
        ]
        self._open += actions
        for action in actions:
            self._tell(action)
            self._watch(action)
        return bool(actions)

    def heartbeat(self, hook: str, token: str | None, instance_id: str | None) -> None:
        """RecordLifecycleActionHeartbeat: the time-out begins anew. Raises ValidationError where nothing waits so."""
        action = self._found(hook, token, instance_id)
        action.deadline = min(self._world.timers.now() + action.hook.heartbeat_timeout, action.last)

    def complete(self, hook: str, token: str | None, instance_id: str | None, result: str) -> None:
        """CompleteLifecycleAction. Raises ValidationError where nothing waits so."""
        if result not in RESULTS:
            raise ValidationError(f"LifecycleActionResult must be CONTINUE or ABANDON, not {result}.")
        self._end(self._found(hook, token, instance_id), result, ABANDONED)

    def deleted(self, hook: Hook) -> None:
        """DeleteLifecycleHook ends what waits for it: ABANDON for launches, CONTINUE for terminations."""
        result = "ABANDON" if hook.transition == messages.LAUNCHING else "CONTINUE"
        for action in [one for one in self._open if one.hook.name == hook.name]:
            self._end(action, result, ABANDONED)

    def drop(self, instance_id: str) -> None:
        """Nobody waits for this instance any more, and nothing is called: it has gone another way."""
        self._open = [action for action in self._open if action.instance_id != instance_id]

    def of(self, instance_id: str) -> list[Action]:
        """The actions that an instance waits for."""
        return [action for action in self._open if action.instance_id == instance_id]

    def _found(self, hook: str, token: str | None, instance_id: str | None) -> Action:
        for action in self._open:
            if action.hook.name == hook and (action.token == token if token else action.instance_id == instance_id):
                return action
        what = f"token {token}" if token else f"instance ID {instance_id}"
        raise ValidationError(f"No active Lifecycle Action found with {what}")

    def _end(self, action: Action, result: str, reason: str) -> None:
        """A result of CONTINUE leaves the other hooks their time; ABANDON ends all of them."""
        self._open.remove(action)
        if result == "ABANDON":
            self.drop(action.instance_id)
            action.then(Outcome(abandoned=True, token=action.token, reason=reason))
        elif not self.of(action.instance_id):
            action.then(Outcome(abandoned=False))

    def _watch(self, action: Action) -> None:
        timers = self._world.timers
        timers.after(action.deadline - timers.now(), lambda: self._timed_out(action))

    def _timed_out(self, action: Action) -> None:
        if action not in self._open:
            return
        if self._world.timers.now() < action.deadline:
            self._watch(action)
        else:
            self._end(action, action.hook.default_result, TIMED_OUT)

    def _tell(self, action: Action) -> None:
        hook = action.hook
        detail = messages.lifecycle_detail(
            action.token, self._group, hook.name, action.instance_id, hook.transition, hook.metadata
        )
        if hook.target_arn:
            self._notify(hook.target_arn, messages.hook_message(self._place, detail))
        emit(self._world, messages.lifecycle_event(self._place, self.group_arn, detail))

    def _notify(self, target_arn: str, document: dict[str, Any]) -> None:
        """A queue, or a topic."""
        service, name = target_arn.split(":")[2], target_arn.rpartition(":")[2]
        if service == "sqs":
            send(self._world, name, document)
        elif service == "sns":
            subject = f'Auto Scaling: Lifecycle action for group "{self._group}"'
            sns_backends[self._world.account_id][REGION].publish(json.dumps(document), arn=target_arn, subject=subject)
            self._world.ring_all()

    @property
    def _place(self) -> Place:
        return Place(self._world.account_id, REGION)
