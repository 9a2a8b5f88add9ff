"""The rule file: replaced as a whole or not at all, and only where it changes."""

import os
from pathlib import Path


class RuleFile:
    """One file. Prometheus may read it at any moment, and goes on with it when this process is gone."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # Behind the name, so that no pattern of Prometheus's `rule_files` takes it for rules.
        self._new = path.with_name(f"{path.name}.new")

    def check(self) -> None:
        """Raise OSError where it could not be written."""
        with self._new.open("w"):
            pass
        self._new.unlink()

    def write(self, text: str) -> bool:
        """Whether it has changed. Raises OSError; then it is as it was."""
        content = text.encode()
        if self._content() == content:
            return False
        with self._new.open("wb") as file:
            os.fchmod(file.fileno(), 0o644)  # Prometheus is another user
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        self._new.replace(self._path)
        return True

    def _content(self) -> bytes | None:
        try:
            return self._path.read_bytes()
        except OSError:
            return None
