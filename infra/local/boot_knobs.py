"""The knobs of booting: how long machines take to join the Swarm, and which of them never do."""

from pydantic import Field

from infra.local.settings import Count, Knobs, Seconds, Settings


class BootSettings(Settings):
    """How machines boot.

    `boot_delay_seconds`: from launch to node. `next_boot_delays`: for the next launches, one each.
    `never_join_next`: so many launches from now on never become nodes. `never_join_instances`: nor do these.
    """

    boot_delay_seconds: Seconds = 3.0
    next_boot_delays: list[Seconds] = Field(default_factory=list)
    never_join_next: Count = 0
    never_join_instances: list[str] = Field(default_factory=list)


class BootKnobs(Knobs[BootSettings]):
    """Those that count now."""

    def __init__(self, boot_delay_seconds: float = 3.0) -> None:
        super().__init__(BootSettings(boot_delay_seconds=boot_delay_seconds))

    def clear(self) -> None:
        """Every machine joins, after the delay."""
        self.set(next_boot_delays=[], never_join_next=0, never_join_instances=[])

    def for_launch(self) -> float | None:
        """The boot delay of a launch that happens now, in seconds; None if it never joins. Counts it off."""
        with self._lock:
            if self._values.never_join_next > 0:
                self._values.never_join_next -= 1
                return None
            delays = self._values.next_boot_delays
            return delays.pop(0) if delays else self._values.boot_delay_seconds

    def may_join(self, instance_id: str) -> bool:
        """Whether nobody said that this one never joins."""
        with self._lock:
            return instance_id not in self._values.never_join_instances
