"""Puts bootstrap/swarm-node.sh into swarm.yaml, at each pair of marker lines: `python -m infra.cloudformation.embed`.

Without comment lines and empty ones, and indented by tabs: user data may have 16 KB, a template that is passed on the
command line 51,200 bytes. With `--check` nothing is written, and the exit code is 1 where something would be.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
SCRIPT: Final = HERE / "bootstrap" / "swarm-node.sh"
TEMPLATE: Final = HERE / "swarm.yaml"
_INDENT: Final = 4
_BLOCK: Final = re.compile(
    rf"^(?P<indent> +)# begin {SCRIPT.name}\n.*?^(?P=indent)# end {SCRIPT.name}\n", re.DOTALL | re.MULTILINE
)


def bare(script: str) -> str:
    """The script without comment lines (but its first) and empty lines, indented by tabs."""
    first, *others = script.splitlines()
    kept = [_tabbed(line) for line in others if line.strip() and not line.lstrip().startswith("#")]
    return "".join(f"{line}\n" for line in (first, *kept))


def _tabbed(line: str) -> str:
    code = line.lstrip(" ")
    depth, rest = divmod(len(line) - len(code), _INDENT)
    return "\t" * depth + " " * rest + code


def embedded(template: str, script: str) -> str:
    """The template with the script between its markers, which stay: they are comments of the script's language."""

    def block(match: re.Match[str]) -> str:
        indent = match["indent"]
        first, *others = bare(script).splitlines()
        lines = [first, f"# begin {SCRIPT.name}", *others, f"# end {SCRIPT.name}"]
        return "".join(f"{indent}{line}\n" for line in lines)

    return _BLOCK.sub(block, _without_first_line(template))


def _without_first_line(template: str) -> str:
    """The interpreter's line stands before the marker, since it must be the file's first one."""
    return re.sub(rf"^ +#!/usr/bin/env bash\n(?= +# begin {SCRIPT.name}\n)", "", template, flags=re.MULTILINE)


def main() -> int:
    """Write the template, or compare."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--check", action="store_true", help="write nothing; exit 1 where something would change")
    check = arguments.parse_args().check
    old = TEMPLATE.read_text()
    new = embedded(old, SCRIPT.read_text())
    if new == old:
        return 0
    if check:
        sys.stderr.write(f"{TEMPLATE} does not hold {SCRIPT.name} as it is: run `make templates`\n")
        return 1
    TEMPLATE.write_text(new)
    return 0


if __name__ == "__main__":
    sys.exit(main())
