"""The rows of the crash matrix: what is asked for, and the moment at which the worker that does it dies.

A moment is the arrival of one call: the worker dies before the call has any effect, or after it and before it hears so.
Steps begin and end with the journal's writes, so "before it enters" is the end of the step before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from tests.e2e.crash_setup import CrashSetup, wall
from tests.e2e.environment import until, up
from tests.e2e.tap import Matches, Point, asking, ending, entering, named, noting, queued, remembering

SET_DESIRED: Final = named("SetDesiredCapacity")
TERMINATE: Final = named("TerminateInstanceInAutoScalingGroup")
COMPLETE: Final = named("CompleteLifecycleAction")
UPDATE: Final = named("POST /services/*/update")
DESCRIBE: Final = named("DescribeAutoScalingGroups")
PAUSE: Final = asking("POST /nodes/*/update", Availability="pause")
DRAIN: Final = asking("POST /nodes/*/update", Availability="drain")
BACK: Final = asking("POST /nodes/*/update", Availability="active")
DEMOTE: Final = asking("POST /nodes/*/update", Role="worker", Availability="drain")
PROMOTE: Final = asking("POST /nodes/*/update", Role="manager", Availability="active")
REMOVE: Final = named("DELETE /nodes/*")


@dataclass(frozen=True, slots=True)
class Before:
    """How it was when the request was posted."""

    began: datetime
    number: int = 0
    names: Mapping[str, int] = field(default_factory=dict)
    """Of each node of the role its tasks of `api`."""
    stamp: str = ""


@dataclass(frozen=True, slots=True)
class End:
    """How it must end, after whatever has happened meanwhile."""

    state: str
    steps: Sequence[str]
    message: str
    said: Sequence[str]
    changes: Mapping[str, int]
    """What was changed outside, and how often: once."""


class Act:
    """One kind of request."""

    name: str

    def prepare(self, setup: CrashSetup) -> Before:
        """Bring about what it needs, and see how it is."""
        raise NotImplementedError

    def post(self, setup: CrashSetup) -> str:
        """Ask for it; the request's id."""
        raise NotImplementedError

    def end(self, setup: CrashSetup, before: Before) -> End:
        """How it must end; called when it has, and looks at the outside world itself."""
        raise NotImplementedError

    def check(self, setup: CrashSetup, before: Before, request: str) -> None:
        """Assert that it ended right, and once."""
        record = setup.caller.ended(request, 60.0)
        end = self.end(setup, before)
        assert (record["state"], record["message"]) == (end.state, end.message), record
        assert [step["name"] for step in record["steps"]] == list(end.steps)
        assert all(step["ended_at"] for step in record["steps"])
        assert changes(setup) == Counter(end.changes)
        until(lambda: not setup.open_records(), "no record that is open")
        until(lambda: setup.messages("SQS_QUEUE_URL") == 0, "an empty queue")
        assert setup.messages("SQS_DLQ_URL") == 0
        record = setup.caller.record(request) or {}
        assert (record["state"], record["message"], record["notified"]) == (end.state, end.message, True)
        for summary in end.said:
            setup.heard(summary, before.began)
        until(setup.all_run, "every replica of every service")


def changes(setup: CrashSetup) -> Counter[str]:
    """What the workers have changed since the tap forgot: capacity, holds, and services by name."""
    calls = {"set desired": SET_DESIRED, "terminate": TERMINATE, "complete": COMPLETE}
    found = Counter({what: len(setup.tap.done(call)) for what, call in calls.items()})
    for call in setup.tap.done(UPDATE):
        found[setup.env.service(call.name.split("/")[2])["Spec"]["Name"]] += 1
    return +found


def _reachable(setup: CrashSetup) -> int:
    found = [node.get("ManagerStatus") or {} for node in setup.env.docker.nodes()]
    return sum(1 for status in found if status.get("Reachability") == "reachable")


