"""The lease: which one of the workers is active, and how long it can prove so.

No wall clock is compared with another machine's. The holder counts its time on its own uptime clock from *before* a
renewal was sent; a standby counts from *after* it first read a renewal. So a standby that has seen no renewal for a
whole lease knows that the holder's proof is over, whatever the two clocks say (the argument of
https://github.com/awslabs/amazon-dynamodb-lock-client, with a fencing token beside it).

What the holder does with the lease, and what a standby must be able to do before it may compete, is left to others.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Protocol

import structlog

from shared.clock import Clock
from shared.errors import Refused, Unavailable
from worker.errors import LeaseLost
from worker.leadership.watchdog import Watchdog
from worker.ports.storage import LeaseItem, LeaseStore
from worker.ports.swarm import SwarmIdentity

log = structlog.get_logger()


class Eligibility(Protocol):
    """Whether this worker may compete for the lease."""

    async def identity(self) -> SwarmIdentity | None:
        """The Swarm that it could serve now; None while it could serve none."""

    async def gives_way(self, identity: SwarmIdentity) -> bool:
        """Whether others should go first: this worker's node is about to leave."""


MARGIN = timedelta(milliseconds=500)
"""For clocks that do not run at the same rate; never more than a twentieth of the lease."""


@dataclass(slots=True)
class HeldLease:
    """The lease while this worker holds it."""

    item: LeaseItem
    until: float
    """Uptime at which the proof ends."""
    identity: SwarmIdentity
    """The Swarm that it is held for, and this worker's node in it."""
    alone: bool = False
    """Others had their chance to take it, since this worker's node leaves, and there was none."""

    @property
    def token(self) -> int:
        """Rises with every take-over."""
        return self.item.token


@dataclass(slots=True)
class _Sighting:
    """A state of the item, and the uptime at which it was first seen."""

    item: LeaseItem | None
    since: float


