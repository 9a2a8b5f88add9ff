"""The small texts inside labels: lists of `key=value`, durations, numbers, truth, names."""

import re
from collections.abc import Iterator

from rules.model import BadLabel

# model.ParseDuration of Prometheus: units from the largest to the smallest, each once.
_DURATION = re.compile(
    r"(?:(?P<y>[0-9]{1,18})y)?(?:(?P<w>[0-9]{1,18})w)?(?:(?P<d>[0-9]{1,18})d)?(?:(?P<h>[0-9]{1,18})h)?"
    r"(?:(?P<m>[0-9]{1,18})m)?(?:(?P<s>[0-9]{1,18})s)?(?:(?P<ms>[0-9]{1,18})ms)?"
)
_MILLISECONDS = {
    "y": 31_536_000_000,
    "w": 604_800_000,
    "d": 86_400_000,
    "h": 3_600_000,
    "m": 60_000,
    "s": 1000,
    "ms": 1,
}
_LONGEST_MILLISECONDS = 2**63 // 10**6
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?|\.[0-9]+")
_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_:]|^[0-9]")
_UNESCAPED = {separator: re.compile(rf"(?<!\\){separator}") for separator in ",="}


def pairs(text: str, what: str) -> dict[str, str]:
    """The pairs of `k=v,k=v`. `\\,` and `\\=` stand for the bare characters; a value may hold `=`. Raises BadLabel."""
    found: dict[str, str] = {}
    for key, value in _pairs(text, what):
        if key in found:
            raise BadLabel(f"{what}: {key} is given twice")
        found[key] = value
    return found


def _pairs(text: str, what: str) -> Iterator[tuple[str, str]]:
    for part in _UNESCAPED[","].split(text):
        if not part.strip():
            continue
        key, *values = _UNESCAPED["="].split(part, maxsplit=1)
        if not values:
            raise BadLabel(f"{what}: {part.strip()!r} has no =; a comma inside a value is written \\,")
        yield label_name(key, what), values[0].replace("\\,", ",").replace("\\=", "=")


def label_name(text: str, what: str) -> str:
    """A name for a label or annotation. Raises BadLabel."""
    name = text.strip()
    if not _LABEL_NAME.fullmatch(name) or name == "__name__":
        raise BadLabel(f"{what}: {name!r} is no name for a label; letters, digits and _ make one")
    return name


def duration(text: str, what: str) -> str:
    """A duration as Prometheus reads it, `30s` or `1h30m`. Raises BadLabel."""
    wanted = text.strip()
    if wanted == "0":
        return wanted
    match = _DURATION.fullmatch(wanted)
    if not wanted or match is None:
        raise BadLabel(f"{what}: {text!r} is no duration; write 30s, 5m or 1h30m")
    if milliseconds(wanted) > _LONGEST_MILLISECONDS:
        raise BadLabel(f"{what}: {text!r} is longer than Prometheus can count")
    return wanted


def milliseconds(text: str) -> int:
    """How long a duration is that `duration` has taken."""
    match = _DURATION.fullmatch(text)
    given = match.groupdict(default="0") if match else {}
    return sum(int(number) * _MILLISECONDS[unit] for unit, number in given.items())


def share(text: str, what: str) -> str:
    """A number from 0 to 1. Raises BadLabel."""
    wanted = text.strip()
    if not _NUMBER.fullmatch(wanted) or float(wanted) > 1:
        raise BadLabel(f"{what}: {text!r} is no share; write a number from 0 to 1, like 0.95")
    return wanted


def seconds(text: str, what: str) -> str:
    """A number of seconds above 0. Raises BadLabel."""
    wanted = text.strip()
    if not _NUMBER.fullmatch(wanted) or not 0 < float(wanted) < 1e6:
        raise BadLabel(f"{what}: {text!r} is no number of seconds; write one like 0.25")
    return wanted


def truth(text: str, what: str) -> bool:
    """`true` or `false`, in any case. Raises BadLabel."""
    wanted = text.strip().lower()
    if wanted not in {"true", "false"}:
        raise BadLabel(f"{what}: {text!r} is neither true nor false")
    return wanted == "true"


def mended(name: str) -> str:
    """A rule's name: every character that Prometheus does not take in names as `_`, a digit in front too."""
    return _NOT_IN_NAMES.sub("_", name)
