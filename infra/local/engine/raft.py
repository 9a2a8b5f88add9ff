"""The managers' consensus: who is a member, who leads, and whether there is a quorum.

Replication itself is not simulated; what is, is when the control plane can be used. When the leader is lost, or the
majority, there is none until an election, which needs a majority of members to be reachable.
"""

from collections.abc import Callable

from infra.local.engine.clock import Clock


class Raft:
    """The memberlist by node id; `on_change(old leader, new leader)` is called when the leader changes."""

    def __init__(self, clock: Clock, on_change: Callable[[str | None, str | None], None]) -> None:
        self._clock = clock
        self._on_change = on_change
        self._reachable: dict[str, bool] = {}
        self._election_due = False
        self.leader: str | None = None

    @property
    def members(self) -> tuple[str, ...]:
        return tuple(self._reachable)

    @property
    def has_quorum(self) -> bool:
        return _is_majority(sum(self._reachable.values()), len(self._reachable))

    def is_member(self, node_id: str) -> bool:
        return node_id in self._reachable

    def is_reachable(self, node_id: str) -> bool:
        return self._reachable.get(node_id, False)

    def survives_removal_of(self, node_id: str) -> bool:
        """Whether the other members would still have a majority."""
        others = [reachable for member, reachable in self._reachable.items() if member != node_id]
        return _is_majority(sum(others), len(others))

    def join(self, node_id: str) -> None:
        self._reachable[node_id] = True
        if len(self._reachable) == 1:
            self._lead(node_id)

    def leave(self, node_id: str) -> None:
        """A demoted member goes; if it led, leadership is handed over first."""
        del self._reachable[node_id]
        if self.leader == node_id:
            self._lead(self._candidate())

    def lose(self, node_id: str, election_seconds: float) -> None:
        """The member does not answer any more."""
        if node_id in self._reachable:
            self._reachable[node_id] = False
            self._settle(election_seconds)

    def find(self, node_id: str, election_seconds: float) -> None:
        """The member answers again."""
        if node_id in self._reachable:
            self._reachable[node_id] = True
            self._settle(election_seconds)

    def _settle(self, election_seconds: float) -> None:
        if self.leader is not None and not (self.has_quorum and self._reachable[self.leader]):
            self._lead(None)
        if self.leader is None and self.has_quorum and not self._election_due:
            self._election_due = True
            self._clock.later(election_seconds, self._elect)

    def _elect(self) -> None:
        self._election_due = False
        if self.leader is None and self.has_quorum:
            self._lead(self._candidate())

    def _candidate(self) -> str | None:
        return next((member for member, reachable in self._reachable.items() if reachable), None)

    def _lead(self, node_id: str | None) -> None:
        old, self.leader = self.leader, node_id
        self._on_change(old, node_id)


def _is_majority(part: int, whole: int) -> bool:
    return part > whole // 2
