"""The errors that end more than one call, and the error boundary: what nobody expected costs its unit of work only."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from shared.errors import Refused, ScalerError

log = structlog.get_logger()


class LeadershipOver(ScalerError):
    """This worker must not go on as the active one."""


class LeaseLost(LeadershipOver):
    """The lease is not ours any more, or cannot be proved to be. Everything stops; another worker goes on."""


class Fenced(LeaseLost):
    """An item of the journal carries another worker's token: we were taken over. Nothing was written."""


class SwarmLost(LeadershipOver):
    """The Docker socket has not answered as a manager of a Swarm with a leader for too long."""


class OwnNodeLeaves(LeadershipOver):
    """AWS takes away the machine that this worker runs on: another worker should go on."""


def leadership_end(group: ExceptionGroup) -> LeadershipOver | None:
    """The first error in a group, however deep, that ends the leadership. None: there is none."""
    for error in group.exceptions:
        found = leadership_end(error) if isinstance(error, ExceptionGroup) else error
        if isinstance(found, LeadershipOver):
            return found
    return None


class Revised(Refused):
    """A node was not changed: somebody has set another availability than was expected."""

    def __init__(self, node_id: str, availability: str) -> None:
        super().__init__(f"The availability of node {node_id} is {availability} by now")
        self.availability = availability


class GaveUp(ScalerError):
    """This request cannot go on; its text says what, why, and what to do. The flow undoes what must be undone."""

    def __init__(self, text: str, code: str = "") -> None:
        super().__init__(text)
        self.code = code
        """Of the reason that keeps the node which the request is about (`decisions.reasons`). Empty: it has none."""


class Cancelled(GaveUp):
    """Somebody has cancelled this request: it goes no further."""


@contextmanager
def error_boundary(
    event: str,
    then: Callable[[Exception], None] | None = None,
    *,
    expected: tuple[type[Exception], ...] = (),
    **fields: object,
) -> Iterator[None]:
    """Log what nobody expected, and go on behind the block.

    What was expected passes through, and so do the end of the leadership and cancellation.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, (LeadershipOver, *expected)):
            raise
        log.exception(event, **fields)
        if then is not None:
            then(error)
