"""A caller of ingest: it posts, and follows what becomes of its requests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import requests

from tests.waiting import LOOK, WITHIN, until

ENDED: Final = frozenset({"succeeded", "failed", "skipped"})
UP: Final[Mapping[str, Any]] = {"groupLabels": {"scale": "up"}}
DOWN: Final[Mapping[str, Any]] = {"groupLabels": {"scale": "down"}}
NODES: Final = "/v1/scale-nodes?by=1&type=worker"
_ANSWER: Final = 100.0


def up(node_type: str, number: int) -> str:
    """The sentence that so many nodes are up."""
    return f"{number} {node_type} {'node is' if number == 1 else 'nodes are'} up"


class Caller:
    """Someone who uses one ingest over HTTP."""

    def __init__(self, url: str, headers: Mapping[str, str] | None = None, look: float = LOOK) -> None:
        """`look`: seconds between two looks at a record that is waited for."""
        self.url = url
        self._look = look
        self.http = requests.Session()
        self.http.trust_env = False
        self.http.headers.update(headers or {})

    def post(self, path: str, body: object = None, **headers: str) -> requests.Response:
        """As `curl -d` does: the content type says nothing of JSON."""
        data = b"" if body is None else json.dumps(body).encode()
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return self.http.post(self.url + path, data=data, headers={**kind, **headers}, timeout=_ANSWER)

    def get(self, path: str) -> requests.Response:
        """Any GET."""
        return self.http.get(self.url + path, timeout=_ANSWER)

    def queued(self, path: str, body: object = None) -> str:
        """Post what must be accepted; the request's id."""
        answer = self.post(path, body)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def record(self, request_id: str) -> dict[str, Any] | None:
        """A request's record, once there is one."""
        answer = self.get(f"/v1/requests/{request_id}")
        return answer.json() if answer.status_code == 200 else None

    def ended(self, request_id: str, within: float = WITHIN) -> dict[str, Any]:
        """Its record when it has ended."""

        def probe() -> dict[str, Any] | None:
            record = self.record(request_id)
            return record if record and record["state"] in ENDED else None

        return until(probe, f"the end of {request_id}", within, self._look)

    def at_step(self, request_id: str, step: str) -> dict[str, Any]:
        """Its record while it is at a step."""

        def probe() -> dict[str, Any] | None:
            record = self.record(request_id)
            assert not record or record["state"] not in ENDED, record
            return record if record and record["step"] == step else None

        return until(probe, f"step {step} of {request_id}")

    def close(self) -> None:
        """Hang up."""
        self.http.close()
