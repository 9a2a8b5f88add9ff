"""Settings: what the variables mean, and in words what is wrong with them.

A settings class is a pydantic model whose field names are the variables' names in lower case. Where the values come
from is left to `environment`. Nothing here reads `os.environ` by itself: the process's entry hands it in.
"""

import re
from collections.abc import Mapping, MutableMapping
from datetime import timedelta
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    SecretStr,
    ValidationError,
)

from shared.addresses import addresses
from shared.environment import (
    AWS_SECRETS_FILE,
    DEFAULT_REGION,
    URL,
    URL_WORDS,
    BadConfiguration,
    concerns,
    is_empty,
    prepare_aws,
    resolve,
    sdk_secrets,
)

__all__ = ["URL", "BadConfiguration", "sdk_secrets"]  # of `environment`, for whoever reads settings


def _seconds(value: object) -> object:
    if isinstance(value, timedelta):
        return value
    text = str(value).strip()
    if not _SECONDS.fullmatch(text) or float(text) > _LONGEST_SECONDS:
        raise ValueError("must be a number of seconds, 0 or more")
    return timedelta(seconds=float(text))


_SECONDS = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?")
_LONGEST_SECONDS = 10 * 365 * 24 * 3600


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _backend(value: object) -> object:
    name = str(value).strip().lower() or "none"
    if name not in {"aws", "none"}:
        raise ValueError("must be aws or none")
    return name


def standard_queue(url: str) -> str:
    """FIFO queues want a group for each message, and hold back those behind an unfinished one."""
    if url.rstrip("/").endswith(".fifo"):
        raise ValueError("must be a standard queue, not a FIFO queue (.fifo)")
    return url


def _addresses(text: str | None) -> str | None:
    """As they were given, if all are good; whoever posts there takes the list apart."""
    if text is not None:
        addresses(text)
    return text


Backend = Annotated[Literal["aws", "none"], BeforeValidator(_backend)]
"""Who scales nodes, if anyone."""

LogLevel = Annotated[
    str,
    BeforeValidator(_lower),
    Field(pattern=r"^(debug|info|warning|error)$", description="`debug`, `info`, `warning` or `error`."),
]
LogFormat = Annotated[str, BeforeValidator(_lower), Field(pattern=r"^(json|text)$", description="`json` or `text`.")]
DockerHost = Annotated[
    str,
    Field(pattern=r"^(unix:///|tcp://|https?://)\S+$", description="The Docker socket of a Swarm manager."),
]

Seconds = Annotated[
    timedelta,
    BeforeValidator(_seconds),
    PlainSerializer(lambda value: value.total_seconds(), return_type=float),
]
"""A duration, given as a number of seconds."""


class Settings(BaseModel):
    """What ingest and worker share."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    sqs_queue_url: Annotated[
        str, Field(pattern=URL, description="The inbox queue, a standard one."), AfterValidator(standard_queue)
    ]
    dynamodb_table: str = Field(min_length=3, max_length=255, description="The one table.")
    scaler_cluster: str = Field(
        "default",
        pattern=r"^[A-Za-z0-9._-]{1,64}$",
        description="The name of this Swarm in the table: lease and history are per cluster.",
    )
    aws_default_region: str = Field(
        DEFAULT_REGION,
        pattern=r"^[A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$",
        description="The region; the AWS SDK's other variables count too.",
    )
    aws_env_file: str | None = Field(
        None,
        description="A file of `export AWS_ACCESS_KEY_ID=...` lines. "
        f"Unset: `{AWS_SECRETS_FILE}`, if it exists. What the environment says itself counts first.",
    )
    alertmanager_address: Annotated[
        str | None,
        AfterValidator(_addresses),
        Field(
            description="Alertmanager's base URL, or several, separated by commas or spaces: then all are told. "
            "Unset: no notifications."
        ),
    ] = None
    alert_timeout: Seconds = Field(timedelta(seconds=10), description="Seconds an alert lasts.")
    log_level: LogLevel = "info"
    log_format: LogFormat = "json"

    def secrets(self) -> list[str]:
        """The values that must never be logged."""
        values = (getattr(self, name) for name in type(self).model_fields)
        return [value.get_secret_value() for value in values if isinstance(value, SecretStr)]


S = TypeVar("S", bound=Settings)
M = TypeVar("M", bound=BaseModel)


def read(cls: type[S], environ: MutableMapping[str, str]) -> S:
    """The settings, with the SDK's variables put where the SDK looks. Raises BadConfiguration with all problems."""
    problems: list[str] = []
    try:
        prepare_aws(environ)
    except BadConfiguration as error:
        problems = error.problems
    try:
        settings = load(cls, environ)
    except BadConfiguration as error:
        raise BadConfiguration([*problems, *(line for line in error.problems if line not in problems)]) from error
    if problems:
        raise BadConfiguration(problems)
    return settings


