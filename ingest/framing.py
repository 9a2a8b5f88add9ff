"""How a request's body is framed: what RFC 9112 allows and Sanic does not read, put as Sanic reads it.

Works on the buffer of bytes that have arrived, in place. What is not understood is left for Sanic to refuse.
"""

import re

from sanic.exceptions import PayloadTooLarge

MOST_TRAILERS = 8192
"""Bytes of all trailers of one request."""

_CODING = re.compile(rb"(?<=\r\n)transfer-encoding:[ \t]*chunked[ \t]*(?=\r\n)", re.IGNORECASE)
_LAST_CHUNK = re.compile(rb"\r\n0+[ \t]*(;[^\r\n]*)?\r\n")
_FIELD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\r\n\0]*")
_LONGEST_SIZE_LINE = 64


def write_plainly(buffer: bytearray) -> None:
    """Write `Transfer-Encoding: Chunked` in small letters: codings have no case (RFC 9112, section 7)."""
    end = buffer.find(b"\r\n\r\n")
    match = _CODING.search(buffer, 0, end + 2) if end >= 0 else None
    if match:
        buffer[match.start() : match.end()] = b"transfer-encoding: chunked"


def without_trailers(buffer: bytearray) -> bool:
    """Take trailers off that begin the buffer behind the last chunk. False while it cannot be told yet.

    The buffer begins with the line break before a chunk's size (RFC 9112, section 7.1). Trailers must be dropped: left
    where they are, they would be read as the next request. Raises PayloadTooLarge.
    """
    if buffer.find(b"\r\n", 3) < 0:
        return len(buffer) > _LONGEST_SIZE_LINE  # no size is so long: Sanic refuses it
    last = _LAST_CHUNK.match(buffer)
    if last is None:
        return True
    end = buffer.find(b"\r\n\r\n", last.end() - 2)
    if (len(buffer) if end < 0 else end) - last.end() > MOST_TRAILERS:
        raise PayloadTooLarge("The trailers exceed the size limit")
    if end < 0:
        return False
    if all(map(_FIELD.fullmatch, bytes(buffer[last.end() : end]).split(b"\r\n"))):
        del buffer[last.end() : end + 2]
    return True
