"""The demo's judgement: what is right passes, and each thing that is off is found."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from infra.local.board import Message
from infra.local.departure import Interruption
from infra.local.facts import Cluster, NodeFacts
from infra.local.stage import ActScene, Scene, Stage
from infra.local.verdict import Act, Departure, checks, departure_checks, expected_messages

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
TICK = Message(
    NOW,
    *("reschedule_service", "reschedule", "pending", "Waiting for nodes to scale"),
    "Waited 60 seconds for a total of 2 worker nodes to come online",
)
STEPS = {"up": ["plan", "apply", "wait", "reschedule"], "down": ["plan", "drain", "terminate", "remove"]}


def node(name: str, role: str = "worker", tasks: int = 1, **changes: Any) -> NodeFacts:
    facts = NodeFacts(
        f"id-{name}", name, f"i-{name}", role, leader=False, state="ready", availability="active", tasks=tasks
    )
    return dataclasses.replace(facts, **changes)


MANAGERS = [node("m1", "manager", leader=True), node("m2", "manager"), node("m3", "manager")]


def cluster(*workers: NodeFacts, desired: int | None = None) -> Cluster:
    ids = frozenset(worker.instance_id for worker in workers)
    managers = frozenset(manager.instance_id for manager in MANAGERS)
    return Cluster(len(workers) if desired is None else desired, ids, managers, (*MANAGERS, *workers))


ONE, TWO = cluster(node("w1", tasks=3)), cluster(node("w1", tasks=2), node("w2", tasks=1))


def act(scale: str, **changes: Any) -> Act:
    """One that went as it should."""
    up = scale == "up"
    before, after = (ONE, TWO) if up else (TWO, ONE)
    action = "SetDesiredCapacity" if up else "TerminateInstanceInAutoScalingGroup"
    plain = Act(scale, before, after, 202, "/v1/requests/1", record(scale), (), {action: [1.0]})
    told = [Message(NOW, *line) for line in expected_messages(plain)]
    return dataclasses.replace(plain, messages=told, **changes)


def record(scale: str, **changes: Any) -> dict[str, Any]:
    first, second = (1, 2) if scale == "up" else (2, 1)
    last = "2 worker nodes are up, demo rescheduled" if scale == "up" else "1 worker node is up, w2 removed"
    moments = {"started_at": "2026-11-22T10:00:00.000Z", "ended_at": "2026-11-22T10:00:01.500Z"}
    return {
        "state": "succeeded",
        "message": f"Changing the number of worker nodes on aws from {first} to {second}; {last}",
        "steps": [{"name": name, **moments} for name in STEPS[scale]],
        "nodes_before": first,
        "nodes_after": second,
        **moments,
        **changes,
    }


def wrong(found: Act) -> list[str]:
    return [check.name for check in checks(found) if check.problem]


@pytest.mark.parametrize("scale", ["up", "down"])
def test_what_went_as_promised_passes(scale: str) -> None:
    assert wrong(act(scale)) == []


def test_progress_reports_may_come_between() -> None:
    told = list(act("up").messages)
    told.insert(2, TICK)
    assert wrong(dataclasses.replace(act("up"), messages=told)) == []


@pytest.mark.parametrize(
    ("scale", "changes", "name"),
    [
        ("up", {"status": 200}, "the answer is 202, and says where the record is"),
        ("up", {"changes": {"SetDesiredCapacity": [1.0, 2.0]}}, "one change of the group: SetDesiredCapacity"),
        ("up", {"record": record("up", state="failed")}, "the record says succeeded"),
        ("up", {"record": record("up", message="Done")}, "its message"),
        ("up", {"record": record("up", steps=[])}, "its steps, all ended"),
        ("up", {"record": record("up", nodes_after=3)}, "its number of nodes before and after"),
        ("up", {"after": cluster(node("w1", tasks=3), node("w2", tasks=0))}, "tasks of demo run on the new node"),
        ("up", {"after": cluster(node("w1", tasks=1), node("w2", tasks=1))}, "six tasks of demo run"),
        ("up", {"after": cluster(node("w2", tasks=2), node("w3", tasks=1))}, "no other instance has gone"),
        ("up", {"after": cluster(node("w1"), node("w2", tasks=2), desired=3)}, "desired capacity 1 -> 2"),
        ("down", {"after": cluster(node("w2", tasks=3))}, "the least loaded worker has gone"),
        ("down", {"after": cluster(node("w1", tasks=3), node("w2", tasks=0, state="down"))}, "one worker node less"),
        (
            "down",
            {"after": cluster(node("w1", tasks=3, availability="drain"))},
            "every node is Ready and Active, none Down",
        ),
    ],
)
def test_what_is_off_is_found_by_name(scale: str, changes: dict[str, Any], name: str) -> None:
    found = dataclasses.replace(act(scale), **changes)
    assert name in wrong(found)
    assert all("expected" in check.problem for check in checks(found) if check.problem)


@pytest.mark.parametrize("place", range(3))
def test_a_notification_may_come_again_right_after_itself(place: int) -> None:
    told = list(act("up").messages)
    told.insert(place, dataclasses.replace(told[place], at=NOW + timedelta(seconds=2.5)))
    assert wrong(dataclasses.replace(act("up"), messages=told)) == []


@pytest.mark.parametrize(
    "spoil",
    [
        lambda told: told[1:],
        lambda told: told[::-1],
        lambda told: told * 2,
        lambda told: [*told, told[0]],
        lambda told: [told[0], TICK, *told],
        lambda told: [told[0], *(dataclasses.replace(one, status="error") for one in told[:1]), *told[1:]],
    ],
)
def test_a_notification_too_few_too_many_or_too_early_is_found(spoil: Callable[[Any], Any]) -> None:
    found = act("up")
    assert wrong(dataclasses.replace(found, messages=spoil(found.messages))) == ["the notifications, word by word"]


# What is seen of it


def scene(cluster: Cluster, told: int = 0, **record_changes: Any) -> Scene:
    shown = record("up", **record_changes)
    return Scene(2.5, cluster, [ActScene("scale up", shown)], list(act("up").messages[:told]))


def console(**terminal: Any) -> Console:
    return Console(file=io.StringIO(), highlight=False, **terminal)


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_without_a_terminal_each_thing_is_said_once() -> None:
    plain = console(width=200)
    stage = Stage(plain)
    before = Scene(0.0, ONE, [ActScene("scale up")])
    with stage.lit():
        for one in (before, scene(TWO, 1, ended_at=None), scene(TWO, 1, ended_at=None), scene(TWO, 3)):
            stage.show(one)
    lines = [line[10:] for line in written(plain).splitlines()]
    assert lines == [
        "  2.5 s  group  desired capacity 1 -> 2",
        "  2.5 s  tasks  2 tasks of demo on w1 (worker)",
        "  2.5 s  node   w2 (worker) is Ready, active",
        "  2.5 s  told   Changing the number of worker nodes on aws from 1 to 2",
        *(f"  2.5 s  step   {name}" for name in STEPS["up"]),
        "  2.5 s  told   Waiting for worker nodes to scale from 1 to 2 for rescheduling",
        "  2.5 s  told   2 worker nodes are up, demo rescheduled",
        "  2.5 s  ended  succeeded (plan 1.50 s, apply 1.50 s, wait 1.50 s, reschedule 1.50 s)",
        f"  2.5 s         {record('up')['message']}",
    ]


@pytest.mark.parametrize(("width", "height"), [(80, 24), (160, 50)])
def test_the_picture_fits_the_terminal(width: int, height: int) -> None:
    full = scene(TWO, 3)
    full.acts.append(ActScene("scale down", record("down")))
    full.messages *= 20
    terminal = console(width=width, height=height, force_terminal=True, color_system=None)
    terminal.print(full.picture(height, width))
    lines = written(terminal).splitlines()
    assert len(lines) < height
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    for word in (
        "w2",
        "Ready",
        "■",
        "6 of 6 run",
        "reschedule",
        "terminate",
        "2 worker nodes are up, demo rescheduled",
    ):
        assert word in text


# The machine that AWS takes


def departure(**changes: Any) -> Departure:
    """One that went as it should: w1 is empty at 1 s, dies at 4 s, and w2 is Ready at 8 s."""
    request = "Node leaving: w1 (spot interruption)"
    told = [Message(NOW, "scale_nodes", "aws", status, request, "w1 ...") for status in ("pending", "success")]
    plain = Departure(
        node("w1", tasks=3),
        before=ONE,
        after=cluster(node("w2", tasks=3)),
        record={"state": "succeeded", "message": "w1 left (spot interruption): everything that ran there ..."},
        messages=told,
        emptied=1.0,
        died=4.0,
        joined=8.0,
    )
    return dataclasses.replace(plain, **changes)


def off(found: Departure) -> list[str]:
    return [check.name for check in departure_checks(found) if check.problem]


def test_a_machine_that_went_as_promised_passes() -> None:
    assert (off(departure()), departure().over) == ([], True)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"record": {"state": "failed", "message": "w1 left (spot interruption)"}}, "the record says succeeded"),
        ({"record": {"state": "succeeded", "message": "Joined request 1"}}, "its message names the node"),
        ({"emptied": 4.5}, "the node was empty, and demo complete, before its machine died"),
        ({"emptied": None}, "the node was empty, and demo complete, before its machine died"),
        ({"died": None}, "the node was empty, and demo complete, before its machine died"),
        ({"after": cluster(node("w1", tasks=0, state="down"), node("w2", tasks=3))}, "its node has left the Swarm"),
        ({"after": cluster(desired=1)}, "one has come in its place"),
        ({"joined": None}, "it is Ready"),
        ({"after": cluster(node("w2", tasks=3, availability="pause"))}, "every node is Ready and Active, none Down"),
        ({"after": cluster(node("w2", tasks=2))}, "six tasks of demo run"),
        ({"messages": ()}, "people are told of the node"),
    ],
)
def test_what_went_wrong_with_a_machine_is_found_by_name(changes: dict[str, Any], name: str) -> None:
    assert name in off(departure(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"record": {"state": "running", "message": ""}},
        {"joined": None},
        {"after": cluster(node("w2", tasks=2))},
    ],
)
def test_it_is_watched_until_it_is_over(changes: dict[str, Any]) -> None:
    assert not departure(**changes).over


def test_each_thing_is_timed_when_it_is_first_seen() -> None:
    begun = Departure(node("w1", tasks=3), ONE, ONE, {"state": "no record", "message": ""}, ())
    looks = [
        (cluster(node("w1", tasks=1)), 0.5),
        (cluster(node("w1", tasks=0), node("w0", tasks=3)), 1.0),
        (cluster(node("w1", tasks=0), node("w0", tasks=3)), 1.5),
        (cluster(node("w1", tasks=0, state="down"), node("w0", tasks=3)), 4.0),
        (cluster(node("w2", tasks=0, state="unknown"), node("w0", tasks=3)), 5.0),
    ]
    seen = begun
    for look, seconds in looks:
        seen = Interruption.after(seen, (look, None), seconds)
    assert (seen.emptied, seen.died) == (1.0, 4.0)