class NodeScale(Act):
    """What node scales have in common."""

    def __init__(self, name: str, way: str, role: str, *, fewest: int, most: int, aim: int) -> None:
        self.name = name
        self._way = way
        self._role = role
        self._number = (fewest, most, aim)

    def prepare(self, setup: CrashSetup) -> Before:
        """As many nodes as it takes."""
        number = setup.bring(self._role, *self._number)
        setup.spread(self._role)
        setup.tap.forget()
        nodes = setup.env.nodes(self._role)
        assert len(nodes) == number
        tasks = {node["Description"]["Hostname"]: len(setup.env.running("api", node["ID"])) for node in nodes}
        return Before(wall(), number, tasks)

    def post(self, setup: CrashSetup) -> str:
        """As a person with curl does."""
        return setup.caller.queued(f"/v1/scale-nodes?by=1&type={self._role}", {"groupLabels": {"scale": self._way}})

    def check(self, setup: CrashSetup, before: Before, request: str) -> None:
        """Also the nodes of the Swarm, and the group."""
        super().check(setup, before, request)
        record = setup.caller.record(request) or {}
        after = self._after(before)
        assert (record["nodes_before"], record["nodes_after"]) == (before.number, after)
        assert setup.number(self._role) == after
        nodes = [node for node in setup.env.docker.nodes() if node["Spec"]["Role"] == self._role]
        assert [node["Status"]["State"] for node in nodes] == ["ready"] * after
        assert {node["Spec"]["Availability"] for node in nodes} == {"active"}
        if self._role == "manager":
            until(lambda: _reachable(setup) == after, "managers that reach each other")
        self._check_group(setup, after)

    def _check_group(self, setup: CrashSetup, after: int) -> None:
        name = setup.env.variables[f"AWS_{self._role.upper()}_ASG"]
        groups = setup.env.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[name])
        (group,) = groups["AutoScalingGroups"]
        in_service = [one for one in group["Instances"] if one["LifecycleState"] == "InService"]
        assert len(in_service) == after
        assert (group["MinSize"], group["MaxSize"]) == ((0, 10) if self._role == "worker" else (1, 9))

    def _aimed(self, before: Before) -> int:
        return before.number + (1 if self._way == "up" else -1)

    def _after(self, before: Before) -> int:
        return self._aimed(before)

    def _changing(self, before: Before) -> str:
        return f"Changing the number of {self._role} nodes on aws from {before.number} to {self._aimed(before)}"


class Up(NodeScale):
    """One node more."""

    def end(self, setup: CrashSetup, before: Before) -> End:
        """Raised once, each service rescheduled once."""
        ready = f"{up(self._role, before.number + 1)}, api, demo rescheduled"
        changing = self._changing(before)
        return End(
            "succeeded",
            ("plan", "apply", "wait", "reschedule"),
            f"{changing}; {ready}",
            (changing, ready),
            {"set desired": 1, "api": 1, "demo": 1},
        )


class Down(NodeScale):
    """One node less."""

    def end(self, setup: CrashSetup, before: Before) -> End:
        """One terminated by name; `api`, which starts first, was told to avoid the node, and then no longer to."""
        names = {node["Description"]["Hostname"] for node in setup.env.nodes(self._role)}
        (gone,) = before.names.keys() - names
        removed = f"{up(self._role, before.number - 1)}, {gone} removed"
        changing = self._changing(before)
        return End(
            "succeeded",
            ("plan", "drain", "terminate", "remove"),
            f"{changing}; {removed}",
            (changing, removed),
            {"terminate": 1, "api": 2 * min(1, before.names[gone])},
        )


class Undo(NodeScale):
    """One node less, which AWS refuses when it has been drained."""

    def post(self, setup: CrashSetup) -> str:
        """Whoever terminates is refused, also the next worker."""
        setup.env.fault("aws", errors={"autoscaling.TerminateInstanceInAutoScalingGroup": "ValidationError"})
        return super().post(setup)

    def end(self, setup: CrashSetup, before: Before) -> End:
        """Nothing terminated, and all nodes as they were."""
        why = "TerminateInstanceInAutoScalingGroup: Rate exceeded (ValidationError)"
        moved = {"api": 2} if setup.tap.done(UPDATE) else {}
        return End("failed", ("plan", "drain", "terminate", "undo"), why, (self._changing(before), why), moved)

    def _after(self, before: Before) -> int:
        return before.number


class Replace(NodeScale):
    """One node that is named, by another."""

    def post(self, setup: CrashSetup) -> str:
        """The first of them."""
        return setup.caller.queued(f"/v1/replace-node?node={_first(setup, self._role)}")

    def end(self, setup: CrashSetup, before: Before) -> End:
        """Terminated once, without the capacity; each service rescheduled once."""
        names = {node["Description"]["Hostname"] for node in setup.env.nodes(self._role)}
        (gone,) = before.names.keys() - names
        terminated = f"{gone} was terminated, its group launches another"
        waiting = f"Waiting for {before.number} {self._role} nodes to be Ready again"
        message = f"{terminated}; {up(self._role, before.number)}, api, demo rescheduled"
        return End(
            "succeeded",
            ("plan", "drain", "terminate", "remove", "wait", "reschedule"),
            message,
            (f"{terminated}; {waiting}", message),
            {"terminate": 1, "api": 1 + 2 * min(1, before.names[gone]), "demo": 1},
        )

    def _after(self, before: Before) -> int:
        return before.number


