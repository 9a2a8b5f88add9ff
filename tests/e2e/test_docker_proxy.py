"""The tap on a Docker socket sees what was carried out, also when nobody is there any more to hear of it."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.docker_proxy import DockerProxy, proxied
from tests.e2e.tap import Interception, Point, Tap, named
from tests.waiting import until

UPDATE = named("POST /services/*/update")
ASKED = b"POST /v1.41/services/web/update?version=7 HTTP/1.1\r\nHost: docker\r\nContent-Length: 2\r\n\r\n{}"
DONE = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
REFUSED = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"
PATIENCE = 20.0


@contextmanager
def _asking(tap: Tap) -> Iterator[tuple[DockerProxy, socket.socket, socket.socket]]:
    """A client that has asked for an update, and an engine that has read so and not answered."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        engine = Path(folder) / "engine.sock"
        listener.bind(str(engine))
        listener.listen()
        listener.settimeout(PATIENCE)
        with proxied(Path(folder) / "docker.sock", engine, tap) as proxy, socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE)
            client.connect(str(proxy.path))
            client.sendall(ASKED)
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(PATIENCE)
                assert connection.recv(len(ASKED), socket.MSG_WAITALL) == ASKED
                yield proxy, client, connection


def _is_over(engine: socket.socket) -> None:
    assert engine.recv(1) == b""


def test_a_call_counts_whose_client_dies_before_the_answer() -> None:
    tap = Tap()
    with _asking(tap) as (_, client, engine):
        client.close()
        assert not tap.done(UPDATE)
        engine.sendall(DONE)
        until(lambda: tap.done(UPDATE), "the update, seen by the tap")
        _is_over(engine)


def test_a_call_counts_that_is_under_way_when_the_socket_vanishes() -> None:
    tap = Tap()
    with _asking(tap) as (proxy, client, engine):
        proxy.close()
        assert client.recv(1) == b""
        engine.sendall(DONE)
        until(lambda: tap.done(UPDATE), "the update, seen by the tap")
        _is_over(engine)


@pytest.mark.parametrize("answer", [REFUSED, b""], ids=["refused", "hung up"])
def test_a_call_does_not_count_that_was_not_carried_out(answer: bytes) -> None:
    tap = Tap()
    with _asking(tap) as (_, client, engine):
        client.shutdown(socket.SHUT_WR)
        engine.sendall(answer)
        engine.shutdown(socket.SHUT_WR)
        _is_over(engine)
    assert not tap.done(UPDATE)


def test_a_trap_knows_its_prey_and_keeps_the_answer_back() -> None:
    tap = Tap()
    interception = Interception(Point("after the update", UPDATE, after=True), lambda _: True)
    tap.set(interception)
    with _asking(tap) as (_, client, engine):
        engine.sendall(DONE)
        assert client.recv(1) == b""
    assert interception.done.is_set()
    assert interception.sender == os.getpid()
