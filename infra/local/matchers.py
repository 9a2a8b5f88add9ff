"""Alertmanager's matchers, as `amtool alert query` and `GET /api/v2/alerts?filter=...` write them: `service="aws"`.

A label that is not there counts as empty. Regular expressions hold for the whole value.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Self

_MATCHER: Final = re.compile(
    r"""\s*(?P<name>[a-zA-Z_][a-zA-Z0-9_]*)\s*(?P<how>=~|!~|!=|=)\s*(?P<value>"[^"]*"|[^"]*?)\s*"""
)


class BadMatcher(ValueError):
    """A matcher that Alertmanager would answer with 400."""


@dataclass(frozen=True, slots=True)
class Matcher:
    """What one label's value must be, or must not be."""

    name: str
    value: re.Pattern[str]
    wanted: bool

    @classmethod
    def parse(cls, text: str) -> Self:
        """The matcher that a text stands for. Raises BadMatcher."""
        found = _MATCHER.fullmatch(text)
        if found is None:
            raise BadMatcher(f"bad matcher format: {text}")
        value, how = found["value"].strip('"'), found["how"]
        try:
            pattern = re.compile(value if how.endswith("~") else re.escape(value))
        except re.error as error:
            raise BadMatcher(f"bad matcher format: {text} ({error})") from error
        return cls(found["name"], pattern, not how.startswith("!"))

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Whether an alert with these labels is meant."""
        return (self.value.fullmatch(labels.get(self.name, "")) is not None) == self.wanted


def meant(labels: Mapping[str, str], matchers: Iterable[Matcher]) -> bool:
    """Whether all of them hold."""
    return all(matcher.holds(labels) for matcher in matchers)
