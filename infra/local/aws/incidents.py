"""What AWS does by itself, on demand: it takes spot instances, recommends, retires, rebalances zones, refreshes groups.

Each is told as AWS tells it, and done as AWS does it; nobody who calls the API is asked.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from moto.autoscaling.models import autoscaling_backends
from moto.core.exceptions import ServiceException
from moto.ec2.models import ec2_backends

from infra.local.aws.eventbridge import emit
from infra.local.aws.group import Group
from infra.local.aws.world import REGION, World
from infra.local.scaling import messages
from infra.local.scaling.messages import Event, Place

NOTICE: Final = timedelta(minutes=2)
RETIRED_WITHIN: Final = timedelta(days=14)


class Incidents:
    """Of one embedded AWS. Each raises ValueError, with a text for a person, for what there is not."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._place = Place(world.account_id, REGION)

    def interrupt(self, instance_id: str, notice: timedelta = NOTICE) -> Event:
        """EC2 takes an instance as it takes a spot one: it warns, and the machine goes when the notice is over.

        The group notices by its health checks; with capacity rebalancing it launches another at once. A hook of the
        group is told, and holds nothing up.
        """
        with self._world.lock:
            zone = self._instance(instance_id).placement.zone
            event = self._at_risk(instance_id, messages.spot_interruption(self._place, instance_id, zone))
            self._world.timers.after(notice.total_seconds(), lambda: self._take(instance_id))
            return event

    def recommend_rebalance(self, instance_id: str) -> Event:
        """EC2 recommends to replace an instance; a group with capacity rebalancing does."""
        with self._world.lock:
            zone = self._instance(instance_id).placement.zone
            return self._at_risk(instance_id, messages.rebalance_recommendation(self._place, instance_id, zone))

    def retire(self, instance_id: str, within: timedelta = RETIRED_WITHIN) -> Event:
        """AWS Health tells that the machine below an instance is retired then; nothing else happens."""
        with self._world.lock:
            self._instance(instance_id)
            event = messages.retirement(self._place, [instance_id], within)
            emit(self._world, event)
            return event

    def rebalance_zones(self, group: str) -> bool:
        """AZRebalance, now: where zones are uneven, one instance more, and then an unprotected one less. Whether so."""
        with self._world.lock:
            return self._group(group).replacements.even_out_zones()

    def refresh(self, group: str, protected: str = "Refresh") -> str:
        """Replace all instances of a group, one at a time; the refresh's id."""
        preferences = {"ScaleInProtectedInstances": protected}
        with self._world.lock:
            try:
                return self._group(group).refreshes.start(preferences)
            except ServiceException as error:
                raise ValueError(str(error.message)) from error

    def _at_risk(self, instance_id: str, event: Event) -> Event:
        """Whoever listens is told, and the instance's group."""
        emit(self._world, event)
        for group in self._groups.values():
            if any(state.instance_id == instance_id for state in group.instance_states):
                group.replacements.at_risk(instance_id)
        return event

    def _take(self, instance_id: str) -> None:
        ec2_backends[self._world.account_id][REGION].terminate_instances([instance_id])
        for group in self._groups.values():
            group.lost([instance_id])

    def _instance(self, instance_id: str) -> Any:
        instance = ec2_backends[self._world.account_id][REGION].get_instance_by_id(instance_id)
        if instance is None or instance.state not in ("pending", "running"):
            raise ValueError(f"there is no living instance {instance_id}")
        return instance

    def _group(self, name: str) -> Group:
        if name not in self._groups:
            raise ValueError(f"there is no group {name}; there are: {', '.join(self._groups)}")
        return self._groups[name]

    @property
    def _groups(self) -> dict[str, Group]:
        found: dict[str, Group] = autoscaling_backends[self._world.account_id][REGION].autoscaling_groups
        return found
