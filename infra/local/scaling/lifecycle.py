"""Lifecycle actions: instances of one group that wait in `Pending:Wait` or `Terminating:Wait` for whoever was told.

Holds them, tells of them, and ends their wait: by CompleteLifecycleAction, or by the hook's default result when its
heartbeat time-out runs out (each heartbeat begins it anew) or the whole wait becomes too long. What happens to the
instance then is left to who had it held.
https://docs.aws.amazon.com/autoscaling/ec2/userguide/lifecycle-hooks-overview.html
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from infra.local.scaling import messages
from infra.local.scaling.hooks import RESULTS, Hook
from infra.local.scaling.refusals import Refusal

TIMED_OUT: Final = "Heartbeat Timeout"
ABANDONED: Final = "Lifecycle Action Completed with ABANDON Result"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a wait has ended. `token` and `reason` say which action abandoned it, and why."""

    abandoned: bool
    token: str = ""
    reason: str = ""


Then = Callable[[Outcome], None]


class Timers(Protocol):
    """The time that a group goes by, in seconds from some moment on."""

    def now(self) -> float:
        """The present moment."""

    def after(self, seconds: float, action: Callable[[], None]) -> object:
        """Carry out `action` in `seconds`."""


@dataclass(slots=True, eq=False)
class Action:
    """One instance that waits for one hook. Moments by the world's timers."""

    hook: Hook
    instance_id: str
    token: str
    deadline: float
    last: float
    then: Then

    def detail(self, group: str) -> dict[str, Any]:
        """As AWS tells it."""
        hook = self.hook
        return messages.lifecycle_detail(self.token, group, hook.name, self.instance_id, hook.transition, hook.metadata)


def _new_token() -> str:
    return str(uuid.uuid4())


class Lifecycle:
    """The open actions of one group. `tell`: whoever is to complete one is told of it."""

    def __init__(self, timers: Timers, tell: Callable[[Action], None], token: Callable[[], str] = _new_token) -> None:
        self._timers = timers
        self._tell = tell
        self._token = token
        self._open: list[Action] = []

    def hold(self, instance_id: str, hooks: Sequence[Hook], then: Then) -> bool:
        """Have the instance wait for these hooks, then call `then`. False where there are none: nothing waits."""
        now = self._timers.now()
        actions = [
            Action(
                hook=hook,
                instance_id=instance_id,
                token=self._token(),
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
        """RecordLifecycleActionHeartbeat: the time-out begins anew. Raises Refusal where nothing waits so."""
        action = self._found(hook, token, instance_id)
        action.deadline = min(self._timers.now() + action.hook.heartbeat_timeout, action.last)

    def complete(self, hook: str, token: str | None, instance_id: str | None, result: str) -> None:
        """CompleteLifecycleAction. Raises Refusal where nothing waits so."""
        if result not in RESULTS:
            raise Refusal(f"LifecycleActionResult must be CONTINUE or ABANDON, not {result}.")
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
        raise Refusal(f"No active Lifecycle Action found with {what}")

    def _end(self, action: Action, result: str, reason: str) -> None:
        """A result of CONTINUE leaves the other hooks their time; ABANDON ends all of them."""
        self._open.remove(action)
        if result == "ABANDON":
            self.drop(action.instance_id)
            action.then(Outcome(abandoned=True, token=action.token, reason=reason))
        elif not self.of(action.instance_id):
            action.then(Outcome(abandoned=False))

    def _watch(self, action: Action) -> None:
        self._timers.after(action.deadline - self._timers.now(), lambda: self._timed_out(action))

    def _timed_out(self, action: Action) -> None:
        if action not in self._open:
            return
        if self._timers.now() < action.deadline:
            self._watch(action)
        else:
            self._end(action, action.hook.default_result, TIMED_OUT)
