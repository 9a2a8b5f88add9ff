"""EC2's instances in time: a terminated one is shutting down for a while before it is terminated.

EventBridge hears of each state that an instance comes into. What moto looks for among all instances, or among the tags
of everything, is found here without a look at each of them: with a thousand instances moto's way takes minutes.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Mapping
from typing import Any

from moto.core.base_backend import BackendDict
from moto.core.responses import ActionResult
from moto.ec2.exceptions import InvalidInstanceIdError
from moto.ec2.models import EC2Backend, ec2_backends
from moto.ec2.responses import EC2Response
from moto.ec2.urls import url_bases as moto_url_bases
from moto.ec2.utils import EC2_PREFIX_TO_RESOURCE, get_prefix

from infra.local.aws.descriptions import Described, Descriptions
from infra.local.aws.eventbridge import emit
from infra.local.aws.world import REGION, World, world_of
from infra.local.scaling import messages

PENDING = ("pending", 0)
RUNNING = ("running", 16)
SHUTTING_DOWN = ("shutting-down", 32)


class TimedEC2Backend(EC2Backend):  # type: ignore[misc] # moto has no types
    """moto's EC2, whose instances do not die in an instant."""

    def __init__(self, region_name: str, account_id: str) -> None:
        self.descriptions = Descriptions()
        super().__init__(region_name, account_id)

    @property
    def _url_module(self) -> Any:
        return sys.modules[__name__]

    @property
    def world(self) -> World:
        """The embedded AWS this belongs to."""
        return world_of(self.account_id)

    def terminate_instances(self, instance_ids: list[str]) -> list[tuple[Any, Any]]:
        """Start to shut down; those that already do are left to it."""
        instances = self.get_multi_instances_by_id(instance_ids)
        dying = [instance for instance in instances if instance.state not in ("shutting-down", "terminated")]
        before = [(instance, copy.copy(instance._state)) for instance in instances]  # noqa: SLF001 - moto has no getter
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

    def get_instance_by_id(self, instance_id: str) -> Any | None:
        """The newest first: those are asked for most."""
        newest_first = (one for each in reversed(self.reservations.values()) for one in each.instances)
        return next((each for each in newest_first if each.id == instance_id), None)

    def get_instance(self, instance_id: str) -> Any:
        """The same. Raises InvalidInstanceIdError."""
        if (instance := self.get_instance_by_id(instance_id)) is None:
            raise InvalidInstanceIdError([instance_id])
        return instance

    def create_tags(self, resource_ids: list[str], tags: dict[str, str]) -> bool:
        """moto's; those who show their tags look otherwise now."""
        self.descriptions.changed(resource_ids)
        return bool(super().create_tags(resource_ids, tags))

    def delete_tags(self, resource_ids: list[str], tags: dict[str, str]) -> bool:
        """The same."""
        self.descriptions.changed(resource_ids)
        return bool(super().delete_tags(resource_ids, tags))

    def describe_images(self, *args: Any, filters: Mapping[str, list[str]] | None = None, **wanted: Any) -> list[Any]:
        """What each launch asks about its one image, moto would look for among hundreds."""
        match filters:
            case {"image-id": str(image_id), **others} if not (others or args or wanted) and image_id in self.amis:
                return [self.amis[image_id]]
        found: list[Any] = super().describe_images(*args, filters=filters, **wanted)
        return found

    def describe_tags(self, filters: Mapping[str, list[str]] | None = None) -> list[dict[str, str]]:
        """Those of one resource are looked up by its id; any other question is moto's to answer."""
        match filters:
            case {"resource-id": [resource_id], **others} if not others and not {"*", "?"} & set(resource_id):
                return _shown_tags(resource_id, self.tags.get(resource_id, {}))
        found: list[dict[str, str]] = super().describe_tags(filters)
        return found

    def put(self, instance: Any, state: tuple[str, int]) -> None:
        """Put an instance into a state that moto would skip."""
        instance._state.name, instance._state.code = state  # noqa: SLF001 - moto has no setter
        self._changed([instance.id], state[0])

    def _finish(self, instance_ids: list[str]) -> None:
        super().terminate_instances(instance_ids)
        self._changed(instance_ids, "terminated")

    def _changed(self, instance_ids: list[str], *states: str) -> None:
        self.descriptions.changed(instance_ids)
        self.world.changed_instances += instance_ids
        place = messages.Place(self.account_id, REGION)
        for instance_id in instance_ids:
            for state in states:
                emit(self.world, messages.state_change(place, instance_id, state))


class QuickResponse(EC2Response):  # type: ignore[misc] # moto has no types
    """The API as moto has it, whose long answers are put together from what has not changed."""

    def call_action(self) -> Any:
        """Whatever does not describe may change any instance."""
        try:
            return super().call_action()
        finally:
            if not self._get_action().startswith("Describe"):
                self.ec2_backend.descriptions.all_changed()

    def describe_instances(self) -> ActionResult:
        """moto's."""
        return Described(super().describe_instances().result, self.ec2_backend.descriptions)


def _shown_tags(resource_id: str, tags: Mapping[str, str]) -> list[dict[str, str]]:
    kind = EC2_PREFIX_TO_RESOURCE.get(get_prefix(resource_id), "")
    return [
        {"resource_id": resource_id, "key": key, "value": value, "resource_type": kind} for key, value in tags.items()
    ]


url_bases = moto_url_bases
url_paths = {"{0}/": QuickResponse.dispatch}


def install() -> None:
    """Give accounts opened from now on this backend."""
    backends: BackendDict[Any] = ec2_backends
    backends.backend = TimedEC2Backend
