"""EC2's instances in time: a terminated one is shutting down for a while before it is terminated.

EventBridge hears of each state that an instance comes into.
"""

from __future__ import annotations

import copy
from typing import Any

from moto.core.base_backend import BackendDict
from moto.ec2 import urls as moto_urls
from moto.ec2.models import EC2Backend, ec2_backends

from infra.local.aws import messages
from infra.local.aws.eventbridge import emit
from infra.local.aws.world import REGION, World, world_of

PENDING = ("pending", 0)
RUNNING = ("running", 16)
SHUTTING_DOWN = ("shutting-down", 32)


class TimedEC2Backend(EC2Backend):  # type: ignore[misc] # moto has no types
    """moto's EC2, whose instances do not die in an instant."""

    @property
    def _url_module(self) -> Any:
        return moto_urls

    @property
    def world(self) -> World:
        """The embedded AWS this belongs to."""
        return world_of(self.account_id)

    def terminate_instances(self, instance_ids: list[str]) -> list[tuple[Any, Any]]:
        """Start to shut down; those that already do are left to it."""
        instances = self.get_multi_instances_by_id(instance_ids)
        dying = [instance for instance in instances if instance.state not in ("shutting-down", "terminated")]
        before = [(instance, _state(instance)) for instance in instances]
        for instance in dying:
            self.put(instance, SHUTTING_DOWN)
        if dying:
            seconds = self.world.knobs.seconds("terminating_seconds")
            self.world.timers.after(seconds, lambda: self._finish([instance.id for instance in dying]))
        return before

    def stop_instances(self, instance_ids: list[str]) -> Any:
        """moto's, at once; whoever follows the instances hears of it."""
        stopped = super().stop_instances(instance_ids)
        self._changed(instance_ids, "stopping", "stopped")
        return stopped

    def start_instances(self, instance_ids: list[str]) -> Any:
        """The same."""
        started = super().start_instances(instance_ids)
        self._changed(instance_ids, "pending", "running")
        return started

    def put(self, instance: Any, state: tuple[str, int]) -> None:
        """Put an instance into a state that moto would skip."""
        instance._state.name, instance._state.code = state  # noqa: SLF001 - moto has no setter
        self._changed([instance.id], state[0])

    def _finish(self, instance_ids: list[str]) -> None:
        super().terminate_instances(instance_ids)
        self._changed(instance_ids, "terminated")

    def _changed(self, instance_ids: list[str], *states: str) -> None:
        self.world.instance_changes += 1
        place = messages.Place(self.account_id, REGION)
        for instance_id in instance_ids:
            for state in states:
                emit(self.world, messages.state_change(place, instance_id, state))


def _state(instance: Any) -> Any:
    return copy.copy(instance._state)  # noqa: SLF001 - the same


def install() -> None:
    """Give accounts opened from now on this backend."""
    backends: BackendDict[Any] = ec2_backends
    backends.backend = TimedEC2Backend
