"""What the journal remembers of each node pool between requests, read once a leadership period."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from shared.fields import Role
from worker.ports.storage import GroupMemory, Journal


class Memory:
    """Our own last results, and when changes ended."""

    def __init__(self, journal: Journal, token: int) -> None:
        self._journal = journal
        self._token = token
        self._known: dict[Role, GroupMemory] = {}
        self._revisions: dict[Role, int] = {}
        self._writing = asyncio.Lock()

    @property
    def known(self) -> Mapping[Role, GroupMemory]:
        """What has been read already."""
        return self._known

    async def of(self, node_type: Role) -> GroupMemory:
        """What is remembered of a pool. Raises Fenced, Unavailable."""
        if node_type not in self._known:
            recalled = await self._journal.recall(node_type, self._token)
            self._known.setdefault(node_type, recalled)  # another request may have read and written meanwhile
        return self._known[node_type]

    async def update(self, node_type: Role, **changes: Any) -> None:
        """Change some of it. Raises Fenced, Unavailable."""
        async with self._writing:
            known = await self.of(node_type)
            self._revisions[node_type] = revision = self._revisions.get(node_type, known.revision) + 1
            memory = replace(known, revision=revision, **changes)
            await self._journal.remember(node_type, memory, self._token)
            self._known[node_type] = memory
