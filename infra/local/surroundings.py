"""What the environment takes from the shell it is started in, and what it keeps away from its services.

The services inherit everything (so every setting of theirs can be given on the command line), except what would lead
them out of the environment: other AWS or Docker variables, and those that the environment itself sets.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Final

from infra.local.children import SetUpFailed
from shared.environment import resolve

FOLDER: Final = Path(".local")
"""Where an environment keeps its files, in the folder it is started in."""
OWN: Final = frozenset(
    {
        *("DOCKER_HOST", "AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
        *("SQS_QUEUE_URL", "SQS_DLQ_URL", "DYNAMODB_TABLE", "AWS_MANAGER_ASG", "AWS_WORKER_ASG"),
        "ALERTMANAGER_ADDRESS",
    }
)
"""The settings of `.local/env`."""
_PORTS: Final = frozenset({"INGEST_PORT", "WORKER_PORT"})
_HARMLESS_AWS: Final = frozenset({"AWS_ENV_FILE", "AWS_MAX_ATTEMPTS", "AWS_RETRY_MODE"})
_FOREIGN: Final = re.compile(r"(AWS|DOCKER|LOCALSTACK)_")
_BOOT_DELAY: Final = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?")


def inherited(environ: Mapping[str, str]) -> dict[str, str]:
    """What the services get of our own environment. Ports are not among it."""
    kept = {name: value for name, value in environ.items() if not _leads_away(name)}
    near = ",".join(filter(None, (kept.get("NO_PROXY") or kept.get("no_proxy"), "127.0.0.1,localhost")))
    host = {} if "INGEST_HOST_FILE" in kept else {"INGEST_HOST": "127.0.0.1"}
    return {**host, **kept, "NO_PROXY": near, "no_proxy": near, "PYTHONUNBUFFERED": "1"}


def shield(environ: MutableMapping[str, str]) -> None:
    """The same for this process itself: no profile, proxy or endpoint of the shell reaches our own AWS clients."""
    kept = inherited(environ)
    for name in environ.keys() - kept.keys() - _PORTS - {f"{port}_FILE" for port in _PORTS}:
        del environ[name]
    environ.update({name: kept[name] for name in ("NO_PROXY", "no_proxy")})


def given(environ: Mapping[str, str], name: str) -> str | None:
    """A setting's value, given directly or as `NAME_FILE`; None where it is not given."""
    values, problems = resolve(environ, {name})
    if problems:
        raise SetUpFailed("\n".join(problems))
    return values.get(name)


def boot_delay(environ: Mapping[str, str]) -> float:
    """`BOOT_DELAY`, in seconds."""
    text = environ.get("BOOT_DELAY") or "3"
    if not _BOOT_DELAY.fullmatch(text):
        raise SetUpFailed(f"BOOT_DELAY: must be a number of seconds, 0 or more, not {text}")
    return float(text)


def _leads_away(name: str) -> bool:
    plain = name.removesuffix("_FILE")
    if name in _HARMLESS_AWS:
        return False
    return plain in OWN or plain in _PORTS or _FOREIGN.match(name) is not None
