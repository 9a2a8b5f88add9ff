"""What ingest is told by its environment."""

import re
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from ingest.wait import LONGEST
from shared.settings import URL, Backend, Seconds, Settings, standard_queue

_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)*")


def _prefix(value: object) -> object:
    """`/`, `scaler`, `/scaler/` as the text that stands before `/v1`: empty, `/scaler`, `/scaler`."""
    path = "/" + str(value).strip("/")
    if path == "/":
        return ""
    if not _PREFIX.fullmatch(path):
        raise ValueError("must be a path like /scaler, of letters, digits, dots, dashes and slashes")
    return path


def _showable(token: SecretStr | None) -> SecretStr | None:
    """A token that no caller could show would lock everybody out."""
    text = "" if token is None else token.get_secret_value()
    if text != text.strip() or not text.isprintable():
        raise ValueError("must be one line, without white space at its ends")
    return token


def _longest_wait(value: timedelta) -> timedelta:
    if value > LONGEST:
        raise ValueError(f"must be a number of seconds from 0 to {LONGEST.total_seconds():.0f}")
    return value


class IngestSettings(Settings):
    """The HTTP service's settings."""

    ingest_host: str = Field("0.0.0.0", description="The address to listen on.")  # noqa: S104 - in a container
    ingest_port: int = Field(8080, ge=0, le=65535, description="The port to listen on; 0 takes a free one.")
    server_prefix: Annotated[
        str,
        BeforeValidator(_prefix),
        Field(validate_default=True, description="All routes but `/metrics` exist below this path too."),
    ] = "/"
    sqs_dlq_url: Annotated[str, Field(pattern=URL), AfterValidator(standard_queue)] | None = Field(
        None, description="The dead-letter queue: with it the status says how many dead letters there are."
    )
    webhook_token: Annotated[
        SecretStr | None,
        AfterValidator(_showable),
        Field(
            description="Every route but ping and healthz wants `Authorization: Bearer TOKEN`, or Basic with it as the "
            "password. Unset: open to everyone."
        ),
    ] = None
    default_wait: Annotated[
        Seconds,
        AfterValidator(_longest_wait),
        Field(description="Seconds that every POST waits for its outcome when it does not say itself; at most 900."),
    ] = timedelta(0)
    node_scaler_backend: Backend = Field("aws", description="`aws`, or `none` to switch node scaling off.")
