"""Whether what happened is what docs/reference.md says; pure.

One line per thing that must be so, each with what is wrong, if anything is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from infra.local.board import Message
from infra.local.facts import Cluster, NodeFacts

REPLICAS = 6
"""Of demo."""
Told = tuple[str, str, str, str, str]
"""alertname, service, status, request, summary."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must be so; `problem` is empty where it is."""

    name: str
    problem: str


@dataclass(frozen=True, slots=True)
class Act:
    """One request, from before it was posted until after it ended."""

    scale: str
    before: Cluster
    after: Cluster
    status: int
    location: str
    record: Mapping[str, Any]
    messages: Sequence[Message]
    changes: Mapping[str, Sequence[float]]

    @property
    def expected(self) -> int:
        """The desired capacity to be reached."""
        return self.before.desired + (1 if self.scale == "up" else -1)

    @property
    def changing(self) -> str:
        """The first sentence."""
        return f"Changing the number of worker nodes on aws from {self.before.desired} to {self.expected}"

    @property
    def came(self) -> list[NodeFacts]:
        """Nodes that were not there before."""
        known = {node.id for node in self.before.nodes}
        return [node for node in self.after.nodes if node.id not in known]

    @property
    def went(self) -> list[NodeFacts]:
        """Nodes that are there no more."""
        known = {node.id for node in self.after.nodes}
        return [node for node in self.before.nodes if node.id not in known]


@dataclass(frozen=True, slots=True)
class Departure:
    """A machine that AWS took, from before its warning until a successor is Ready. Times in seconds since then."""

    node: NodeFacts
    before: Cluster
    after: Cluster
    record: Mapping[str, Any]
    messages: Sequence[Message]
    emptied: float | None = None
    """Nothing ran there any more, and all of `demo` ran elsewhere."""
    died: float | None = None
    joined: float | None = None
    """The successor was Ready."""

    @property
    def successor(self) -> NodeFacts | None:
        """The worker that was not there before."""
        known = {node.id for node in self.before.nodes}
        return next((one for one in self.after.nodes if one.id not in known and one.ready), None)

    @property
    def over(self) -> bool:
        """Whether there is nothing more to wait for."""
        ended = self.record["state"] in ("succeeded", "failed", "skipped")
        return ended and self.joined is not None and self.after.running == REPLICAS


def departure_checks(departure: Departure) -> list[Check]:
    """Everything that must be so after AWS has taken a machine."""
    node, record, after = departure.node, departure.record, departure.after
    request = f"Node leaving: {node.name} (spot interruption)"
    told = {(one.alertname, one.service) for one in departure.messages if one.request == request}
    emptied, died = departure.emptied, departure.died
    return [
        _is("the record says succeeded", record["state"], "succeeded"),
        _is("its message names the node", record["message"].startswith(f"{node.name} left (spot interruption)"), True),
        _is(
            "the node was empty, and demo complete, before its machine died",
            emptied is not None and died is not None and emptied < died,
            True,
        ),
        _is("its node has left the Swarm", node.id in {one.id for one in after.nodes}, False),
        _is("one has come in its place", (after.desired, len(after.workers)), (departure.before.desired,) * 2),
        _is("it is Ready", departure.joined is not None, True),
        _is("every node is Ready and Active, none Down", _unwell(after), []),
        _is("six tasks of demo run", after.running, REPLICAS),
        _is("people are told of the node", told, {("scale_nodes", "aws")}),
    ]


def checks(act: Act) -> list[Check]:
    """Everything that must be so after the request."""
    return [*_answer(act), *_group(act), *_swarm(act), *_record(act), *_told(act)]


def _answer(act: Act) -> Iterator[Check]:
    yield _is("the answer is 202, and says where the record is", (act.status, bool(act.location)), (202, True))


