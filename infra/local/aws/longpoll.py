"""SQS long polls that notice when their client has gone.

moto's own long poll waits in the server; when the client gives up, the wait goes on and swallows the next
message until its visibility timeout. Here a poll is a short receive, repeated when something may have become
visible: a message was sent or made visible, a visibility timeout ended, the client hung up. In between the
thread sleeps in `poll(2)` on the client's socket and a pipe, at no cost.
"""

from __future__ import annotations

import json
import os
import select
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, Literal

from moto.sqs.models import sqs_backends

from infra.local.aws.request import ConnectionDropped, Handler, Reply, Request
from infra.local.aws.world import REGION, World

LONGEST_WAIT: Final = 20
# A message that reached the queue by a way that does not ring (moto moving it to a dead-letter queue).
SAFETY_NET_SECONDS: Final = 5.0
_WAKERS: Final = frozenset(
    {"SendMessage", "SendMessageBatch", "ChangeMessageVisibility", "ChangeMessageVisibilityBatch", "ReceiveMessage"}
)

Woken = Literal["rung", "gone", "time"]


class Bell:
    """One sleeping receive: it can be rung, and it sees its client's socket."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()

    def ring(self) -> None:
        """Wake the sleeper."""
        os.write(self._writer, b"!")

    def close(self) -> None:
        """Free the pipe."""
        os.close(self._reader)
        os.close(self._writer)

    def wait(self, client: socket.socket | None, seconds: float) -> Woken:
        """Sleep until rung, until the client has gone, or for so long."""
        poll = select.poll()
        poll.register(self._reader, select.POLLIN)
        if client is not None:
            poll.register(client, select.POLLIN)
        ready = [descriptor for descriptor, _ in poll.poll(max(0.0, seconds) * 1000)]
        if client is not None and client.fileno() in ready and has_gone(client):
            return "gone"
        return "rung" if self._reader in ready else "time"


class Bells:
    """The sleeping receives of every queue."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sleeping: dict[str, set[Bell]] = defaultdict(set)

    @contextmanager
    def listening(self, queue: str) -> Iterator[Bell]:
        """A bell that rings for `queue`; to be opened before one looks, so that nothing falls in between."""
        bell = Bell()
        with self._lock:
            self._sleeping[queue].add(bell)
        try:
            yield bell
        finally:
            with self._lock:
                self._sleeping[queue].discard(bell)
            bell.close()

    def ring(self, queue: str) -> None:
        """Something may have become visible in `queue`."""
        with self._lock:
            for bell in self._sleeping.get(queue, ()):
                bell.ring()

    def ring_all(self) -> None:
        """Let every sleeper look again, and see whether it is still wanted."""
        with self._lock:
            for bells in self._sleeping.values():
                for bell in bells:
                    bell.ring()


class LongPolls:
    """Answers SQS requests by means of short ones."""

    def __init__(self, world: World, answer: Handler, wanted: Callable[[], bool]) -> None:
        self._world = world
        self._answer = answer
        self._wanted = wanted
        self.bells = Bells()

    def handle(self, request: Request) -> Reply:
        """Any SQS request. Raises ConnectionDropped where nobody waits for the answer any more."""
        queue = queue_name(request)
        if request.action == "ReceiveMessage" and (wait := self._wait_seconds(request, queue)):
            return self._receive(request.asking(WaitTimeSeconds=0), queue, time.monotonic() + wait)
        reply = self._answer(request)
        if request.action in _WAKERS:
            self.bells.ring(queue)
        return reply

    def _receive(self, request: Request, queue: str, deadline: float) -> Reply:
        while True:
            with self.bells.listening(queue) as bell:
                reply = self._look(request)
                left = deadline - time.monotonic()
                if left <= 0 or not is_empty(request, reply):
                    return reply
                bell_rang = bell.wait(request.client, min(left, self._until_visible(queue)))
            if bell_rang == "gone":
                raise ConnectionDropped

    def _look(self, request: Request) -> Reply:
        """A short receive on behalf of a client that is there."""
        with self._world.lock:
            if not self._wanted() or (request.client is not None and has_gone(request.client)):
                raise ConnectionDropped
            return self._answer(request)

    def _until_visible(self, queue: str) -> float:
        now = time.time()
        with self._world.lock:
            hidden = [at - now for at in visible_times(self._world.account_id, queue) if at > now]
        return min([SAFETY_NET_SECONDS, *(seconds + 0.002 for seconds in hidden)])

    def _wait_seconds(self, request: Request, queue: str) -> int:
        asked = request.parameters().get("WaitTimeSeconds")
        if asked is None:
            found = _queue(self._world.account_id, queue)
            return 0 if found is None else int(found.receive_message_wait_time_seconds)
        return int(asked) if 0 < int(asked) <= LONGEST_WAIT else 0  # out of range: moto refuses it


def has_gone(client: socket.socket) -> bool:
    """Whether the peer has closed its side: nobody would read an answer."""
    try:
        return client.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def is_empty(request: Request, reply: Reply) -> bool:
    """Whether a receive brought nothing (an error is something)."""
    if reply.status != 200:
        return False
    if request.protocol == "json":
        return not json.loads(reply.body or b"{}").get("Messages")
    return b"<Message>" not in reply.body


def queue_name(request: Request) -> str:
    """The queue a request is about, by the last part of its URL."""
    return str(request.parameters().get("QueueUrl", request.path)).rpartition("/")[2]


def visible_times(account_id: str, queue: str) -> list[float]:
    """When each message of a queue is or was due to be seen, as `time.time()`."""
    found = _queue(account_id, queue)
    messages = () if found is None else found._messages  # noqa: SLF001 - moto keeps them nowhere else
    return [max(message.visible_at, message.delayed_until) / 1000 for message in messages]


def _queue(account_id: str, queue: str) -> Any:
    return sqs_backends[account_id][REGION].queues.get(queue)
