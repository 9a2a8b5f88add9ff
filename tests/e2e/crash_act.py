"""What a row of the crash matrix asks for, and what must be so at its end: what all of them have in common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from tests.e2e.crash_setup import CrashSetup
from tests.e2e.tap import asking, named
from tests.waiting import until

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


def reachable(setup: CrashSetup) -> int:
    found = [node.get("ManagerStatus") or {} for node in setup.env.docker.nodes()]
    return sum(1 for status in found if status.get("Reachability") == "reachable")


def first(setup: CrashSetup, role: str) -> str:
    return min(str(node["Description"]["Hostname"]) for node in setup.env.nodes(role))
