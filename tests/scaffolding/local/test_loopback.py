"""Free ports: whoever is given one listens on it only later."""

from __future__ import annotations

import os
import socket
from itertools import islice

import pytest

from infra.local import loopback
from infra.local.loopback import free_ports

DRAWN = 40


def test_a_port_does_not_come_twice_soon_whoever_draws() -> None:
    drawn = [next(free_ports()) for _ in range(DRAWN)]
    assert len(set(drawn)) == DRAWN


def test_processes_side_by_side_draw_from_different_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    for pid in (4711, 4712):
        monkeypatch.setattr(os, "getpid", lambda pid=pid: pid)
        drawn.append(set(islice(loopback._own_ports.__wrapped__(), 1000)))
    first, second = drawn
    assert (len(first), len(second), first & second) == (100, 100, set())


def test_a_port_on_which_somebody_listens_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port, free = taken.getsockname()[1], next(free_ports())
        monkeypatch.setattr(loopback, "_own_ports", lambda: iter([port, free] * 3))
        assert list(islice(free_ports(), 1)) == [free]
        monkeypatch.setattr(loopback, "_own_ports", lambda: iter([port]))
        with pytest.raises(OSError, match="no free port"):
            next(free_ports())
