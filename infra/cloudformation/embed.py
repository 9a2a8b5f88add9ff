"""Packs bootstrap/swarm-node.sh into swarm.yaml, for both launch templates: `python -m infra.cloudformation.embed`.

Without its comments and indentation, compressed, as lines of base64: user data may have 16 KB, a template that is
passed on the command line 51,200 bytes.
With `--check` nothing is written, and the exit code is 1 where what is packed is not the script.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import re
import sys
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
SCRIPT: Final = HERE / "bootstrap" / "swarm-node.sh"
TEMPLATE: Final = HERE / "swarm.yaml"
_COLUMNS: Final = 2240
_COMMENT: Final = re.compile(r"(?:^|\s+)#(?:\s.*)?$")
"""To the end of a line; a `#` with something else before or behind it is none."""
_BLOCK: Final = re.compile(r"^(?P<indent> +)(?P<head>Packed: \|\n)(?P<lines>(?:(?P=indent)  \S+\n)*)", re.MULTILINE)


def bare(script: str) -> str:
    """The script without comments (but its first line), empty lines and indentation: it has no here-documents."""
    first, *others = script.splitlines()
    kept = [line for line in (_COMMENT.sub("", line.lstrip()) for line in others) if line]
    return "".join(f"{line}\n" for line in (first, *kept))


def packed(script: str) -> str:
    """As `base64 -d | gunzip` reads it."""
    text = base64.b64encode(gzip.compress(bare(script).encode(), 9, mtime=0)).decode()
    return "".join(f"{text[at : at + _COLUMNS]}\n" for at in range(0, len(text), _COLUMNS))


def unpacked(text: str) -> str:
    """The script. Raises ValueError or OSError where the text is not one."""
    return gzip.decompress(base64.b64decode(text)).decode()


def held(template: str) -> str:
    """The script that a template holds; empty where it holds none. Raises ValueError without a line `Packed: |`."""
    block = _BLOCK.search(template)
    if block is None:
        raise ValueError("the template has no line `Packed: |`")
    return unpacked(block["lines"]) if block["lines"].strip() else ""


def embedded(template: str, script: str) -> str:
    """The template with that script. Another zlib may pack it in other bytes: who holds it already is not changed."""
    if held(template) == bare(script):
        return template

    def block(match: re.Match[str]) -> str:
        lines = "".join(f"{match['indent']}  {line}\n" for line in packed(script).splitlines())
        return f"{match['indent']}{match['head']}{lines}"

    return _BLOCK.sub(block, template)


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
