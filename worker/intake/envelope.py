"""What a message says, unwrapped; from whichever source it came."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Envelope:
    """The request in a message."""

    body: Mapping[str, Any]
    fallback_id: str
    """The id of the request, where it names none itself."""
    source: str
    """Where it came from, where it does not say so itself."""


@dataclass(frozen=True, slots=True)
class Event:
    """What AWS says by itself."""

    kind: str
    """As the metric calls it."""
    request: Envelope | None = None
    """What is to be done about it. None: nothing."""
    instance: str = ""
    """The instance that it is about: the request counts where that is one of ours."""
    instances: tuple[str, ...] = ()
    """The same, where it is about several: it counts where one of them is ours."""
    group: str = ""
    """The Auto Scaling group that it names."""
    hook: str = ""
    """The lifecycle hook that it names."""
    joins: bool = False
    """Whether it says nothing new to an open request about the instance, which sees the same by itself."""


UNKNOWN = Event("unknown")
"""An event of which nobody here knows what to do about it. That is nobody's mistake."""
