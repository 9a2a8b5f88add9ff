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


class GaveUp(ScalerError):
    """This request cannot go on; its text says what, why, and what to do. The flow undoes what must be undone."""
