"""The query of a request's URL: names and values, each name known and given once."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Self
from urllib.parse import parse_qsl

from shared.errors import InvalidRequest
from shared.fields import shown


@dataclass(frozen=True, slots=True)
class Query:
    """The pairs of a query, in the order in which they came."""

    pairs: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """The query in a URL's text. Raises InvalidRequest."""
        try:
            return cls(tuple(parse_qsl(text, keep_blank_values=True, errors="strict")))
        except ValueError as error:
            raise InvalidRequest("The query is not valid UTF-8") from error

    def check(self, known: Sequence[str]) -> None:
        """Raise InvalidRequest where a name is not known, or is given more than once."""
        names = [name for name, _ in self.pairs]
        for name in names:
            if name not in known:
                raise InvalidRequest(_unknown(name, known))
            if names.count(name) > 1:
                raise InvalidRequest(f"{name} is given {names.count(name)} times in the query")

    def given(self, name: str) -> str | None:
        """The value of a name, which may be empty; None where it is absent."""
        return next((value for key, value in self.pairs if key == name), None)

    def one(self, name: str) -> str | None:
        """The value of a name, None where it is absent or empty."""
        return self.given(name) or None


def _unknown(name: str, known: Sequence[str]) -> str:
    nearest = get_close_matches(_letters(name), map(_letters, known), n=1, cutoff=0.5)
    meant = next((each for each in known if _letters(each) in nearest), None)
    guess = "" if meant is None else f", did you mean {meant}?"
    names = f"known here: {', '.join(known)}" if known else "none is known here"
    return f"Unknown parameter: {shown(name)}{guess} ({names})"


def _letters(name: str) -> str:
    """What of a name tells it from others: not its case, nor what stands between its words."""
    return "".join(filter(str.isalnum, name)).lower()
