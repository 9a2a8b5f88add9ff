"""Completion: a script that each shell takes, with every command in it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from cli import parser
from tests.behaviour.cli.server import Run


@pytest.mark.parametrize("shell", parser.SHELLS)
def test_completion_is_a_script_that_the_shell_takes(scaler: Run, tmp_path: Path, shell: str) -> None:
    ended = scaler("completion", shell)
    assert ended.code == 0
    for word in ("dead-letters", "--dry-run", "send-again", "undrain"):
        assert word in ended.out
    if shell == "bash":
        (tmp_path / "completion").write_text(ended.out)
        done = subprocess.run(["bash", "-n", tmp_path / "completion"], capture_output=True, check=False)
        assert done.returncode == 0, done.stderr


def test_bash_completes_a_command(scaler: Run, tmp_path: Path) -> None:
    (tmp_path / "completion").write_text(scaler("completion", "bash").out)
    script = f"""
source {tmp_path / "completion"}
COMP_WORDS=(scaler dead-letters se) COMP_CWORD=2
$(complete -p scaler | sed 's/.*-F \\([^ ]*\\).*/\\1/') scaler se dead-letters
echo "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["send-again"]
