"""A process that is told to stop while it still loads ends at once, and well."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

_LOADS_FOR_EVER = "import signal\nprint('loading', flush=True)\nsignal.pause()\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("module", ["ingest", "worker", "rules"])
def test_a_stop_while_loading_is_exit_0(module: str, number: signal.Signals, tmp_path: Path) -> None:
    (tmp_path / "structlog.py").write_text(_LOADS_FOR_EVER)
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-m", module]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "loading\n"
            process.send_signal(number)
            assert (process.wait(10), process.communicate()[1]) == (0, "")
        finally:
            process.kill()
