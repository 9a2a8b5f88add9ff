"""Documents as ingest says them."""

from __future__ import annotations

from typing import Any

_AT = "2026-11-27T02:00:0{}.000Z"
STATUS: dict[str, Any] = {
    "cluster": "blue",
    "active": {"worker": "manager-1", "since": _AT.format(0), "lease_age": 1.5},
    "paused": {"since": _AT.format(0), "until": None, "by": "alice", "reason": "the network is being moved"},
    "groups": [
        {
            "type": "worker",
            "name": "NodeAsg",
            "desired": 3,
            "instances": 2,
            "ready": 2,
            "min": 0,
            "max": 5,
            "min_from": "DEFAULT_MIN_WORKER_NODES",
            "max_from": "MaxSize",
            "protected": True,
            "debt": 1,
            "debt_reason": "no capacity",
            "suspended": ["Terminate"],
        }
    ],
    "nodes": [
        {
            "hostname": "ip-10-0-3-12",
            "id": "n1",
            "instance": "i-1",
            "type": "worker",
            "zone": "a",
            "state": "ready",
            "availability": "active",
            "leader": False,
            "tasks": 2,
            "protected": False,
            "removable": [{"code": "would-not-fit", "sentence": "web.1 fits on no other node"}],
        },
        {
            "hostname": "ip-10-0-3-13",
            "id": "n2",
            "instance": "i-2",
            "type": "worker",
            "zone": "b",
            "state": "ready",
            "availability": "active",
            "tasks": 0,
            "protected": True,
            "removable": "yes",
        },
    ],
    "requests": [],
    "problems": [{"code": "old-queue", "sentence": "Messages wait, and nobody takes them"}],
    "troubles": [{"what": "Docker", "since": _AT.format(1), "last_error": "no answer in time"}],
    "queue": {"waiting": 4, "oldest": 12.5, "dead_letters": 1},
    "as_of": _AT.format(9),
    "age": 0.4,
}


def record(state: str, message: str = "", **more: Any) -> dict[str, Any]:
    """A scale-up's."""
    ended = state in ("succeeded", "failed", "skipped")
    return {
        "id": "r1",
        "action": "scale-nodes",
        "scale": "up",
        "type": "worker",
        "by": 1,
        "state": state,
        "message": message,
        "step": "plan",
        "requested_at": _AT.format(0),
        "started_at": _AT.format(1),
        "ended_at": _AT.format(5) if ended else None,
        "steps": [{"name": "plan", "started_at": _AT.format(1), "ended_at": _AT.format(2)}],
        **more,
    }
