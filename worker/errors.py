"""The errors that end more than one call: a request's flow, or the worker's whole term."""

from shared.errors import ScalerError


class TermOver(ScalerError):
    """This worker must not go on as the active one."""


class LeaseLost(TermOver):
    """The lease is not ours any more, or cannot be proved to be. Everything stops; another worker goes on."""


class Fenced(LeaseLost):
    """An item of the journal carries another worker's token: we were taken over. Nothing was written."""


class SwarmLost(TermOver):
    """The Docker socket has not answered as a manager of a Swarm with a leader for too long."""


def end_of_term(group: ExceptionGroup) -> TermOver | None:
    """Of what went wrong side by side, and however deep: the first that ends the term. None where nothing does."""
    for error in group.exceptions:
        found = end_of_term(error) if isinstance(error, ExceptionGroup) else error
        if isinstance(found, TermOver):
            return found
    return None


class GaveUp(ScalerError):
    """This request cannot go on; its text says what, why, and what to do. The flow undoes what must be undone."""
