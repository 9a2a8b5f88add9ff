"""Why a node or an instance is not taken: stable codes, which records and people share.

Each has a sentence that says what it means and one that says what to do; what is so in one case is written where the
fact is known (`Obstacle`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """A code. Its text is part of the contract: never rename one."""

    PROTECTED = "protected"
    OWN_NODE = "own-node"
    WOULD_NOT_FIT = "would-not-fit"
    JOB_RUNNING = "job-running"
    NEVER_RESTARTS = "never-restarts"
    LOCAL_VOLUME = "local-volume"
    UNKNOWN_SERVICE = "unknown-service"
    QUORUM = "quorum"
    AT_MINIMUM = "at-minimum"
    GROUP_SUSPENDED = "group-suspended"
    REFRESHING = "refreshing"
    LAUNCHES_FAIL = "launches-fail"
    UNMATCHED = "unmatched"
    NOT_IN_SERVICE = "not-in-service"
    NOT_NEEDED = "not-needed"
    NOT_ASKED_FOR = "not-asked-for"
    ALREADY_DRAINED = "already-drained"
    LEAVING = "leaving"
    WEIGHTED = "weighted"

    @property
    def meaning(self) -> str:
        """What it says of a node."""
        return _SENTENCES[self][0]

    @property
    def remedy(self) -> str:
        """What to do, if the node should go all the same."""
        return _SENTENCES[self][1]


_SENTENCES: Mapping[Reason, tuple[str, str]] = {
    Reason.PROTECTED: (
        "It is protected: by the node label `com.df.scaler.protect=true`, or its instance from scale-in.",
        "Take the label off (`docker node update --label-rm`), or the protection (`set-instance-protection`).",
    ),
    Reason.OWN_NODE: (
        "The active worker runs there, and others may go.",
        "Nothing: it goes when no other will do; or stop that worker, and another takes over.",
    ),
    Reason.WOULD_NOT_FIT: (
        "What runs there would find no place elsewhere.",
        "Add nodes, or lower what the named service reserves, or ease its constraints.",
    ),
    Reason.JOB_RUNNING: ("A job runs there and would be cut off.", "Wait until it has ended, or remove the job."),
    Reason.NEVER_RESTARTS: (
        "A task runs there that Swarm would not start again (restart condition `none`).",
        "Wait until it has ended, or give the service another restart condition.",
    ),
    Reason.LOCAL_VOLUME: (
        "A task there writes a volume that stays on the node.",
        "Where that does no harm: `docker service update --label-add com.df.scaler.movable=true SERVICE`.",
    ),
    Reason.UNKNOWN_SERVICE: ("A task there is of a service that was just made or removed.", "Ask again."),
    Reason.QUORUM: (
        "The managers would lose their quorum, or their last Ready one.",
        "Bring the unreachable managers back, or remove them (`docker node ls`).",
    ),
    Reason.AT_MINIMUM: (
        "There are as few nodes as there may be.",
        "Lower the variable, the label or the group's MinSize that the text names.",
    ),
    Reason.GROUP_SUSPENDED: (
        "The process Terminate of its group is suspended; for a replacement, it or Launch.",
        "`aws autoscaling resume-processes --scaling-processes Terminate` (or `Launch`).",
    ),
    Reason.REFRESHING: ("An instance refresh of its group runs.", "Wait until it has ended, or cancel it."),
    Reason.LAUNCHES_FAIL: (
        "Its group owes instances that AWS could not launch.",
        "Remove the cause, or set the desired capacity back to what there is.",
    ),
    Reason.UNMATCHED: (
        "Which instance it is, or whether the instance is a node, cannot be told.",
        "Give each Docker engine its own label `instance_id`.",
    ),
    Reason.NOT_IN_SERVICE: (
        "Auto Scaling is starting or ending its instance, or has it on standby.",
        "Wait, or take it out of standby.",
    ),
    Reason.NOT_NEEDED: ("It could go, but others cost less to remove.", "Ask for more."),
    Reason.NOT_ASKED_FOR: (
        "The request is about another node, or asks that this one stays.",
        "Ask for it by its name.",
    ),
    Reason.ALREADY_DRAINED: ("It is drained already.", "Nothing; `scaler node undrain` gives it back."),
    Reason.LEAVING: ("AWS takes its machine away, or it is being ended already.", "Nothing: it goes by itself."),
    Reason.WEIGHTED: (
        "Its group counts its capacity in weights, not in instances.",
        "Take the weights out of its mixed-instances policy.",
    ),
}


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Something that keeps a node, or a set of them."""

    reason: Reason
    text: str
    """A sentence, with what to do."""

    def __str__(self) -> str:
        return self.text
