"""The knobs of booting: how long machines take to join the Swarm, and which of them never do."""

import threading
from typing import Any


class BootKnobs:
    """How machines boot; thread-safe, with the names that `set` takes.

    `boot_delay_seconds`: from launch to node. `next_boot_delays`: for the next launches, one each.
    `never_join_next`: so many launches from now on never become nodes. `never_join_instances`: nor do these.
    """

    def __init__(self, boot_delay_seconds: float = 3.0) -> None:
        self._lock = threading.Lock()
        self._values: dict[str, Any] = {
            "boot_delay_seconds": boot_delay_seconds,
            "next_boot_delays": [],
            "never_join_next": 0,
            "never_join_instances": [],
        }

    def set(self, **changes: Any) -> None:
        """Change the named knobs. Raises ValueError for an unknown name."""
        unknown = changes.keys() - self._values.keys()
        if unknown:
            raise ValueError(f"unknown knob {min(unknown)}; there are: {', '.join(self._values)}")
        with self._lock:
            self._values.update({name: _copied(value) for name, value in changes.items()})

    def clear(self) -> None:
        """Every machine joins, after the delay."""
        self.set(next_boot_delays=[], never_join_next=0, never_join_instances=[])

    def snapshot(self) -> dict[str, Any]:
        """All knobs, the caller's to keep."""
        with self._lock:
            return {name: _copied(value) for name, value in self._values.items()}

    def for_launch(self) -> float | None:
        """The boot delay of a launch that happens now, in seconds; None if it never joins. Counts it off."""
        with self._lock:
            if self._values["never_join_next"] > 0:
                self._values["never_join_next"] -= 1
                return None
            delays: list[float] = self._values["next_boot_delays"]
            return float(delays.pop(0) if delays else self._values["boot_delay_seconds"])

    def may_join(self, instance_id: str) -> bool:
        """Whether nobody said that this one never joins."""
        with self._lock:
            return instance_id not in self._values["never_join_instances"]


def _copied(value: Any) -> Any:
    return list(value) if isinstance(value, list) else value
