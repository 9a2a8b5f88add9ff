"""The rows of the crash matrix for what AWS does by itself: the moments at which the worker that sees to it dies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from tests.e2e.crash_act import COMPLETE, PAUSE, REMOVE, UPDATE, Act
from tests.e2e.crash_events import (
    DEMOTE,
    DRAIN,
    LAUNCH,
    TERMINATE,
    Joining,
    Leaving,
    NeverJoining,
)
from tests.e2e.crash_rows import END, TAKEN, Row, both, enters, middle
from tests.e2e.crash_spot import SpotLeaving, SpotNotJoined
from tests.e2e.tap import Point, entering, named, noting

LEAVING: Final = Leaving("node-leaving", "worker", TERMINATE)
MANAGER_LEAVING: Final = Leaving("node-leaving of a manager", "manager", TERMINATE)
SPOT_LEAVING: Final = SpotLeaving("node-leaving by spot", "worker")
SPOT_NOT_JOINED: Final = SpotNotJoined("node-leaving by spot of no node yet", "worker")
JOINING: Final = Joining("node-joining", "worker", LAUNCH)
ABANDONED: Final = NeverJoining("node-joining in vain", kept=False)
KEPT: Final = NeverJoining("node-joining in vain, unwatched", kept=True)
POINTS: Final[Mapping[Act, Sequence[Point]]] = {
    LEAVING: (
        *enters("drain", "complete", "remove"),
        *both("the node is paused", PAUSE),
        *both("its tasks are noted", noting("slots")),
        *both("it is noted which service moves ahead", noting("avoiding")),
        *both("the service avoids the node", UPDATE),
        *both("the service may use the node again", UPDATE, UPDATE),
        *both("the node is drained", DRAIN),
        *middle("the drain", named("GET /tasks"), DRAIN),
        *both("the hook is completed", COMPLETE),
        *middle("the wait for the node to go", named("GET /nodes"), entering("remove")),
        *both("the node is removed", REMOVE),
        *END,
    ),
    MANAGER_LEAVING: (
        *both("that its demotion begins is noted", noting("demoted")),
        *both("the manager is demoted", DEMOTE),
        *both("the hook is completed", COMPLETE),
        *both("the node is removed", REMOVE),
    ),
    SPOT_LEAVING: (*TAKEN, *enters("drain"), *both("the node is paused", PAUSE)),
    SPOT_NOT_JOINED: (*enters("wait"), *middle("the wait for the node", named("GET /nodes"), entering("wait"))),
    JOINING: (
        *enters("wait"),
        *middle("the wait for the node", named("GET /nodes"), entering("wait")),
        *both("the hook is completed", COMPLETE),
        *END,
    ),
    ABANDONED: (both("it enters release", entering("release"))[1], both("the hook is completed", COMPLETE)[1]),
    KEPT: (both("it enters release", entering("release"))[0],),
}
ROWS: Final = tuple(Row(act, (point,)) for act, points in POINTS.items() for point in points)
