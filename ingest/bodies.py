"""Reading bodies: no longer than allowed, and not too many at once."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from sanic.exceptions import PayloadTooLarge, ServiceUnavailable

LONGEST = 1024 * 1024
"""Bytes of one body."""
TOGETHER = 32 * LONGEST
"""Bytes of all bodies that are being read."""


class Bodies:
    """Reads bodies, and knows how much it holds of them."""

    def __init__(self) -> None:
        self._held = 0

    async def read(self, chunks: AsyncIterator[bytes], announced: str | None) -> bytes:
        """The whole body. Raises PayloadTooLarge, on the announced length alone where there is one."""
        if announced is not None and announced.isdigit() and int(announced) > LONGEST:
            raise _too_large()
        body = bytearray()
        with self._holding(body):
            async for chunk in chunks:
                body += chunk
                self._held += len(chunk)
                self._check(body)
            return bytes(body)

    def _check(self, body: bytearray) -> None:
        if len(body) > LONGEST:
            raise _too_large()
        if self._held > TOGETHER:
            raise ServiceUnavailable("Too many requests are arriving at once, repeat it")

    @contextmanager
    def _holding(self, body: bytearray) -> Iterator[None]:
        try:
            yield
        finally:
            self._held -= len(body)


def _too_large() -> PayloadTooLarge:
    return PayloadTooLarge(f"The body is longer than the {LONGEST} bytes that are allowed")
