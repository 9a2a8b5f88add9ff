"""docs/tutorial.md as a script: its command blocks, unmodified, in order, and the clone that they are typed in."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[3]
TUTORIAL: Final = ROOT / "docs" / "tutorial.md"
SHELLS: Final = ("bash", "zsh")


def blocks() -> list[tuple[str, str]]:
    """Where each command block is typed (`here`, `manager`, or `otherwise`: not on the straight way), and the block."""
    found = re.findall(r"^```bash(?: (manager|otherwise))?\n(.*?)^```$", TUTORIAL.read_text(), re.MULTILINE | re.DOTALL)
    return [(where or "here", text) for where, text in found]


def script(home: Path, clone: Path) -> str:
    """All blocks, one after the other, each where it belongs."""
    folders = {"here": clone, "manager": home}
    parts = [f"cd {folders[where]}\n{text}" for where, text in blocks() if where in folders]
    return "set -euo pipefail\n" + "".join(f"echo '@@ block {n}' >&2\n{part}" for n, part in enumerate(parts))


def clone(folder: Path) -> Path:
    """What the reader has cloned, as far as the blocks look at it."""
    path = folder / "clone"
    path.mkdir()
    for name in ("infra", "stacks", "monitoring"):
        (path / name).symlink_to(ROOT / name)
    return path
