"""How a group's instances go: held by terminate hooks, shut down, gone.

Whom a scale-in takes is `placement`'s choice, how many `convergence`'s. Both results of a hook lead on: AWS only tells
with them whether the other hooks are waited for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from infra.local.scaling.activities import Activity
from infra.local.scaling.lifecycle import Outcome
from infra.local.scaling.messages import TERMINATING

if TYPE_CHECKING:
    from infra.local.aws.group import Group


class Terminations:
    """Of one group."""

    def __init__(self, group: Group) -> None:
        self._group = group

    def take_out(self, state: Any, cause: str) -> Activity:
        """Terminate, through the hooks; asked again for an instance that is going, it is only said again."""
        group = self._group
        activity = self._told(state, cause)
        if state.lifecycle_state.startswith("Terminating"):
            if state.lifecycle_state == "Terminating:Wait":
                activity.wait()
            return activity
        group.lifecycle.drop(state.instance_id)
        hooks = group.hooks.of(TERMINATING)
        if hooks:
            state.lifecycle_state = "Terminating:Wait"
            activity.wait()
            group.lifecycle.hold(state.instance_id, hooks, lambda how: self._waited(state, how))
        else:
            state.lifecycle_state = "Terminating"
            self._shut_down(state)
        return activity

    def take_out_at_once(self, state: Any, cause: str) -> None:
        """No hook holds it, nor the one that does: the group is being deleted."""
        group = self._group
        group.lifecycle.drop(state.instance_id)
        if state.lifecycle_state in ("Terminating", "Terminating:Proceed"):
            return
        self._told(state, cause)
        state.lifecycle_state = "Terminating"
        self._shut_down(state)

    def _told(self, state: Any, cause: str) -> Activity:
        details = {"Subnet ID": state.instance.subnet_id or "", "Availability Zone": state.availability_zone}
        return self._group.history.terminating(state.instance_id, cause, details)

    def _waited(self, state: Any, _how: Outcome) -> None:
        group = self._group
        state.lifecycle_state = "Terminating:Proceed"
        group.later("proceed_seconds", lambda: self._shut_down(state))
        group.changed()

    def _shut_down(self, state: Any) -> None:
        self._group.ec2_backend.terminate_instances([state.instance_id])
        self._group.later("terminating_seconds", lambda: self._gone(state))

    def _gone(self, state: Any) -> None:
        group = self._group
        group.history.gone(state.instance_id)
        group.instance_states = [other for other in group.instance_states if other is not state]
        group.changed()
