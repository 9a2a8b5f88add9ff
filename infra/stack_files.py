"""Puts configuration files into the stacks that use them: `python -m infra.stack_files`.

A stack is deployed from one file, without a checkout. `docker stack deploy` knows no `content` of a config (as of its
sources in August 2026), so a file is the value of an environment variable, which the container writes into its
`/tmp` as it starts. Where it goes is a line `NAME: | # PATH`, the path beside the stack's. A `$` is doubled, but for
`${NAME}`: that is a variable of the stack.

With `--check` nothing is written, and the exit code is 1 where a stack does not hold a file as it is.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Final

STACKS: Final = Path(__file__).parents[1] / "stacks"
_BLOCK: Final = re.compile(
    r"^(?P<indent> +)(?P<name>\w+): \| # (?P<path>\S+)\n(?P<lines>(?:(?P=indent)  .*\n|\n)*)", re.MULTILINE
)
_DOLLAR: Final = re.compile(r"\$(?!\{[A-Z])")


def embedded(stack: Path) -> str:
    """A stack's text with its files as they are. Raises OSError where a file is not there."""

    def block(match: re.Match[str]) -> str:
        indent = match["indent"]
        text = _DOLLAR.sub("$$", (stack.parent / match["path"]).read_text())
        lines = "".join(f"{indent}  {line}\n" if line else "\n" for line in text.splitlines())
        return f"{indent}{match['name']}: | # {match['path']}\n{lines}"

    return _BLOCK.sub(block, stack.read_text())


def main() -> int:
    """Write the stacks, or compare."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--check", action="store_true", help="write nothing; exit 1 where something would change")
    check = arguments.parse_args().check
    stale = [path for path in sorted(STACKS.glob("*.yml")) if path.read_text() != embedded(path)]
    for path in stale:
        if check:
            sys.stderr.write(f"{path} does not hold its files as they are: run `make templates`\n")
        else:
            path.write_text(embedded(path))
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
