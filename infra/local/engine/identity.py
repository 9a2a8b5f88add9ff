"""Identifiers in the shapes that Swarm and the engine use."""

from random import Random

_BASE36 = "0123456789abcdefghijklmnopqrstuvwxyz"


class Identities:
    """A source of identifiers; the same seed gives the same ones."""

    def __init__(self, seed: int | None = None) -> None:
        self._random = Random(seed)

    def swarm_id(self, _kind: str) -> str:
        """25 digits of base 36, whatever it is that gets the identifier: a node, service, task, network, Swarm."""
        return "".join(self._random.choices(_BASE36, k=25))

    def container_id(self) -> str:
        return f"{self._random.getrandbits(256):064x}"
