"""The README's picture of the page: what is shown on it, and which headings the picture itself says it shows.

A PNG may hold words beside its pixels (a chunk `tEXt`): there the page's headings stand as they were when the picture
was made, so that a test without a browser can tell that the page has others now.
"""

from __future__ import annotations

import html
import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from shared.status import Queue
from tests.behaviour.ingest import sample
from tests.behaviour.ingest.serving import Service

PICTURE: Final = Path(__file__).parents[3] / "docs" / "page.png"
WIDTH: Final = 1000
SETTINGS: Final = {"SCALER_CLUSTER": "production"}
MOST_BYTES: Final = 200_000
_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_PIXELS, _WORDS, _END = b"IDAT", b"tEXt", b"IEND"
_KEY: Final = b"headings\0"
_BYTES_A_PIXEL: Final = 3


def fill(service: Service) -> None:
    """A cluster on an ordinary day: a node more is on its way, and one thing is wrong."""
    service.journal.stored = sample.stored(3, trouble=False)
    service.counts.queue = Queue(waiting=0, dead_letters=1)
    changing = "Changing the number of worker nodes on aws from"
    service.journal.write(sample.records()[0].but(message=f"{changing} 3 to 4"))
    service.journal.write(sample.down().but(message=f"{changing} 4 to 3; 3 worker nodes are up, ip-10-0-0-13 removed"))


def headings(page: str) -> list[str]:
    """The words of a page's headings, and of its tables' first rows."""
    found = re.findall(r"<(h[123]|th scope=\"col\")[^>]*>(.*?)</(?:h[123]|th)>", page, re.DOTALL)
    texts = [" ".join(html.unescape(re.sub(r"<[^>]*>", " ", text)).split()) for _, text in found]
    return [text for text in texts if text != "Sure?"]  # of the dialog, which is shut


def labelled(picture: bytes, page: str) -> bytes:
    """A picture with the headings of the page that it shows, packed closely: flat colours without PNG's filters."""
    header, *others = _chunks(picture)
    lines = zlib.decompress(b"".join(data for kind, data in others if kind == _PIXELS))
    pixels = zlib.compress(_unfiltered(lines, int.from_bytes(header[1][:4], "big") * _BYTES_A_PIXEL), 9)
    words = _KEY + "\n".join(headings(page)).encode("latin-1", "replace")
    kept = [each for each in others if each[0] not in {_PIXELS, _END}]
    return _SIGNATURE + b"".join(map(_chunk, [header, (_WORDS, words), *kept, (_PIXELS, pixels), (_END, b"")]))


def label(picture: bytes) -> list[str]:
    """The headings that a picture says it shows; none where it does not say. Raises ValueError for what is no PNG."""
    words = [data for kind, data in _chunks(picture) if kind == _WORDS and data.startswith(_KEY)]
    return words[0].removeprefix(_KEY).decode("latin-1").split("\n") if words else []


def _unfiltered(lines: bytes, width: int) -> bytes:
    """Lines of pixels, each behind a 0: https://www.w3.org/TR/png-3/#9Filters"""
    found, above = bytearray(), bytearray(width)
    for start in range(0, len(lines), width + 1):
        kind, line = lines[start], bytearray(lines[start + 1 : start + 1 + width])
        for at in range(width if kind else 0):
            left = line[at - _BYTES_A_PIXEL] if at >= _BYTES_A_PIXEL else 0
            corner = above[at - _BYTES_A_PIXEL] if at >= _BYTES_A_PIXEL else 0
            line[at] = (line[at] + _foretold(kind, left, above[at], corner)) & 255
        found += b"\0" + line
        above = line
    return bytes(found)


def _foretold(kind: int, left: int, above: int, corner: int) -> int:
    """What a filter expects of a byte."""
    if kind == 4:
        middle = left + above - corner
        return min((left, above, corner), key=lambda each: abs(middle - each))
    return (0, left, above, (left + above) // 2)[kind]


def _chunks(picture: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and data of each: https://www.w3.org/TR/png-3/#5Chunk-layout"""
    if not picture.startswith(_SIGNATURE):
        raise ValueError("not a PNG")
    at = len(_SIGNATURE)
    while at < len(picture):
        (length,) = struct.unpack(">I", picture[at : at + 4])
        yield picture[at + 4 : at + 8], picture[at + 8 : at + 8 + length]
        at += 12 + length


def _chunk(chunk: tuple[bytes, bytes]) -> bytes:
    kind, data = chunk
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
