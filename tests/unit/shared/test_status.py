"""The status document, between versions, and how much of the table it takes."""

import random
from datetime import UTC, datetime

import pytest

from shared.status import (
    LONGEST_PACKED,
    GroupStatus,
    Heartbeat,
    NodeStatus,
    Obstacle,
    PauseStatus,
    RequestStatus,
    Status,
    StepStatus,
    packed,
    unpacked,
)

NOON = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)
KEEPS = (Obstacle(code="would-not-fit", sentence="web.1 would find no place: insufficient memory on 3 nodes"),)
WHOLE = Status(
    cluster="default",
    paused=PauseStatus(since=NOON, until=None, by="ann", reason="a deployment"),
    groups=(GroupStatus(type="worker", name="workers", desired=4, debt=1, debt_reason="no capacity"),),
    nodes=(NodeStatus(hostname="a", removable="yes"), NodeStatus(hostname="b", removable=KEEPS)),
    requests=(RequestStatus(id="r", state="running", steps=(StepStatus(name="plan", started_at=NOON),)),),
    as_of=NOON,
)


def test_a_status_survives_the_table() -> None:
    assert Status.parse(unpacked(packed(WHOLE))) == WHOLE


def test_what_a_newer_worker_has_written_is_passed_on() -> None:
    newer = {**WHOLE.document(), "weather": "fine"}
    newer["nodes"][0]["colour"] = "red"
    shown = Status.parse(newer).document()
    assert (shown["weather"], shown["nodes"][0]["colour"]) == ("fine", "red")


@pytest.mark.parametrize("field", WHOLE.document())
def test_a_field_that_cannot_be_read_costs_itself(field: str) -> None:
    spoilt = Status.parse({**WHOLE.document(), field: {"of": ["another", "kind"]}})
    for other in WHOLE.document().keys() - {field}:
        assert getattr(spoilt, other) == getattr(WHOLE, other)


@pytest.mark.parametrize("data", [b"", b"{}", b"x\x9c"])
def test_what_nobody_has_packed_is_told_apart(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a compressed document"):
        unpacked(data)


def large(nodes: int) -> Status:
    """A Swarm whose nodes have nothing in common: ids, addresses and sentences of their own."""
    draw = random.Random(7)

    def node(number: int) -> NodeStatus:
        name = f"ip-10-{number % 7}-{number // 250}-{number % 250}"
        return NodeStatus(
            hostname=name,
            id="".join(draw.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=25)),
            instance=f"i-{draw.getrandbits(68):017x}",
            type="worker",
            zone=f"us-east-1{draw.choice('abcdef')}",
            state="ready",
            availability="active",
            launched_at=NOON,
            tasks=draw.randrange(40),
            removable=(Obstacle(code="would-not-fit", sentence=f"service-{draw.getrandbits(32):x}.{number}: {name}"),),
        )

    return WHOLE.but(nodes=tuple(map(node, range(nodes))))


def test_a_thousand_nodes_take_less_than_a_quarter_of_an_item() -> None:
    """54 KB when it was measured."""
    assert len(packed(large(1000))) < LONGEST_PACKED / 4


def test_a_heartbeat_is_one_write_unit() -> None:
    beat = Heartbeat(worker="ip-10-0-0-1-1-abcdef01", since=NOON, at=NOON, revision=10**6, renewed_at=NOON)
    assert len(packed(beat)) < 1024 - 200
