"""The lease store in memory."""

from tests.fakes.hooks import Hooks, Port, hooked
from worker.ports.storage import LeaseItem


class InMemoryLeaseStore(Port):
    """The LeaseStore port. `history` holds every item that was ever written."""

    port = "lease"

    def __init__(self, hooks: Hooks | None = None) -> None:
        super().__init__(hooks)
        self.history: list[LeaseItem] = []

    @property
    def item(self) -> LeaseItem | None:
        """What stands there now."""
        return self.history[-1] if self.history else None

    @hooked
    async def read(self) -> LeaseItem | None:
        """The item."""
        return self.item

    @hooked
    async def replace(self, expected: LeaseItem | None, item: LeaseItem) -> bool:
        """Write the item if what stands there is the expected one; true too where this call has written it before.

        Each call has an item object of its own: an equal one was written by another call.
        """
        if _identity(self.item) != _identity(expected):
            return self.item is item
        self.history.append(item)
        return True


def _identity(item: LeaseItem | None) -> tuple[int, int, str | None] | None:
    return None if item is None else (item.token, item.renewals, item.owner)
