"""The query of a request's URL: names and values, each name meant to be given once."""

from dataclasses import dataclass
from typing import Self
from urllib.parse import parse_qsl

from shared.errors import InvalidRequest


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

    def one(self, name: str) -> str | None:
        """The value of a name, None where it is absent or empty. Raises InvalidRequest where it is given twice."""
        values = [value for key, value in self.pairs if key == name]
        if len(values) > 1:
            raise InvalidRequest(f"{name} is given {len(values)} times in the query")
        return values[0] if values and values[0] else None
