"""Times as people write and read them: `2h`, `1 h 20 min`."""

import re
from datetime import timedelta
from typing import Final

_UNITS: Final = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_TIME: Final = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s?)?", re.ASCII)
_LONGEST: Final = timedelta(days=365)


def parsed(text: str) -> timedelta:
    """`90` and `90s` are seconds; `2h`, `1h30m`, `1d`. Raises ValueError."""
    match = _TIME.fullmatch(text.strip().lower())
    if match is None or not any(match.groups()):
        raise ValueError(f"{text!r} is no time: write 90s, 15m, 2h, 1h30m or 1d")
    seconds = sum(float(number or 0) * unit for number, unit in zip(match.groups(), _UNITS.values(), strict=True))
    if not 0 < seconds <= _LONGEST.total_seconds():
        raise ValueError(f"{text!r} must be more than nothing and at most 365 days")
    return timedelta(seconds=seconds)


def shown(time: timedelta) -> str:
    """For people: two units at most, tenths of a second below ten."""
    seconds = max(0.0, time.total_seconds())
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, left = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [f"{n} {unit}" for n, unit in ((days, "d"), (hours, "h"), (minutes, "min"), (left, "s")) if n]
    return " ".join(parts[:2])
