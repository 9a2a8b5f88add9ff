"""The one place where unexpected errors end: each costs the unit of work it happened in, never the loop."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from worker.errors import TermOver

log = structlog.get_logger()


@contextmanager
def contained(event: str, then: Callable[[Exception], None] | None = None, **fields: object) -> Iterator[None]:
    """Log what nobody expected, and go on behind the block. The end of the term and cancellation pass through."""
    try:
        yield
    except TermOver:
        raise
    except Exception as error:
        log.exception(event, **fields)
        if then is not None:
            then(error)
