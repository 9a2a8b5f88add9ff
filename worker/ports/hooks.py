"""Lifecycle hooks: what holds an instance on its way into its group or out of it, until the worker lets it go on."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal


@dataclass(frozen=True, slots=True)
class LifecycleHook:
    """A hook of a group: it holds instances on their way in or out."""

    name: str
    transition: Literal["launch", "termination"]
    timeout: timedelta
    """After so long without a heartbeat AWS goes on."""
    result: str = "ABANDON"
    """What becomes of the instance then: DefaultResult."""


@dataclass(frozen=True, slots=True)
class Hold:
    """An instance that a lifecycle hook holds, until it is completed or the hook's time is over."""

    group: str
    hook: str
    instance_id: str
    token: str | None = None
    """Of this hold alone. Without one, whatever the hook holds the instance for at the moment."""

    @property
    def key(self) -> tuple[str, str, str]:
        """The same with a token and without."""
        return self.group, self.hook, self.instance_id


Release = Literal["CONTINUE", "ABANDON"]
"""How an instance goes on. For one on its way out both are the same."""
