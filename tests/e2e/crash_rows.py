"""The rows of the crash matrix: what is asked for, and the moment at which the worker that does it dies.

A moment is the arrival of one call: the worker dies before the call has any effect, or after it and before it hears so.
Steps begin and end with the journal's writes, so "before it enters" is the end of the step before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tests.e2e.crash_act import (
    BACK,
    DEMOTE,
    DESCRIBE,
    DRAIN,
    PAUSE,
    PROMOTE,
    REMOVE,
    SET_DESIRED,
    TERMINATE,
    UPDATE,
    Act,
)
from tests.e2e.crash_changes import DrainNode, GiveBack, Reschedule, ServiceScale
from tests.e2e.crash_scales import Down, Replace, Undo, Up
from tests.e2e.tap import Matches, Point, ending, entering, named, noting, queued, remembering


@dataclass(frozen=True, slots=True)
class Row:
    """An act, and the moments at which who does it dies, one after the other."""

    act: Act
    points: Sequence[Point]

    def __str__(self) -> str:
        return f"{self.act.name}: {', then '.join(point.name for point in self.points)}"


UP: Final = Up("up", "up", "worker", fewest=1, most=6, aim=2)
DOWN: Final = Down("down", "down", "worker", fewest=2, most=7, aim=4)
MANAGER_DOWN: Final = Down("down of a manager", "down", "manager", fewest=4, most=6, aim=5)
UNDO: Final = Undo("undo", "down", "worker", fewest=2, most=7, aim=4)
MANAGER_UNDO: Final = Undo("undo of a manager", "down", "manager", fewest=4, most=6, aim=5)
REPLACE: Final = Replace("replace-node", "up", "worker", fewest=2, most=7, aim=4)
MANAGER_REPLACE: Final = Replace("replace-node of a manager", "up", "manager", fewest=3, most=6, aim=5)
DRAIN_NODE: Final = DrainNode()
GIVE_BACK: Final = GiveBack()
SERVICE: Final = ServiceScale()
ALL: Final = Reschedule("reschedule-services", "/v1/reschedule-services", "api, demo rescheduled", ("api", "demo"))
ONE: Final = Reschedule(
    "reschedule-service", "/v1/reschedule-service?service=demo", "Rescheduled service: demo", ("demo",)
)


def both(what: str, matches: Matches, *since: Matches) -> tuple[Point, Point]:
    """Before a call has its effect, and after it."""
    return Point(f"before {what}", matches, False, since), Point(f"after {what}", matches, True, since)


def middle(what: str, matches: Matches, *since: Matches) -> tuple[Point]:
    """In the middle of a wait, when it has looked once."""
    return (Point(f"in the middle of {what}", matches, True, since),)


def enters(*steps: str) -> Iterator[Point]:
    """Each boundary, from both sides."""
    for step in steps:
        yield from both(f"it enters {step}", entering(step))


END: Final = both("it ends", ending)
TAKEN: Final = (*both("it is recorded", queued), *both("its message is deleted", named("DeleteMessage"), queued))

POINTS: Final[Mapping[Act, Sequence[Point]]] = {
    UP: (
        *TAKEN,
        *enters("plan", "apply", "wait", "reschedule"),
        *both("the capacity is raised", SET_DESIRED),
        *both("the raise is remembered", remembering, SET_DESIRED),
        *middle("the wait for nodes", DESCRIBE, entering("wait")),
        *both("the pass is noted", noting("reschedule")),
        *both("a service is rescheduled", UPDATE),
        *middle("the rolling update", named("GET /services/*"), UPDATE),
        *END,
    ),
    DOWN: (
        *enters("plan", "drain", "terminate", "remove"),
        *both("the node is paused", PAUSE),
        *both("its tasks are noted", noting("slots")),
        *both("it is noted which service moves ahead", noting("avoiding")),
        *both("the service avoids the node", UPDATE),
        *both("the service may use the node again", UPDATE, UPDATE),
        *both("the node is drained", DRAIN),
        *middle("the drain", named("GET /tasks"), DRAIN),
        *both("the intent to terminate is noted", noting("intent")),
        *both("the instance is terminated", TERMINATE),
        *both("the termination is remembered", remembering, TERMINATE),
        *both("the termination is noted", noting("terminated")),
        *middle("the wait for the node to go", named("GET /nodes"), entering("remove")),
        *both("the node is removed", REMOVE),
        *END,
    ),
    MANAGER_DOWN: (
        *enters("plan", "drain", "terminate", "remove"),
        *middle("the drain", named("GET /tasks"), DRAIN),
        *both("the manager is demoted", DEMOTE),
        *middle("the demotion", named("GET /nodes"), DEMOTE),
        *both("the intent to terminate is noted", noting("intent")),
        *both("the instance is terminated", TERMINATE),
        *both("the node is removed", REMOVE),
        *END,
    ),
    UNDO: (*enters("undo"), *both("the node is given back", BACK, entering("undo")), *END),
    MANAGER_UNDO: (*enters("undo"), *both("the manager is promoted", PROMOTE, entering("undo")), *END),
    REPLACE: (
        *enters("plan", "drain", "terminate", "remove", "wait", "reschedule"),
        *both("the node is paused", PAUSE),
        *both("the node is drained", DRAIN),
        *both("the intent to terminate is noted", noting("intent")),
        *both("the instance is terminated", TERMINATE),
        *both("the termination is noted", noting("terminated")),
        *both("the node is removed", REMOVE),
        *middle("the wait for the new node", DESCRIBE, entering("wait")),
        *both("a service is rescheduled", UPDATE, entering("reschedule")),
        *END,
    ),
    MANAGER_REPLACE: (
        *both("the manager is demoted", DEMOTE),
        *both("the instance is terminated", TERMINATE),
        *middle("the wait for the new node", DESCRIBE, entering("wait")),
    ),
    DRAIN_NODE: (
        *enters("plan", "drain"),
        *both("the node is paused", PAUSE),
        *both("its tasks are noted", noting("slots")),
        *both("the node is drained", DRAIN),
        *middle("the drain", named("GET /tasks"), DRAIN),
        *both("whose drain it is is remembered", remembering, DRAIN),
        *END,
    ),
    GIVE_BACK: (
        *enters("plan", "restore"),
        *both("the node is given back", BACK),
        *both("that it is nobody's drain is remembered", remembering, BACK),
        *END,
    ),
    SERVICE: (*enters("plan", "apply"), *both("the service is scaled", UPDATE), *END),
    ALL: (
        *enters("plan", "reschedule"),
        *both("a service is rescheduled", UPDATE),
        *middle("the rolling update", named("GET /services/*"), UPDATE),
        *END,
    ),
    ONE: (
        *enters("plan", "reschedule"),
        *both("the service is rescheduled", UPDATE),
        *middle("the rolling update", named("GET /services/*"), UPDATE),
        *END,
    ),
}
CLAIMED: Final = Point("after its successor has claimed the request", named("UpdateItem"), True)
ROWS: Final = (
    *(Row(act, (point,)) for act, points in POINTS.items() for point in points),
    Row(UP, (both("it enters wait", entering("wait"))[1], CLAIMED)),
    Row(DOWN, (both("the node is drained", DRAIN)[1], CLAIMED)),
)
