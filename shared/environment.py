"""Where the values of variables come from: the environment itself, files beside it, and a file of exports.

Every variable `X` may be given as `X_FILE`, a path whose content is the value (Docker secrets). An empty variable
counts as absent. What the values mean is left to `settings`. Nothing here reads `os.environ` by itself.
"""

import re
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from shared.errors import ScalerError

AWS_SECRETS_FILE = "/run/secrets/aws"
DEFAULT_REGION = "us-east-1"
URL = r"^https?://[^/\s]"
URL_WORDS = "must be a URL that begins with http:// or https://"

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
_EMPTY_COUNTS = frozenset({"NODE_SCALER_BACKEND"})


class BadConfiguration(ScalerError):
    """What is wrong with the environment: one line for each problem, each naming its variable."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


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
    environ.setdefault("AWS_DEFAULT_REGION", DEFAULT_REGION)
    if problems:
        raise BadConfiguration(problems)


def sdk_secrets(environ: Mapping[str, str]) -> list[str]:
    """The AWS SDK's own secrets in an environment: they must never be logged either."""
    return [environ[name] for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN") if environ.get(name)]


def concerns(key: str, names: set[str]) -> bool:
    """Whether a variable, or its `_FILE`, gives one of the names."""
    return key in names or (key.removesuffix("_FILE") in names and key not in _NOT_INDIRECT)


def is_empty(path: str) -> bool:
    """Whether a file holds nothing but white space. One that cannot be read is not empty: that is said elsewhere."""
    try:
        return not Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError):
        return False  # said already


def _bad_endpoints(environ: Mapping[str, str]) -> list[str]:
    """Endpoints, of all services or of one, that the SDK would not take."""
    given = (name for name in sorted(environ) if name.startswith("AWS_ENDPOINT_URL") and environ[name])
    return [f"{name}: {URL_WORDS}" for name in given if not re.match(URL, environ[name])]


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


def _exported(line: str) -> tuple[str, str] | None:
    match = _EXPORT.match(line)
    if match is None or line.lstrip().startswith("#"):
        return None
    value = match["value"]
    quoted = len(value) >= 2 and value[0] == value[-1] and value[0] in "'\""
    return match["name"], value[1:-1] if quoted else value


def _reason(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else "not UTF-8 text"
