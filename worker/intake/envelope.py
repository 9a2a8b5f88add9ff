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
