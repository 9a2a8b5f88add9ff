"""`--help`, `--version` and the switches of a process that takes its configuration from the environment."""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from pydantic import BaseModel

from shared import __version__


def take_arguments(
    program: str,
    description: str,
    settings: type[BaseModel],
    arguments: Sequence[str],
    switches: Mapping[str, str] | None = None,
) -> frozenset[str]:
    """Those of the `switches` (name, without dashes, to meaning) that are among the arguments.

    Raises SystemExit: with 0 after `--help` or `--version`, with 2 after anything else, which is told on stderr.
    """
    parser = argparse.ArgumentParser(
        prog=program,
        description=description,
        epilog="\n".join(_variables(settings)),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"{program} {__version__}")
    for name, meaning in (switches or {}).items():
        parser.add_argument(f"--{name}", action="store_true", help=meaning)
    given = vars(parser.parse_args(arguments))
    return frozenset(name for name, value in given.items() if value)


def _variables(settings: type[BaseModel]) -> Iterator[str]:
    """Each variable with its default and its meaning."""
    yield "Configuration comes from the environment; each variable X may be given as X_FILE, a path, too:\n"
    for name, field in settings.model_fields.items():
        default = "required" if field.is_required() else default_text(field.default)
        yield f"  {name.upper()} ({default})\n      {field.description}"


def default_text(default: Any) -> str:
    """A setting's default as people write it into the environment."""
    match default:
        case None:
            return "unset"
        case bool():
            return str(default).lower()
        case timedelta():
            return f"{default.total_seconds():g}"
        case _:
            return str(default)
