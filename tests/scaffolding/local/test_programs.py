"""`make up` and `make demo` as programs: what they print, how they end, and that they leave nothing behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.slow

QUICK = {**os.environ, "BOOT_DELAY": "0.5"}


@contextmanager
def program(module: str, folder: Path, output: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The program, in a folder of its own; ended if it has not."""
    with output.open("w") as file:
        command = [sys.executable, "-m", f"infra.local.{module}"]
        process = subprocess.Popen(command, cwd=folder, env=QUICK, stdout=file, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def until_there(path: Path, process: subprocess.Popen[bytes], within: float = 60.0) -> None:
    deadline = time.monotonic() + within
    while not path.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)


def family(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    itself = psutil.Process(process.pid)
    return [itself, *itself.children(recursive=True)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_up_ends_when_told_to_and_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    output = tmp_path / "output"
    with program("up", tmp_path, output) as process:
        until_there(tmp_path / ".local" / "env", process)
        processes = family(process)
        assert len(processes) == 4
        process.send_signal(number)
        assert process.wait(timeout=15) == 0
        assert psutil.wait_procs(processes, timeout=1)[1] == []
    left = {path.name for path in (tmp_path / ".local").iterdir()}
    assert left == {"lock", "logs"}
    text = output.read_text()
    assert 'curl -X POST "$INGEST_URL/v1/scale-nodes?by=1&type=worker"' in text
    assert text.endswith("Everything that was started has ended.\n")
    assert "Traceback" not in text


def test_up_may_be_ended_while_it_sets_up(tmp_path: Path) -> None:
    output = tmp_path / "output"
    with program("up", tmp_path, output) as process:
        until_there(tmp_path / ".local" / "logs" / "worker-1.log", process)
        processes = family(process)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=15) == 0
        assert psutil.wait_procs(processes, timeout=1)[1] == []
    assert "Traceback" not in output.read_text()


def test_the_services_end_even_when_up_is_killed(tmp_path: Path) -> None:
    with program("up", tmp_path, tmp_path / "output") as process:
        until_there(tmp_path / ".local" / "env", process)
        services = family(process)[1:]
        process.kill()
        assert psutil.wait_procs(services, timeout=15)[1] == []


def test_up_says_which_service_could_not_start(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "infra.local.up"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**QUICK, "DRAIN_TIMEOUT": "x"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert re.search(r"worker-[12] ended with exit code 2", done.stderr)
    assert "DRAIN_TIMEOUT" in done.stderr


def test_the_demo_runs_through_without_a_terminal(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "infra.local.demo"]
    done = subprocess.run(command, cwd=tmp_path, env=QUICK, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    took = re.search(r"All 35 checks against the contract hold\. ([0-9.]+) s after set-up", done.stdout)
    assert took is not None
    assert float(took[1]) < 60
    assert "told   2 worker nodes are up, demo rescheduled" in done.stdout
    assert "\x1b" not in done.stdout
    assert done.stderr == ""


def test_the_demo_says_what_is_off(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "infra.local.demo"]
    environ = {**QUICK, "DEFAULT_MAX_WORKER_NODES": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert "OFF  scale up: the record says succeeded: expected 'succeeded', found 'skipped'" in done.stdout


def test_the_demo_interrupted_leaves_nothing(tmp_path: Path) -> None:
    output = tmp_path / "output"
    with program("demo", tmp_path, output) as process:
        until_there(tmp_path / ".local" / "demo" / "env", process)
        processes = family(process)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=15) == 130
        assert psutil.wait_procs(processes, timeout=1)[1] == []
    assert output.read_text().endswith("Interrupted. Everything that was started has ended.\n")
