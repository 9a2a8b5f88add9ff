"""The control groups of the machines' containers: which are there, and how they go."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from infra.lab.places import CGROUPS


def present(group: str) -> Iterator[Path]:
    """The folders of a group: one in each hierarchy (version 1), or one (version 2)."""
    return (path for path in [CGROUPS / group, *CGROUPS.glob(f"*/{group}")] if path.is_dir())


def remove(group: str) -> None:
    """A group and those below it, where they are empty."""
    for top in list(present(group)):
        for folder in _deepest_first(top):
            with suppress(OSError):
                folder.rmdir()


def _deepest_first(top: Path) -> Iterable[Path]:
    return [Path(folder) for folder, _, _ in os.walk(top, topdown=False)]
