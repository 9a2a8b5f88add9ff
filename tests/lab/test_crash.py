"""`make lab-down` after a lab that ended while it was set up. Runs first, since there is one lab on a machine."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from infra.lab import sweep
from infra.lab.places import NAMESPACES
from tests.lab.conftest import SETTINGS, lab, remains

pytestmark = pytest.mark.lab


def test_after_a_crash_of_lab_up_lab_down_leaves_nothing(tmp_path: Path) -> None:
    assert remains() == []
    command = [sys.executable, "-m", "infra.lab", "up"]
    up = subprocess.Popen(command, cwd=tmp_path, env={**os.environ, **SETTINGS}, stdout=subprocess.DEVNULL)
    assert machines_of(up) >= 2, "it ended before"
    os.kill(sweep.recalled()["pid"], signal.SIGKILL)
    assert up.wait(30) == 1
    assert remains() != []
    first, again = lab("down", tmp_path), lab("down", tmp_path)
    assert (first.returncode, again.returncode) == (0, 0), first.stderr + again.stderr
    assert remains() == []
    assert lab("status", tmp_path).returncode == 1


def machines_of(up: subprocess.Popen[bytes]) -> int:
    """How many there are when it has two, or has ended. It gives up by itself where it does not get on."""
    while len(found := list(NAMESPACES.glob("scaler-lab-*"))) < 2 and up.poll() is None:
        time.sleep(0.05)
    return len(found)
