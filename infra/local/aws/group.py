"""One Auto Scaling group that behaves in time: it launches, waits, retries, replaces and terminates.

Everything here runs under the world's lock, from a request or from a timer. moto's group keeps the settings and the
launch template; how many instances there are to be is decided here. How that is met is left to `convergence`,
how they come and go to `launches`, `terminations` and `replacements`, who waits in between to `lifecycle`; `activities`
and `causes` have the words.
"""

from __future__ import annotations

import copy
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from moto.autoscaling.models import FakeAutoScalingGroup

from infra.local.aws.launches import PENDING, Launches
from infra.local.aws.lifecycle_targets import LifecycleTargets
from infra.local.aws.refresh import Refreshes
from infra.local.aws.refusals import as_moto_refuses
from infra.local.aws.replacements import Replacements
from infra.local.aws.terminations import Terminations
from infra.local.aws.world import World
from infra.local.scaling import causes, placement, refusals
from infra.local.scaling.activities import Activity, History, at
from infra.local.scaling.convergence import Convergence
from infra.local.scaling.hooks import Hooks
from infra.local.scaling.lifecycle import Lifecycle

REMEMBERED_STATES: Final = 2000


class Group(FakeAutoScalingGroup):  # type: ignore[misc] # moto has no types
    """moto's group, with a life of its own."""

    instance_states: list[Any]

    def __init__(self, name: str, autoscaling_backend: Any, **settings: Any) -> None:
        self.world: World = autoscaling_backend.world
        self.hooks = Hooks(name)
        self.targets = LifecycleTargets(self.world, name)
        self.lifecycle = Lifecycle(self.world.timers, self.targets.tell)
        self.convergence = Convergence(self, partial(self.later, "launch_retry_seconds"))
        self.launches = Launches(self)
        self.terminations = Terminations(self)
        self.replacements = Replacements(self)
        self.refreshes = Refreshes(self)
        self.history = History(name, "")
        self.why = ""
        self._past: deque[tuple[float, Group]] = deque(maxlen=REMEMBERED_STATES)
        self._states: dict[str, Any] = {}
        self._deleted = False
        with as_moto_refuses():
            refusals.check_bounds(settings["min_size"], settings["max_size"], settings["desired_capacity"])
        super().__init__(name=name, autoscaling_backend=autoscaling_backend, **settings)

    # What moto calls

    def set_desired_capacity(self, new_capacity: int | None) -> None:
        """Any change of the desired number, and every occasion to look whether it is met."""
        self.history.group_arn = self.targets.group_arn = self.arn
        wanted = self.min_size if new_capacity is None else new_capacity
        self.desired_capacity = wanted
        self.converge()

    def update(self, *args: Any, **settings: Any) -> None:
        """UpdateAutoScalingGroup: bounds are checked together, desired follows them where it is not given."""
        low = _first(settings.get("min_size"), self.min_size)
        high = _first(settings.get("max_size"), self.max_size)
        wanted = settings.get("desired_capacity")
        with as_moto_refuses():
            refusals.check_bounds(low, high, wanted)
        if wanted is None:
            wanted = min(max(self.desired_capacity, low), high)
        before = self.desired_capacity
        self.why = causes.asked_to_update(low, high, before, wanted)
        super().update(*args, **settings | {"desired_capacity": wanted})

    # What the API asks for

    def resize(self, wanted: int) -> None:
        """SetDesiredCapacity. Raises Refusal outside MinSize and MaxSize."""
        refusals.check_desired(wanted, self.min_size, self.max_size)
        self.why = causes.asked_to_resize(self.desired_capacity, wanted)
        self.convergence.encourage()
        self.set_desired_capacity(wanted)

    def terminate(self, instance_id: str, decrement: bool) -> Activity:
        """TerminateInstanceInAutoScalingGroup: protection does not hinder it.

        On an instance that is already going, AWS lowers the number once more, and so does this.
        """
        at_least = self.min_size if decrement and self.desired_capacity <= self.min_size else None
        refusals.check_termination(self.name, suspended=self.suspended("Terminate"), at_least=at_least)
        before = self.desired_capacity
        if decrement:
            self.desired_capacity -= 1
        cause = causes.named(self.history.now(), instance_id, before if decrement else None)
        activity = self.take_out(instance_id, cause)
        self.converge()
        return activity

    def protect(self, instance_ids: list[str], protected: bool) -> None:
        """SetInstanceProtection."""
        states = [self.member(instance_id) for instance_id in instance_ids]
        for state in states:
            if state.lifecycle_state not in ("InService", "EnteringStandby", "Standby"):
                raise refusals.Refusal(
                    f"The instance {state.instance_id} is not in InService or EnteringStandby or Standby."
                )
        for state in states:
            state.protected_from_scale_in = protected
        self.converge()

    def put_hook(self, name: str, **settings: Any) -> None:
        """PutLifecycleHook: holds whom it concerns from now on; who is on the way already is not held."""
        self.targets.put(self.hooks.put(name, **settings))

    def delete_hook(self, name: str) -> None:
        """DeleteLifecycleHook: nobody waits for it any more."""
        self.lifecycle.deleted(self.hooks.delete(name))

    def delete(self, force: bool) -> None:
        """Every instance goes, protected or not, whoever waits for it."""
        if self.instance_states and not force:
            raise refusals.in_use()
        self._deleted = True
        for state in list(self.instance_states):
            cause = f"{at()} instance {state.instance_id} was taken out of service."
            self.terminations.take_out_at_once(state, cause)

    # What time and EC2 do to it

    def converge(self) -> None:
        """Launch what is missing, take out what is too much."""
        if not self._deleted:
            self.convergence.converge()
        self.changed()

    def launch(self, cause: str) -> bool:
        """One instance more. False where EC2 refuses it."""
        return self.launches.one(cause) is not None

    def take_out(self, instance_id: str, cause: str) -> Activity:
        """Terminate one."""
        return self.terminations.take_out(self.member(instance_id), cause)

    def lost(self, instance_ids: list[str]) -> None:
        """EC2 has terminated or stopped instances behind the group's back; it notices a little later."""
        states = [state for state in self.instance_states if state.instance_id in instance_ids]
        for state in states:
            self.later("health_check_seconds", partial(self._mark_unhealthy, state))

    def check_health(self) -> None:
        """Replace what is unhealthy, unless that is suspended."""
        if self.suspended("ReplaceUnhealthy", "HealthCheck", "Terminate"):
            return
        for state in self.living():
            if state.health_status == "Unhealthy":
                ended = state.instance.state in ("shutting-down", "terminated", "stopped")
                self.terminations.take_out(state, causes.unhealthy(self.history.now(), ended))
        self.converge()

    def changed(self) -> None:
        """Remember how the group looks now."""
        frozen = copy.copy(self)
        frozen.instance_states = [self._frozen(state) for state in self.instance_states]
        self._past.append((time.monotonic(), frozen))
        self.refreshes.look_soon()

    # What others need to know of it

    def member(self, instance_id: str) -> Any:
        """The state of one instance. Raises Refusal where the group has none such."""
        for state in self.instance_states:
            if state.instance_id == instance_id:
                return state
        raise refusals.no_such_instance(instance_id)

    def living(self) -> list[Any]:
        """The states of those that are not on their way out."""
        return [state for state in self.instance_states if state.lifecycle_state in ("InService", *PENDING)]

    def members(self) -> list[placement.Member]:
        """The same, as the policies see them."""
        return [
            placement.Member(
                state.instance_id,
                state.availability_zone,
                state.instance.launch_time,
                bool(state.protected_from_scale_in),
            )
            for state in self.living()
        ]

    def as_of(self, moment: float | None) -> Group | None:
        """How it looked then (as `time.monotonic()`); None where it did not exist yet."""
        if moment is None:
            return self
        return next((frozen for since, frozen in reversed(self._past) if since <= moment), None)

    def missing(self) -> int:
        """How many instances there are too few; below zero: too many."""
        return (self.desired_capacity or 0) + self.replacements.surplus() - len(self.living())

    def suspended(self, *processes: str) -> bool:
        """Whether one of these is."""
        return any(process in self._suspended_processes for process in processes)

    def later(self, knob: str, action: Callable[[], None]) -> None:
        """Do it after so many seconds as the knob says."""
        self.world.timers.after(self.world.knobs.seconds(knob), action)

    def _frozen(self, state: Any) -> Any:
        """How a member looks now; one that has not changed since the last time is not copied again."""
        kept = self._states.get(state.instance_id)
        if kept is None or vars(kept) != vars(state):
            kept = self._states[state.instance_id] = copy.copy(state)
        return kept

    def _mark_unhealthy(self, state: Any) -> None:
        state.health_status = "Unhealthy"
        self.check_health()


def _first(value: int | None, default: int) -> int:
    return default if value is None else value
