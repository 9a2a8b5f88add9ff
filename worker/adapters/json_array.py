"""A JSON array read element by element as its text comes in: long lists never stand whole in memory."""

import codecs
import json
from collections.abc import Iterator
from typing import Any


def elements(chunks: Iterator[bytes]) -> Iterator[Any]:
    """The elements of a JSON array of objects, as its text comes in. Raises ValueError where it is not one."""
    scan = json.JSONDecoder().raw_decode
    decoder = codecs.getincrementaldecoder("utf-8")()
    text, position = "", 0
    for chunk in chunks:
        text, position = text[position:] + decoder.decode(chunk), 0
        while True:
            position = _next(text, position)
            try:
                element, position = scan(text, position)
            except ValueError:  # not all here yet
                break
            if element is None:  # Go's empty list
                return
            yield element
    if text[position:].strip() != "]":
        raise ValueError("the answer ends in the middle of a list")


def _next(text: str, position: int) -> int:
    """Where the next element begins: past white space, the opening bracket and commas."""
    while position < len(text) and text[position] in " \t\r\n[,":
        position += 1
    return position
