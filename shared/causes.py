"""Why a call over the network failed, in the words of an operator: no Python in what people read."""

import http.client
import json
import os
import socket
import ssl
from collections.abc import Iterator

import aiohttp

LONGEST = 200


def cause(error: BaseException) -> str:
    """One short line about an error of the network or of a client library."""
    words = next(filter(None, map(_known, _chain(error))), None)
    text = " ".join((words or str(error) or type(error).__name__).split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what it came from, as the interpreter knows it or as botocore's errors keep it."""
    seen: list[BaseException] = []
    current: object = error
    while isinstance(current, BaseException) and current not in seen:
        seen.append(current)
        yield current
        kept = getattr(current, "kwargs", None)
        wrapped = kept.get("error") if isinstance(kept, dict) else None
        current = wrapped or current.__cause__ or current.__context__


def _known(error: BaseException) -> str | None:
    return _broken_answer(error) or _no_connection(error)


def _broken_answer(error: BaseException) -> str | None:
    match error:
        case aiohttp.ServerDisconnectedError() | http.client.RemoteDisconnected():
            return "the connection was closed without an answer"
        case http.client.IncompleteRead() | aiohttp.ClientPayloadError():
            return "the answer breaks off"
        case json.JSONDecodeError():
            return "the answer is not JSON"
        case UnicodeDecodeError():
            return "the answer is not UTF-8 text"
        case aiohttp.ClientResponseError():
            return "the answer is not HTTP"
        case _:
            return None


def _no_connection(error: BaseException) -> str | None:
    match error:
        case TimeoutError():
            return "no answer in time"
        case aiohttp.ClientConnectorCertificateError():
            return f"cannot connect to {error.host}:{error.port} ({_untrusted(error.certificate_error)})"
        case aiohttp.ClientConnectorError():
            return f"cannot connect to {error.host}:{error.port} ({_reason(error.os_error)})"
        case aiohttp.InvalidURL():
            return f"not a URL that can be called: {error.url}"
        case OSError() if error.errno is not None:
            return _reason(error)
        case _:
            return None


def _reason(error: OSError) -> str:
    """What the operating system says; asyncio puts addresses in its place."""
    if isinstance(error, ssl.SSLError):
        return _untrusted(error)
    if isinstance(error, socket.gaierror) or not error.errno or error.errno < 0:
        return error.strerror or str(error) or "no reason given"
    return os.strerror(error.errno).lower()


def _untrusted(error: Exception) -> str:
    """Why TLS did not come about."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not trusted: {error.verify_message or error.reason}"
    return f"TLS failed: {str(getattr(error, 'reason', None) or 'no reason given').lower().replace('_', ' ')}"