class DrainNode(Act):
    """One node that is named is drained."""

    name = "drain-node"

    def prepare(self, setup: CrashSetup) -> Before:
        """Nodes with tasks."""
        number = setup.bring("worker", 2, 7, 4)
        setup.spread("worker")
        setup.tap.forget()
        return Before(wall(), number, {_first(setup, "worker"): 1})

    def post(self, setup: CrashSetup) -> str:
        """The first of them."""
        return setup.caller.queued(f"/v1/drain-node?node={_first(setup, 'worker')}")

    def end(self, setup: CrashSetup, before: Before) -> End:
        """Empty, and drained."""
        (host,) = before.names
        (node,) = [each for each in setup.env.nodes("worker") if each["Description"]["Hostname"] == host]
        assert node["Spec"]["Availability"] == "drain"
        assert setup.env.running("api", node["ID"]) == []
        said = (
            f"{host} is drained: nothing runs there any more. It stays drained until it is given back (POST "
            f"/v1/drain-node?node={host}&back=true)"
        )
        return End("succeeded", ("plan", "drain"), said, (said,), {"api": 2})

    def check(self, setup: CrashSetup, before: Before, request: str) -> None:
        """And whose drain it was is known."""
        super().check(setup, before, request)
        (host,) = before.names
        back = setup.caller.ended(setup.caller.queued(f"/v1/drain-node?node={host}&back=true"), 60.0)
        assert f"it had been drained by request {request}" in back["message"]


class GiveBack(Act):
    """A drained node is given back."""

    name = "drain-node back"

    def prepare(self, setup: CrashSetup) -> Before:
        """One that a request has drained."""
        setup.bring("worker", 2, 7, 4)
        host = _first(setup, "worker")
        drained = setup.caller.queued(f"/v1/drain-node?node={host}")
        assert setup.caller.ended(drained, 60.0)["state"] == "succeeded"
        setup.settled()
        setup.tap.forget()
        return Before(wall(), 1, {host: 1}, stamp=drained)

    def post(self, setup: CrashSetup) -> str:
        """As a person with curl does."""
        return setup.caller.queued(f"/v1/drain-node?node={_first(setup, 'worker')}&back=true")

    def end(self, setup: CrashSetup, before: Before) -> End:
        """Active again."""
        (host,) = before.names
        assert {node["Spec"]["Availability"] for node in setup.env.nodes("worker")} == {"active"}
        said = (
            f"{host} is active again; it had been drained by request {before.stamp}. What ran there does not come back "
            "by itself (POST /v1/reschedule-services)"
        )
        return End("succeeded", ("plan", "restore"), said, (said,), {})


def _first(setup: CrashSetup, role: str) -> str:
    return min(str(node["Description"]["Hostname"]) for node in setup.env.nodes(role))


class ServiceScale(Act):
    """One replica more."""

    name = "service"

    def prepare(self, setup: CrashSetup) -> Before:
        """Always from 2."""
        if setup.env.replicas("web") != 2:
            setup.env.set_replicas("web", 2)
        setup.tap.forget()
        return Before(wall(), 2)

    def post(self, setup: CrashSetup) -> str:
        """As a person with curl does."""
        return setup.caller.queued("/v1/scale-service?service=web&scale=up&by=1")

    def end(self, setup: CrashSetup, before: Before) -> End:
        """Once."""
        assert setup.env.replicas("web") == 3
        summary = "Scaling web from 2 to 3 replicas (min: 1, max: 5)"
        return End("succeeded", ("plan", "apply"), summary, (summary,), {"web": 1})


class Reschedule(Act):
    """All labelled services, or one."""

    def __init__(self, name: str, path: str, summary: str, services: Sequence[str]) -> None:
        self.name = name
        self._path = path
        self._summary = summary
        self._services = services

    def prepare(self, setup: CrashSetup) -> Before:
        """Only quiet services."""
        setup.settled()
        setup.tap.forget()
        return Before(wall(), stamp=setup.env.task_env("demo").get("RESCHEDULE_DATE", ""))

    def post(self, setup: CrashSetup) -> str:
        """As a person with curl does."""
        return setup.caller.queued(self._path)

    def end(self, setup: CrashSetup, before: Before) -> End:
        """A later value, set once."""
        assert setup.env.task_env("demo")["RESCHEDULE_DATE"] > before.stamp
        once = dict.fromkeys(self._services, 1)
        return End("succeeded", ("plan", "reschedule"), self._summary, (self._summary,), once)


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
