"""Whether a caller that sends nothing more is still there to read its answer."""

import socket
from typing import Any

IDLE_SECONDS = 15
"""Before the first probe, and between two."""

_CLOSED = 7
"""TCP_CLOSE of Linux's netinet/tcp.h: the first byte of TCP_INFO is the connection's state."""


def probe(transport: Any) -> None:
    """Have the system ask the caller's system now and then whether it still knows the connection."""
    connection = _socket(transport)
    if connection is None:
        return
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, IDLE_SECONDS)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, IDLE_SECONDS)
    except OSError:  # closed already, or no TCP
        return


def gone(transport: Any) -> bool:
    """Whether the connection is over. Always false where the system does not tell (it is not Linux)."""
    connection = _socket(transport)
    if connection is None:
        return False
    try:
        state: bytes = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)
    except OSError:
        return True
    return state[0] == _CLOSED


def _socket(transport: Any) -> Any:
    if transport is None or transport.is_closing() or not hasattr(socket, "TCP_INFO"):
        return None
    return transport.get_extra_info("socket")
