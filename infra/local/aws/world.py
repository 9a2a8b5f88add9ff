"""What the wrapped moto backends of one embedded AWS share: its lock, timers and knobs.

moto keeps its state per account in module globals. Each embedded AWS has an account of its own, so several
can live in one process; a backend finds its world by the account it belongs to.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from moto.core.base_backend import BackendDict

from infra.local.aws.knobs import Knobs
from infra.local.aws.timers import Timers

FIRST_ACCOUNT: Final = "123456789012"
# There is one region, whichever a client names. Not us-east-1: version 1 of the `aws` command sends SQS calls of
# the regions it has an old name for to that name, and past AWS_ENDPOINT_URL (awscli's overridesslcommonname).
REGION: Final = "ca-west-1"


@dataclass(slots=True)
class World:
    """One embedded AWS, as its backends see it."""

    account_id: str
    knobs: Knobs = field(default_factory=Knobs)
    # One request at a time inside moto: its models are not made for threads (two winners of one
    # conditional write, the same message handed out twice).
    lock: threading.RLock = field(default_factory=threading.RLock)
    timers: Timers = field(init=False)
    changed_instances: list[str] = field(default_factory=list)
    """The id of an EC2 instance for each change of its state, in order."""
    ring: Callable[[str], None] = field(default=lambda _queue: None)
    """Wakes those who wait for a message of a queue: for messages that are sent from inside."""
    ring_all: Callable[[], None] = field(default=lambda: None)
    """The same for all queues."""

    def __post_init__(self) -> None:
        self.timers = Timers(self.lock)


_worlds: dict[str, World] = {}
_guard = threading.Lock()


def open_world() -> World:
    """A world under an account that no other one of this process has."""
    with _guard:
        account = FIRST_ACCOUNT
        while account in _worlds:
            account = str(random.randrange(10**11, 10**12))
        return _worlds.setdefault(account, World(account))


def world_of(account_id: str) -> World:
    """The world of an account. Raises KeyError where none was opened."""
    return _worlds[account_id]


def close_world(world: World) -> None:
    """Give the account back and drop what moto keeps for it."""
    with _guard:
        for service in list(BackendDict._instances):  # noqa: SLF001 - the only list of them there is
            service.pop(world.account_id, None)
        _worlds.pop(world.account_id, None)