def load(cls: type[M], environ: Mapping[str, str]) -> M:
    """The settings that the environment gives, also of a process that knows no AWS. Raises BadConfiguration."""
    names = {name.upper() for name in cls.model_fields}
    values, problems = resolve({key: value for key, value in environ.items() if concerns(key, names)}, names)
    problems += _empty_secrets(cls, environ)
    try:
        settings = cls.model_validate({name.lower(): value for name, value in values.items()})
    except ValidationError as error:
        failed = {problem.split(":")[0] for problem in problems}
        problems += [line for line in map(_line, error.errors()) if line.split(":")[0] not in failed]
        raise BadConfiguration(problems) from error
    if problems:
        raise BadConfiguration(problems)
    return settings


def _empty_secrets(cls: type[BaseModel], environ: Mapping[str, str]) -> list[str]:
    """A secret's file that holds nothing is a mistake: taken as "not set", it would open what it should guard."""
    secret = (name.upper() for name, field in cls.model_fields.items() if "SecretStr" in str(field.annotation))
    return [
        f"{name}: {name}_FILE {environ[f'{name}_FILE']} is empty"
        for name in secret
        if environ.get(f"{name}_FILE") and not environ.get(name) and is_empty(environ[f"{name}_FILE"])
    ]


def _line(problem: Any) -> str:
    """One of pydantic's problems as a line that names the variable."""
    location = problem["loc"]
    name = str(location[0]).upper() if location else ""
    if problem["type"] == "missing":
        return f"{name}: required, but not set"
    message = _words(problem)
    return f"{name}: {message}" if name else message


def _words(problem: Any) -> str:
    """What is expected, in words for whoever sets variables; the value itself is not repeated, it may be a secret."""
    known, context = problem["type"], problem.get("ctx", {})
    if known == "string_pattern_mismatch":
        return _pattern_words(str(context["pattern"]))
    if known in _EXPECTED:
        return _EXPECTED[known].format(**context)
    return str(problem["msg"]).removeprefix("Value error, ")


_EXPECTED = {
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "bool_parsing": "must be true or false",
    "greater_than_equal": "must be {ge} or more",
    "less_than_equal": "must be {le} or less",
    "literal_error": "must be {expected}",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
}
_PATTERNS = {
    URL: URL_WORDS,
    r"^[A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$": "must be a region's name like us-east-1",
    r"^[A-Za-z0-9._-]{1,64}$": "must be 1 to 64 letters, digits, dots, underscores or dashes",
    r"^[A-Za-z_][A-Za-z0-9_]*$": "must be a name of letters, digits and underscores, with no digit in front",
    r"^[^=\s]": "must be a label's key, or KEY=VALUE",
    r"^(unix:///|tcp://|https?://)\S+$": "must be like unix:///var/run/docker.sock or tcp://HOST:PORT",
}
_CHOICE = re.compile(r"\^\(([a-z|]+)\)\$")


def _pattern_words(pattern: str) -> str:
    choice = _CHOICE.fullmatch(pattern)
    if choice:
        *others, last = choice[1].split("|")
        return f"must be {', '.join(others)} or {last}"
    return _PATTERNS.get(pattern, f"must match the pattern {pattern}")
