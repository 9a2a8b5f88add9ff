"""Settings from the environment: the values, where they come from, and what is wrong with them.

A settings class is a pydantic model whose field names are the variables' names in lower case. Every variable `X`
may be given as `X_FILE`, a path whose content is the value (Docker secrets). An empty variable counts as absent.
Nothing here reads `os.environ` by itself: the process's entry hands it in.
"""

import re
from collections.abc import Mapping, MutableMapping
from datetime import timedelta
from pathlib import Path
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
from shared.errors import ScalerError

AWS_SECRETS_FILE = "/run/secrets/aws"
URL = r"^https?://[^/\s]"

# The AWS SDK's own variables that end in _FILE, and ours: these are paths, not values in files.
# https://docs.aws.amazon.com/sdkref/latest/guide/settings-reference.html
_NOT_INDIRECT = frozenset(
    {
        "AWS_CONFIG_FILE",
        "AWS_SHARED_CREDENTIALS_FILE",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        "AWS_CREDENTIAL_FILE",
        "AWS_ENV_FILE",
    }
)
_EXPORT = re.compile(
    r"""^\s*(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)=(?P<value>'[^']*'|"[^"]*"|.*?)(?:\s+\#.*)?\s*$"""
)


class BadConfiguration(ScalerError):
    """What is wrong with the environment: one line for each problem, each naming its variable."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


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


def _standard_queue(url: str) -> str:
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
        str, Field(pattern=URL, description="The inbox queue, a standard one."), AfterValidator(_standard_queue)
    ]
    dynamodb_table: Annotated[str, Field(min_length=3, max_length=255, description="The one table.")]
    scaler_cluster: Annotated[
        str,
        Field(
            pattern=r"^[A-Za-z0-9._-]{1,64}$",
            description="The name of this Swarm in the table: lease and history are per cluster.",
        ),
    ] = "default"
    aws_default_region: Annotated[
        str,
        Field(
            pattern=r"^[A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$",
            description="The region; the AWS SDK's other variables count too.",
        ),
    ] = "us-east-1"
    aws_env_file: Annotated[
        str | None,
        Field(
            description="A file of `export AWS_ACCESS_KEY_ID=...` lines. "
            f"Unset: `{AWS_SECRETS_FILE}`, if it exists. What the environment says itself counts first."
        ),
    ] = None
    alertmanager_address: Annotated[
        str | None,
        AfterValidator(_addresses),
        Field(
            description="Alertmanager's base URL, or several, separated by commas or spaces: then all are told. "
            "Unset: no notifications."
        ),
    ] = None
    alert_timeout: Annotated[Seconds, Field(description="Seconds an alert lasts.")] = timedelta(seconds=10)
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
    values, problems = resolve({key: value for key, value in environ.items() if _concerns(key, names)}, names)
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


def resolve(environ: Mapping[str, str], names: set[str]) -> tuple[dict[str, str], list[str]]:
    """The value of each named variable that is given, directly or as `X_FILE`, and what is wrong with those."""
    values: dict[str, str] = {}
    problems: list[str] = []
    for name in sorted(names):
        try:
            value = _value(environ, name)
        except ValueError as error:
            problems.append(f"{name}: {error}")
        else:
            if value is not None:
                values[name] = value
    return values, problems


def prepare_aws(environ: MutableMapping[str, str]) -> None:
    """Put the SDK's variables where the SDK looks: `AWS_X_FILE` indirections and the lines of `AWS_ENV_FILE`.

    What the environment says itself is never overwritten. Raises BadConfiguration.
    """
    names = {
        key.removesuffix("_FILE")
        for key in environ
        if key.startswith("AWS_") and key.endswith("_FILE") and key not in _NOT_INDIRECT
    }
    values, problems = resolve(environ, names)
    for name, value in values.items():
        environ[name] = value
        environ.pop(f"{name}_FILE", None)  # taken: whoever reads on finds it given once
    path = environ.get("AWS_ENV_FILE") or (AWS_SECRETS_FILE if Path(AWS_SECRETS_FILE).exists() else None)
    try:
        lines = Path(path).read_text().splitlines() if path else []
    except (OSError, UnicodeDecodeError) as error:
        problems.append(f"AWS_ENV_FILE: cannot read {path} ({_reason(error)})")
        lines = []
    for name, value in filter(None, map(_exported, lines)):
        environ[name] = environ.get(name) or value
    problems += _bad_endpoints(environ)
    environ.setdefault("AWS_DEFAULT_REGION", str(Settings.model_fields["aws_default_region"].default))
    if problems:
        raise BadConfiguration(problems)


def _bad_endpoints(environ: Mapping[str, str]) -> list[str]:
    """Endpoints, of all services or of one, that the SDK would not take."""
    given = (name for name in sorted(environ) if name.startswith("AWS_ENDPOINT_URL") and environ[name])
    return [f"{name}: {_PATTERNS[URL]}" for name in given if not re.match(URL, environ[name])]


def _empty_secrets(cls: type[BaseModel], environ: Mapping[str, str]) -> list[str]:
    """A secret's file that holds nothing is a mistake: taken as "not set", it would open what it should guard."""
    secret = (name.upper() for name, field in cls.model_fields.items() if "SecretStr" in str(field.annotation))
    return [
        f"{name}: {name}_FILE {environ[f'{name}_FILE']} is empty"
        for name in secret
        if environ.get(f"{name}_FILE") and not environ.get(name) and _is_empty(environ[f"{name}_FILE"])
    ]


def sdk_secrets(environ: Mapping[str, str]) -> list[str]:
    """The AWS SDK's own secrets in an environment: they must never be logged either."""
    return [environ[name] for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN") if environ.get(name)]


def _concerns(key: str, names: set[str]) -> bool:
    return key in names or (key.removesuffix("_FILE") in names and key not in _NOT_INDIRECT)


def _value(environ: Mapping[str, str], name: str) -> str | None:
    """One variable's value, None where it is absent or empty. Raises ValueError."""
    direct = environ.get(name)
    path = None if f"{name}_FILE" in _NOT_INDIRECT else environ.get(f"{name}_FILE")
    if direct and path:
        raise ValueError(f"set both directly and as {name}_FILE; keep one")
    if path:
        try:
            direct = Path(path).read_text().removesuffix("\n").removesuffix("\r")
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"cannot read {name}_FILE {path} ({_reason(error)})") from error
    return direct if direct or (direct == "" and name in _EMPTY_COUNTS) else None


_EMPTY_COUNTS = frozenset({"NODE_SCALER_BACKEND"})


def _is_empty(path: str) -> bool:
    try:
        return not Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError):
        return False  # said already


def _exported(line: str) -> tuple[str, str] | None:
    match = _EXPORT.match(line)
    if match is None or line.lstrip().startswith("#"):
        return None
    value = match["value"]
    quoted = len(value) >= 2 and value[0] == value[-1] and value[0] in "'\""
    return match["name"], value[1:-1] if quoted else value


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
    URL: "must be a URL that begins with http:// or https://",
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


def _reason(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else "not UTF-8 text"
