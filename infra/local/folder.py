"""The folder of an environment (`.local`): claimed while it runs, and `env` in it, which tells where everything is.

`env` is a file to `source`: lines `export NAME=value`, there when everything is ready, and gone with the environment.
"""

from __future__ import annotations

import fcntl
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from infra.local.children import SetUpFailed


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """One environment in a folder; the claim ends with the process, however that ends. Raises SetUpFailed."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as claim:
        try:
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise SetUpFailed(f"An environment is running in {folder} already; end it first") from None
        (folder / "env").unlink(missing_ok=True)
        yield


@contextmanager
def told(folder: Path, variables: Mapping[str, str]) -> Iterator[None]:
    """`env` says these. Renamed into place: whoever sees it sees all of it."""
    path = folder / "env"
    path.with_suffix(".new").write_text("".join(f"export {k}={shlex.quote(v)}\n" for k, v in variables.items()))
    path.with_suffix(".new").replace(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def variables(env: Path) -> dict[str, str]:
    """What an `env` says; nothing where there is none."""
    if not env.exists():
        return {}
    words = [shlex.split(line) for line in env.read_text().splitlines()]
    return dict(word[1].split("=", 1) for word in words if len(word) == 2)
