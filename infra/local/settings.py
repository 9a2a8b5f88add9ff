"""Settings of a part that can be changed while it runs: named, checked all together, read from any thread."""

from __future__ import annotations

import threading
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Seconds = Annotated[float, Field(ge=0, le=86_400)]
Count = Annotated[int, Field(ge=0, le=100_000)]


class Settings(BaseModel):
    """A part's settings with their defaults, or those of them that somebody names to change them."""

    model_config = ConfigDict(extra="forbid", strict=True)

    def named(self) -> dict[str, Any]:
        """Those that are named."""
        return self.model_dump(exclude_unset=True)


Values = TypeVar("Values", bound=Settings)


class Knobs(Generic[Values]):
    """The present settings. Subclasses read and count off `_values` under `_lock`."""

    def __init__(self, values: Values) -> None:
        self._lock = threading.Lock()
        self._values = values

    def set(self, **changes: Any) -> None:
        """Change the named ones, all or none. Raises ValueError for an unknown name or a wrong value."""
        checked = type(self._values).model_validate(changes)
        with self._lock:
            for name in changes:
                setattr(self._values, name, getattr(checked, name))

    def snapshot(self) -> dict[str, Any]:
        """All settings, as values that JSON can carry and that the caller may keep."""
        with self._lock:
            return self._values.model_dump()
