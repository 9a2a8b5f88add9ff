"""Why a node or an instance is not taken: stable codes, which records and people share.

The sentences beside them are written where the fact is known; this module knows only the codes.
"""

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """A code. Its text is part of the contract: never rename one."""

    PROTECTED = "protected"
    """By the node label, or by Auto Scaling's protection from scale-in."""
    OWN_NODE = "own-node"
    """The active worker runs there."""
    WOULD_NOT_FIT = "would-not-fit"
    """What runs there would find no place elsewhere."""
    JOB_RUNNING = "job-running"
    NEVER_RESTARTS = "never-restarts"
    """A task with restart condition `none`."""
    LOCAL_VOLUME = "local-volume"
    """A service there writes a volume that stays on the node."""
    UNKNOWN_SERVICE = "unknown-service"
    """A task whose service was made or removed while we looked."""
    QUORUM = "quorum"
    AT_MINIMUM = "at-minimum"
    GROUP_SUSPENDED = "group-suspended"
    REFRESHING = "refreshing"
    UNMATCHED = "unmatched"
    """Which node the instance is, or whether it is one, cannot be told."""
    NOT_IN_SERVICE = "not-in-service"
    """Auto Scaling is starting or ending the instance, or has it on standby."""


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Something that keeps a node, or a set of them."""

    reason: Reason
    text: str
    """A sentence, with what to do."""

    def __str__(self) -> str:
        return self.text
