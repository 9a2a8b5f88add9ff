"""A cluster to look at: what a worker would have written, with something of everything."""

from datetime import timedelta

from ingest.stored import Lease, Stored
from shared.records import Record, State, Step
from shared.status import (
    Active,
    GroupStatus,
    Heartbeat,
    NodeStatus,
    Obstacle,
    PauseStatus,
    RequestStatus,
    Status,
    StepStatus,
    Trouble,
)
from tests.fakes.ingest import NOON, record

EARLIER = NOON - timedelta(minutes=4)
UP = "3f1b6a0e-7c1d-4b6e-9b0a-0a4f6f1f7c11"


def node(number: int, *, manager: bool = False) -> NodeStatus:
    """One of the nodes: every third could go."""
    keeps = (
        Obstacle(
            code="would-not-fit", sentence=f"web.{number} (256 MiB) finds no place: insufficient memory on 3 nodes"
        ),
    )
    return NodeStatus(
        hostname=f"ip-10-0-{number // 250}-{number % 250}",
        id=f"n{number:024d}",
        instance=f"i-{number:017x}",
        type="manager" if manager else "worker",
        zone=f"us-east-1{'abc'[number % 3]}",
        state="ready",
        availability="active",
        leader=manager and number == 1,
        launched_at=EARLIER,
        tasks=number % 17,
        removable=(Obstacle(code="at-minimum", sentence="3 nodes are wanted, and the minimum of 3 counts"),)
        if manager
        else "yes"
        if number % 3 == 0
        else keeps,
    )


def status(workers: int = 5, *, trouble: bool = True) -> Status:
    """Three managers, and workers."""
    nodes = (*(node(number, manager=True) for number in (1, 2, 3)), *(node(10 + number) for number in range(workers)))
    absent = NodeStatus(instance="i-0123456789abcdef0", type="worker", state="not joined", launched_at=EARLIER)
    waiting = {
        "what": f"{workers + 1} worker nodes to be Ready in the Swarm",
        "since": "2026-11-22T11:57:00.000Z",
        "until": "2026-11-22T12:13:40.000Z",
        "behind": None,
        "last_error": None,
    }
    steps = tuple(
        StepStatus(name=name, started_at=EARLIER, ended_at=None if name == "wait" else EARLIER)
        for name in ("plan", "apply", "wait")
    )
    request = RequestStatus(
        id=UP,
        action="scale-nodes",
        scale="up",
        type="worker",
        by=1,
        state="running",
        step="wait",
        steps=steps,
        waiting_for=waiting,
        message=f"Changing the number of worker nodes on aws from {workers} to {workers + 1}",
        asked_by={"alerts": ["node_mem_limit_total_above"]},
        requested_at=EARLIER,
        reason="Total memory of the nodes is over 0.8",
    )
    return Status(
        cluster="production",
        active=Active(worker="ip-10-0-0-1-7-1f2e3d4c", since=EARLIER),
        paused=PauseStatus(since=EARLIER, until=NOON + timedelta(hours=2), by="ann", reason="a deployment")
        if trouble
        else None,
        groups=(
            GroupStatus(
                type="worker",
                name="swarm-NodeAsg-1ABC",
                desired=workers + 1,
                instances=workers + 1,
                ready=workers,
                min=0,
                max=max(10, workers + 4),
                min_from="DEFAULT_MIN_WORKER_NODES",
                max_from="DEFAULT_MAX_WORKER_NODES",
            ),
            GroupStatus(
                type="manager",
                name="swarm-ManagerAsg-2DEF",
                desired=3,
                instances=3,
                ready=3,
                min=3,
                max=7,
                min_from="DEFAULT_MIN_MANAGER_NODES",
                max_from="MaxSize of swarm-ManagerAsg-2DEF",
            ),
        ),
        nodes=(*nodes, absent),
        requests=(request,),
        troubles=(Trouble(what="Docker", since=EARLIER, last_error="no answer within 5 seconds"),) if trouble else (),
        as_of=NOON,
        judged_at=NOON - timedelta(seconds=40),
    )


def stored(workers: int = 5, *, trouble: bool = True, active: bool = True) -> Stored:
    """What stands in the table."""
    beat = Heartbeat(worker="ip-10-0-0-1-7-1f2e3d4c", since=EARLIER, at=NOON, revision=3, renewals=9, renewed_at=NOON)
    return Stored(
        status=status(workers, trouble=trouble),
        status_token=4,
        status_revision=3,
        heartbeat=beat,
        heartbeat_token=4,
        lease=Lease("ip-10-0-0-1-7-1f2e3d4c" if active else None, 4, 9),
    )


def down() -> Record:
    """A scale-down that has ended."""
    names = ("plan", "drain", "terminate", "remove")
    lengths = (1, 42, 9, 20)
    steps, at = [], EARLIER
    for name, seconds in zip(names, lengths, strict=True):
        steps.append(Step(name, at, at + timedelta(seconds=seconds)))
        at += timedelta(seconds=seconds)
    return record(
        "down-1",
        State.SUCCEEDED,
        "Changing the number of worker nodes on aws from 6 to 5; 5 worker nodes are up, ip-10-0-0-12 removed",
        scale="down",
        type="worker",
        by=1,
        steps=tuple(steps),
        requested_at=EARLIER - timedelta(seconds=2),
        received_at=EARLIER,
        started_at=EARLIER,
        ended_at=at,
        nodes_before=6,
        nodes_after=5,
        reason="quiet night",
        asked_by={"user": "ann", "address": "10.0.0.7"},
        plan={
            "chosen": {"ip-10-0-0-12": "2 tasks to move, in the fullest zone"},
            "passed_over": [
                {"name": "ip-10-0-0-10", "reason": "protected", "text": "node label com.df.scaler.protect=true"}
            ],
        },
        warnings=("Label com.df.scaleMax=many is not a whole number",),
    )


def records() -> list[Record]:
    """The newest requests."""
    up = record(
        UP, State.RUNNING, "Changing the number of worker nodes on aws from 5 to 6", scale="up", type="worker", by=1
    )
    failed = record(
        "failed-1", State.FAILED, "No <b>node</b> could go: web would find no place", scale="down", type="worker", by=2
    )
    skipped = record(
        "skipped-1",
        State.SKIPPED,
        "worker nodes are already scaled to the maximum number of 10 nodes",
        scale="up",
        type="worker",
        by=1,
    )
    return [up, down(), failed, skipped]
