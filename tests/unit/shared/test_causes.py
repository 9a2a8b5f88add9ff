"""Why a call failed: in words, and on one line."""

from __future__ import annotations

import socket

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey
from botocore.exceptions import EndpointConnectionError, HTTPClientError
from yarl import URL

from shared.causes import LONGEST, cause


def unreachable(error: OSError) -> aiohttp.ClientConnectorError:
    key = ConnectionKey("sqs", 443, True, True, None, None, None, None)
    return aiohttp.ClientConnectorError(key, error)


def caused(error: Exception, by: Exception) -> Exception:
    error.__cause__ = by
    return error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (TimeoutError(), "no answer in time"),
        (ConnectionResetError(104, "Connection reset by peer"), "connection reset by peer"),
        (aiohttp.ServerDisconnectedError(), "the connection was closed without an answer"),
        (aiohttp.InvalidURL(URL("http://x/y")), "not a URL that can be called: http://x/y"),
        (
            unreachable(OSError(111, "Connect call failed ('127.0.0.1', 1)")),
            "cannot connect to sqs:443 (connection refused)",
        ),
        (unreachable(socket.gaierror(-2, "Name not known")), "cannot connect to sqs:443 (Name not known)"),
        (HTTPClientError(error=aiohttp.ServerDisconnectedError()), "the connection was closed without an answer"),
        (caused(aiohttp.ClientError("('Connection aborted.', X())"), TimeoutError()), "no answer in time"),
        (
            EndpointConnectionError(endpoint_url="http://sqs"),
            'Could not connect to the endpoint URL: "http://sqs"',
        ),
        (ValueError("two\nlines"), "two lines"),
        (ValueError(), "ValueError"),
    ],
)
def test_it_is_said_in_words(error: Exception, words: str) -> None:
    assert cause(error) == words


def test_it_is_short() -> None:
    assert len(cause(ValueError("x" * 1000))) == LONGEST
