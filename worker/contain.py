"""The one place where unexpected errors end: each costs the unit of work it happened in, never the loop."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from worker.errors import TermOver

log = structlog.get_logger()


@contextmanager
def contained(
    event: str,
    then: Callable[[Exception], None] | None = None,
    *,
    expected: tuple[type[Exception], ...] = (),
    **fields: object,
) -> Iterator[None]:
    """Log what nobody expected, and go on behind the block.

    What was expected passes through, and so do the end of the term and cancellation.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, (TermOver, *expected)):
            raise
        log.exception(event, **fields)
        if then is not None:
            then(error)
