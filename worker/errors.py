"""The errors that end more than one call: they leave the request alone and end, or change, the worker's whole term."""

from shared.errors import ScalerError


class LeaseLost(ScalerError):
    """The lease is not ours any more, or cannot be proved to be. Everything stops; another worker goes on."""


class Fenced(LeaseLost):
    """An item of the journal carries another worker's token: ours was taken over."""


class SwarmLost(ScalerError):
    """The Docker socket has not answered as a manager of a Swarm with a leader for too long. The lease is given up."""


class GaveUp(ScalerError):
    """This request cannot go on; its text says what, why, and what to do. The flow undoes what must be undone."""