class Lease:
    """One worker's view of the lease."""

    def __init__(self, store: LeaseStore, clock: Clock, duration: timedelta, owner: str) -> None:
        self._store = store
        self._clock = clock
        self._duration = duration
        self._owner = owner
        self._renewed = asyncio.Event()
        self._attempt: HeldLease | None = None

    async def win(self, eligibility: Eligibility) -> HeldLease:
        """Stand by until the lease is ours. Never gives up; cancel it to stop."""
        sighting: _Sighting | None = None
        while True:
            try:
                sighting = self._sight(sighting, await self._store.read())
                held = self._attempted(sighting.item)
                if held is None and self._wait_left(sighting) <= 0:
                    held = await self._take(sighting, eligibility)
            except (Unavailable, Refused) as error:
                log.warning("lease_unreadable", error=str(error))
                held = None
            if held is not None:
                return held
            await asyncio.sleep(self._pause(sighting))

    async def keep(self, held: HeldLease, watchdog: Watchdog) -> None:
        """Renew every third of the lease while all work makes progress. Raises LeaseLost; never returns."""
        third = self._duration.total_seconds() / 3
        pause = third
        while True:
            await asyncio.sleep(max(0.0, min(pause, self.left(held))))
            if not watchdog.all_alive():
                raise LeaseLost("a request has stopped making progress")
            began = self._clock.uptime()
            try:
                async with asyncio.timeout(max(0.0, self.left(held))):
                    await self._renew(held)
            except (Unavailable, Refused, TimeoutError) as error:
                log.warning("lease_not_renewed", error=str(error), proof_left=round(self.left(held), 3))
            if self.left(held) <= 0:
                raise LeaseLost("the lease could not be renewed in time")
            pause = third - (self._clock.uptime() - began)  # one that took long to fail is followed at once

    async def release(self, held: HeldLease) -> None:
        """Let others in at once. The token stays: it must never go back."""
        try:
            if not await self._store.replace(held.item, replace(held.item, owner=None)):
                present = await self._store.read()  # a renewal was under way when we were stopped
                if present is not None and self._is_ours(present, held):
                    await self._store.replace(present, replace(present, owner=None))
        except (Unavailable, Refused) as error:
            log.warning("lease_not_released", error=str(error))

    def left(self, held: HeldLease) -> float:
        """Seconds for which this worker can prove that it holds the lease."""
        return held.until - self._clock.uptime()

    async def prove(self, held: HeldLease, need: timedelta) -> None:
        """Return once the proof outlasts `need`, waiting for a renewal if it must. Raises LeaseLost."""
        while (left := self.left(held)) <= need.total_seconds():
            if left <= 0:
                raise LeaseLost("the lease could not be renewed in time")
            self._renewed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._renewed.wait()

    async def _renew(self, held: HeldLease) -> None:
        sent = self._clock.uptime()
        item = replace(held.item, renewals=held.item.renewals + 1)
        if not await self._store.replace(held.item, item):
            # Ours all the same, where an earlier renewal took effect and only its answer was lost.
            present = await self._store.read()
            if present is None or not self._is_ours(present, held):
                raise LeaseLost(f"the lease has gone to {present.owner if present else 'nobody'}")
            held.item = present
            return await self._renew(held)
        held.item, held.until = item, sent + self._duration.total_seconds()
        self._renewed.set()
        return None

    def _is_ours(self, item: LeaseItem, held: HeldLease) -> bool:
        return (item.owner, item.token) == (self._owner, held.token)

    def _sight(self, before: _Sighting | None, item: LeaseItem | None) -> _Sighting:
        if before is not None and before.item == item:
            return before
        return _Sighting(item, self._clock.uptime())

    def _wait_left(self, sighting: _Sighting) -> float:
        """Seconds until the holder's proof has ended for certain; 0 where it has, or nobody holds it."""
        return max(-self._free_for(sighting), 0.0)

    def _free_for(self, sighting: _Sighting) -> float:
        """Seconds since anybody may take it; less than 0 while the holder's proof may last."""
        seen_for = self._clock.uptime() - sighting.since
        if sighting.item is None or sighting.item.owner is None:
            return seen_for
        return seen_for - (self._duration + min(MARGIN, self._duration / 20)).total_seconds()

    def _pause(self, sighting: _Sighting | None) -> float:
        """A tenth of the lease, or less where the moment to take over comes sooner."""
        tenth = self._duration.total_seconds() / 10
        left = self._wait_left(sighting) if sighting is not None else 0
        return min(tenth, max(left, 0.001)) if left > 0 else tenth  # a moment that has all but come is waited for once

    async def _take(self, sighting: _Sighting, eligibility: Eligibility) -> HeldLease | None:
        present, identity = sighting.item, await eligibility.identity()
        if identity is None:
            return None
        alone = await eligibility.gives_way(identity)
        if alone and self._free_for(sighting) < self._duration.total_seconds():
            return None
        if present is not None and present.swarm != identity.cluster_id:
            log.error(
                "lease_of_another_swarm",
                lease_swarm=present.swarm,
                our_swarm=identity.cluster_id,
                what_to_do="give each Swarm its own SCALER_CLUSTER; if this Swarm was made anew, write its id into "
                "the attribute `swarm` of the lease item (never delete the item: its token must not go back)",
            )
            return None
        sent = self._clock.uptime()
        item = LeaseItem(
            owner=self._owner, token=(present.token if present else 0) + 1, renewals=0, swarm=identity.cluster_id
        )
        held = HeldLease(item, sent + self._duration.total_seconds(), identity, alone)
        if self._attempt is None or self._attempt.item != item:  # sent again, the first may still arrive
            self._attempt = replace(held)
        if not await self._store.replace(present, item):
            return None
        self._attempt = None
        return held

    def _attempted(self, present: LeaseItem | None) -> HeldLease | None:
        """Our attempts to take the lease, if one of them was done and only its answer was lost.

        Which one, nobody can tell: so the proof counts from before the first.
        """
        attempt = self._attempt
        if attempt is None or attempt.item != present or self.left(attempt) <= 0:
            return None
        self._attempt = None
        return attempt
