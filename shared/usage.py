"""`--help` and `--version` of a process that takes its configuration from the environment, and no arguments."""

import argparse
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

from pydantic import BaseModel

from shared import __version__


def take_arguments(program: str, description: str, settings: type[BaseModel], arguments: Sequence[str]) -> None:
    """Return where there are no arguments.

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
    parser.parse_args(arguments)


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
