"""Documents: typed notes that stand in the table, readable by the version before and the version after this one.

A field that is missing, or that this version cannot read, has its default; a field that this version does not know is
kept, and written back as it came. So a worker can take over a record that a newer worker has begun.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Self

import structlog
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    ValidationError,
    ValidatorFunctionWrapHandler,
    field_validator,
)
from pydantic_core import PydanticUseDefault

from shared.clock import parse_rfc3339, rfc3339

log = structlog.get_logger()

Moment = Annotated[
    datetime,
    BeforeValidator(lambda value: parse_rfc3339(value) if isinstance(value, str) else value),
    PlainSerializer(rfc3339),
]
"""A wall time; in the journal as RFC 3339."""


class Document(BaseModel):
    """The base of all of them. Every field has a default."""

    model_config = ConfigDict(extra="allow", frozen=True, populate_by_name=True, serialize_by_alias=True)

    @field_validator("*", mode="wrap")
    @classmethod
    def _default_where_unreadable(cls, value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        try:
            return handler(value)
        except ValidationError as error:
            log.warning("document_field_unreadable", document=cls.__name__, error=error.errors()[0]["msg"])
            raise PydanticUseDefault from error

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Self:
        """Read it from the journal's JSON."""
        return cls.model_validate(dict(document))

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return self.model_dump(mode="json")

    def but(self, **changes: Any) -> Self:
        """A copy with some fields changed."""
        return self.model_copy(update=changes)
