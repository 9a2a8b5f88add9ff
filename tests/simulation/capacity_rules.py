"""What holds of every effect on a group's capacity, and of every change of a service: a part of the judge."""

from typing import TYPE_CHECKING

from shared.fields import Role
from tests.simulation.cloud import ROLES
from tests.simulation.evidence import Effect
from tests.simulation.hindsight import LAG_SECONDS
from worker.ports.swarm import Service

if TYPE_CHECKING:
    from tests.simulation.world import World

LONG_SECONDS = 60.0
"""For so long a change by somebody else may explain that a number is not what it should be."""


class CapacityRules:
    """Watches the capacity in one world."""

    def __init__(self, world: "World") -> None:
        self._world = world

    def check(self, effect: Effect) -> None:
        """A call took effect."""
        if effect.changed:
            self._check_unit(effect)
            self._check_work(effect)
        if effect.kind == "desired":
            self._check_bounds(effect)
            self._check_not_lowered(effect)
        if effect.kind == "terminate":
            self._check_floor(effect)
            self._check_first(effect)

    def _check_unit(self, effect: Effect) -> None:
        name = self._world.group_of(effect)
        if name is not None and self._world.groups.groups[name].unit != "instances":
            self._violate(4, f"{effect.request} scales {name}, whose capacity is no number of instances")

    def _check_work(self, effect: Effect) -> None:
        """A job is not begun anew. Whether a task that may end has ended for good, a moment's look cannot tell."""
        service = effect.before
        if isinstance(service, Service) and service.mode.endswith("job"):
            self._violate(6, f"{effect.request} makes {service.name} begin anew, which is a job")

    def _check_bounds(self, effect: Effect) -> None:
        settings, group = self._world.settings, self._world.groups.groups[effect.target]
        kind: Role = ROLES[effect.target]
        low = max(group.min_size, getattr(settings, f"default_min_{kind}_nodes"))
        high = min(group.max_size, getattr(settings, f"default_max_{kind}_nodes"))
        if not low <= int(str(effect.after)) <= high:
            self._violate(4, f"desired of {group.name} set to {effect.after}, bounds {low} to {high}")

    def _check_not_lowered(self, effect: Effect) -> None:
        """A raise lowers only where it comes late, or where somebody else has raised: nothing can fence either."""
        if int(str(effect.after)) >= int(str(effect.before)):
            return
        if effect.late:
            self._world.trace.counts["in flight: desired lowered"] += 1
            return
        since = effect.time - LONG_SECONDS
        late = (each for each in self._world.evidence.effects if each.late and each.time > since)
        by_others = self._world.judge.changed_between(effect.target, since, effect.time)
        if not by_others and not any(self._world.group_of(each) == effect.target for each in late):
            what = f"{effect.target} from {effect.before} to {effect.after}"
            self._violate(5, f"{effect.request} lowers {what} by a number")

    def _check_first(self, effect: Effect) -> None:
        """Each call for an instance takes its part of the capacity, also one for an instance that is going already."""
        for each in self._world.evidence.effects:
            if each is not effect and (each.kind, each.target) == (effect.kind, effect.target) and each.changed:
                self._violate(2, f"{effect.request} takes {effect.target} off the capacity, {each.request} did before")

    def _check_floor(self, effect: Effect) -> None:
        name = self._world.machines.group_of[effect.target]
        low = getattr(self._world.settings, f"default_min_{ROLES[name]}_nodes")
        by_others = self._world.judge.changed_between(name, effect.issued_at - LAG_SECONDS, effect.time)
        if int(str(effect.after)) < low and not by_others:
            self._violate(4, f"{effect.request} takes {name} down to {effect.after}, the minimum is {low}")

    def _violate(self, invariant: int, what: str) -> None:
        self._world.judge.violate(invariant, what)
