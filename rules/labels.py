"""A service's labels `com.df.alert*`, put together to the alerts that they describe; what they mean is for others."""

import difflib
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

PREFIX: Final = "com.df."
FIELDS: Final = ("alertName", "alertIf", "alertFor", "alertLabels", "alertAnnotations", "alertPersistent")
_SUFFIX: Final = re.compile(r"[1-9][0-9]{0,8}")


@dataclass(frozen=True, slots=True)
class Described:
    """One alert, as its labels have it: the values of `FIELDS` that are given."""

    number: int
    """Of the suffix; 0 without."""
    given: Mapping[str, str] = field(default_factory=dict)

    def label(self, name: str) -> str:
        """A label's key without `com.df.`."""
        return f"{name}.{self.number}" if self.number else name

    def title(self) -> str:
        """What the alert is called when people are told of it."""
        return self.given.get("alertName", "").strip() or self.label(next(iter(sorted(self.given))))


def described(labels: Mapping[str, str]) -> tuple[list[Described], list[tuple[str, str]]]:
    """The alerts, by number, and the labels that belong to none, each with the reason."""
    alerts: dict[int, dict[str, str]] = defaultdict(dict)
    strangers: list[tuple[str, str]] = []
    for key, value in sorted(labels.items()):
        name, _, suffix = key.removeprefix(PREFIX).partition(".")
        if not key.startswith(PREFIX) or not name.lower().startswith("alert"):
            continue
        if name not in FIELDS:
            strangers.append((key.removeprefix(PREFIX), _unknown(name)))
        elif key == PREFIX + name or _SUFFIX.fullmatch(suffix):
            alerts[int(suffix or 0)][name] = value
        else:
            strangers.append(
                (key.removeprefix(PREFIX), f"{suffix!r} is no number; alerts are numbered .1, .2 and so on")
            )
    return [Described(number, given) for number, given in sorted(alerts.items())], strangers


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, FIELDS, n=1, cutoff=0.4)
    return f"{PREFIX}{name} means nothing" + (f"; do you mean {PREFIX}{near[0]}?" if near else "")
