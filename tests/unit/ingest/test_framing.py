"""Framing, on buffers: what is rewritten, and that nothing else is touched."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.framing import without_trailers, write_plainly

HEAD = b"POST / HTTP/1.1\r\n"
PARTS = st.lists(
    st.sampled_from(
        [b"0", b"00", b"a", b";x=y", b"\r\n", b"\r", b"\n", b"A: b", b"A:", b" ", b"\t", b"GET / HTTP/1.1"]
    ),
    max_size=12,
).map(b"".join)


@pytest.mark.parametrize(
    "line",
    [
        b"X: a\ntransfer-encoding: Chunked",
        b"X-Transfer-Encoding: Chunked",
        b"Transfer-Encoding: Chunked, gzip",
        b"Transfer-Encoding: gzip",
        b"Transfer-Encoding : Chunked",
        b"A: b\r\n\r\nTransfer-Encoding: Chunked",
    ],
)
def test_only_a_header_that_says_chunked_is_rewritten(line: bytes) -> None:
    buffer = bytearray(HEAD + line + b"\r\n\r\nbody")
    write_plainly(buffer)
    assert buffer == HEAD + line + b"\r\n\r\nbody"


def test_what_follows_stays_where_it_is() -> None:
    buffer = bytearray(HEAD + b"TRANSFER-ENCODING:\tCHUNKED \r\nA: b\r\n\r\n2\r\n")
    write_plainly(buffer)
    assert buffer == HEAD + b"transfer-encoding: chunked\r\nA: b\r\n\r\n2\r\n"


@given(PARTS, PARTS)
def test_trailers_are_taken_whole_or_not_at_all(section: bytes, rest: bytes) -> None:
    """What is taken lies between the last chunk's size and the empty line; what follows is never touched."""
    whole = b"\r\n0\r\n" + section + b"\r\n\r\n" + rest
    buffer = bytearray(whole)
    if without_trailers(buffer):
        assert whole.endswith(bytes(buffer[5:]))
        taken = whole[5 : len(whole) - len(buffer) + 5]
        assert buffer == whole or (taken.endswith(b"\r\n") and b"\r\n\r\n" not in taken)
        assert buffer == whole or buffer.startswith(b"\r\n0\r\n\r\n")
    else:
        assert buffer == whole


@pytest.mark.parametrize("end", range(len(b"\r\n0\r\nA: b\r\n\r")))
def test_trailers_of_which_some_are_still_to_come_are_waited_for(end: int) -> None:
    buffer = bytearray(b"\r\n0\r\nA: b\r\n\r"[:end])
    assert not without_trailers(buffer)
    assert buffer == b"\r\n0\r\nA: b\r\n\r"[:end]
