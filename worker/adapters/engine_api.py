"""The engine's API for one call: JSON in and out through the SDK's session, inside the time that the call has.

It blocks. Threads, clients and what they cost are left to `engine`.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import requests
from docker import APIClient

from shared.clock import SystemClock
from shared.errors import NotFound, Refused, ScalerError, Unavailable
from worker.adapters.json_array import elements

CHUNK_BYTES = 64 * 1024


class OutOfSequence(Unavailable):
    """An update named a version that is not the newest any more. Nothing was changed."""


_CLOCK = SystemClock()
"""One that runs on while the machine is suspended: what was queued before must not go out afterwards."""


class CallLimit:
    """How long one call may still send and read."""

    def __init__(self, limit: timedelta) -> None:
        self._deadline = _CLOCK.uptime() + limit.total_seconds()
        self.abandoned = False

    def left(self) -> float:
        """Seconds. Raises Unavailable where there are none, or nobody waits for the call any more."""
        left = self._deadline - _CLOCK.uptime()
        if self.abandoned or left <= 0:
            raise Unavailable("Docker: no answer in time")
        return left


class Api:
    """The engine's API for one call, from within its thread. Raises Unavailable, Refused or NotFound."""

    def __init__(self, client: APIClient, limit: CallLimit) -> None:
        self._client = client
        self._limit = limit

    def get(self, path: str, **params: Any) -> Any:
        """The JSON that a path answers with."""
        with self._request("GET", path, params=params) as answer:
            return answer.json()

    def each(self, path: str, filters: Mapping[str, list[str]]) -> Iterator[dict[str, Any]]:
        """The objects of a JSON array, one at a time: 20,000 tasks are 40 MB of JSON and 200 MB as dictionaries."""
        with self._request("GET", path, params={"filters": json.dumps(filters)}, stream=True) as answer:
            yield from elements(self._chunks(answer))

    def post(self, path: str, body: Any, **params: Any) -> None:
        """Send JSON. Raises OutOfSequence too."""
        self._request("POST", path, params=params, json=body).close()

    def delete(self, path: str, **params: Any) -> None:
        """Remove what the path names."""
        self._request("DELETE", path, params=params).close()

    def _request(self, method: str, path: str, **options: Any) -> requests.Response:
        url = f"{self._client.base_url}/v{self._client.api_version}{path}"
        answer = self._client.request(method, url, timeout=self._limit.left(), allow_redirects=False, **options)
        if answer.status_code >= 300:
            with answer:
                raise _refusal(answer)
        return answer

    def _chunks(self, answer: requests.Response) -> Iterator[bytes]:
        for chunk in answer.iter_content(CHUNK_BYTES):
            self._limit.left()
            yield chunk


def _refusal(answer: requests.Response) -> ScalerError:
    """The engine's "no" as one of our errors, in its own words."""
    words = _words(answer)
    if "out of sequence" in words:
        return OutOfSequence(f"Docker: {words}")
    if answer.status_code == 404:
        return NotFound(words)
    if answer.status_code >= 500 or answer.status_code in {408, 429}:
        return Unavailable(f"Docker: {words}")
    return Refused(f"Docker: {words}")


def _words(answer: requests.Response) -> str:
    try:
        return str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        return answer.text.strip()[:500] or f"{answer.status_code} {answer.reason}"