def _group(act: Act) -> Iterator[Check]:
    step = f"{act.before.desired} -> {act.expected}"
    yield _is(f"desired capacity {step}", f"{act.before.desired} -> {act.after.desired}", step)
    action = "SetDesiredCapacity" if act.scale == "up" else "TerminateInstanceInAutoScalingGroup"
    counted = {name: len(moments) for name, moments in act.changes.items()}
    yield _is(f"one change of the group: {action}", counted, {action: 1})
    lost = act.before.workers - act.after.workers
    gone = {node.instance_id for node in act.went} if act.scale == "down" else set()
    yield _is("no other instance has gone", (lost, act.after.managers), (gone, act.before.managers))


def _swarm(act: Act) -> Iterator[Check]:
    moved = ("joined", len(act.came), len(act.went)) if act.scale == "up" else ("left", len(act.went), len(act.came))
    yield _is("one worker node more" if act.scale == "up" else "one worker node less", moved[1:], (1, 0))
    yield _is("every node is Ready and Active, none Down", _unwell(act.after), [])
    yield _is("six tasks of demo run", act.after.running, REPLICAS)
    if act.scale == "up":
        yield _is("tasks of demo run on the new node", [node.tasks > 0 for node in act.came], [True])
    else:
        least = min((node.tasks for node in act.before.nodes if node.role == "worker"), default=0)
        yield _is("the least loaded worker has gone", [node.tasks for node in act.went], [least])


def _unwell(cluster: Cluster) -> list[str]:
    return [
        f"{node.name} is {node.state}, {node.availability}"
        for node in cluster.nodes
        if not node.ready or node.availability != "active"
    ]


def _record(act: Act) -> Iterator[Check]:
    record = act.record
    steps = {"up": ["plan", "apply", "wait", "reschedule"], "down": ["plan", "drain", "terminate", "remove"]}
    yield _is("the record says succeeded", record["state"], "succeeded")
    yield _is("its message", record["message"], f"{act.changing}; {_last_sentence(act)}")
    yield _is("its steps, all ended", _ended_steps(record), steps[act.scale])
    numbers = (record["nodes_before"], record["nodes_after"])
    yield _is("its number of nodes before and after", numbers, (act.before.desired, act.expected))


def _ended_steps(record: Mapping[str, Any]) -> list[str]:
    return [step["name"] if step["ended_at"] else f"{step['name']} (not ended)" for step in record["steps"]]


def _told(act: Act) -> Iterator[Check]:
    told = [_line(message) for message in act.messages]
    yield _is("the notifications, word by word", _without_ticks(_without_repeats(told)), expected_messages(act))


def expected_messages(act: Act) -> list[Told]:
    """What people are told, in this order."""
    request, last = f"Scale nodes {act.scale} on: aws, by: 1, type: worker", _last_sentence(act)
    first: Told = ("scale_nodes", "aws", "success", request, act.changing)
    if act.scale == "down":
        return [first, ("scale_nodes", "aws", "success", request, last)]
    waiting = f"Waiting for worker nodes to scale from {act.before.desired} to {act.expected} for rescheduling"
    return [
        first,
        ("scale_nodes", "reschedule", "pending", "Wait to reschedule", waiting),
        ("reschedule_service", "reschedule", "success", last, last),
    ]


def _last_sentence(act: Act) -> str:
    up = f"{act.expected} worker {'node is' if act.expected == 1 else 'nodes are'} up, "
    return up + ("demo rescheduled" if act.scale == "up" else f"{', '.join(node.name for node in act.went)} removed")


def _line(message: Message) -> Told:
    return message.alertname, message.service, message.status, message.request, message.summary


def _without_repeats(told: Sequence[Told]) -> list[Told]:
    """Notifications come at least once: a post whose answer was lost is posted again, right after itself."""
    return [line for line, _ in groupby(told)]


def _without_ticks(told: Sequence[Told]) -> list[Told]:
    """How many progress reports there are depends on how long machines take to boot."""
    return [line for line in told if not (line[2] == "pending" and line[4].startswith("Waited "))]


def _is(name: str, found: object, wanted: object) -> Check:
    return Check(name, "" if found == wanted else f"expected {wanted!r}, found {found!r}")
