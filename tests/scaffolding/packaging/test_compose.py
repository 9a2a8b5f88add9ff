"""compose.yaml: what it says is known to Docker, and what its image holds is enough for all of `make up`.

Without an engine: the packages that the Dockerfile gathers, and the image's command with the variables of compose.yaml,
on an interpreter that has no other packages.
"""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import subprocess
import sys
import sysconfig
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

import shared
from infra.local.loopback import free_ports

ROOT: Final = Path(__file__).parents[3]
COMPOSE: Final = ROOT / "compose.yaml"
DOCKERFILE: Final = (ROOT / "Dockerfile").read_text()
SITE: Final = Path(sysconfig.get_path("purelib"))
BARE: Final = f"python{sys.version_info.major}.{sys.version_info.minor}"
PATIENCE: Final = 90.0


def service() -> dict[str, Any]:
    [(name, found)] = yaml.safe_load(COMPOSE.read_text())["services"].items()
    assert name == "scaler", "what is printed and written says `docker compose exec scaler`"
    return dict(found)


def stage(name: str) -> str:
    [text] = re.findall(rf"^FROM \S+ AS {name}\n(.*?)(?=^FROM |\Z)", DOCKERFILE, re.MULTILINE | re.DOTALL)
    return str(text)


def test_compose_knows_all_that_the_file_says() -> None:
    command = ["-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE)]
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_it_builds_a_stage_that_there_is_or_takes_the_releases_image() -> None:
    found = service()
    assert stage(found["build"]["target"]).rstrip().endswith('["python3", "-m", "infra.local.up"]')
    assert found["image"].endswith(f"docker-scaler-local:${{SCALER_TAG:-{shared.__version__}}}")
    release = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())["jobs"]["image"]
    assert found["build"]["target"] in release["strategy"]["matrix"]["process"]


def test_it_is_reached_from_this_machine_only_and_needs_no_file_of_the_checkout() -> None:
    found = service()
    assert [port.startswith("127.0.0.1:") for port in found["ports"]] == [True]
    assert not {"volumes", "env_file", "configs", "secrets"} & found.keys()
    assert (found["read_only"], found["tmpfs"]) == (True, ["/tmp"])
    assert "WORKDIR /tmp\n" in stage("local")


def gathered(folder: Path) -> Path:
    """The image's /app: what its Dockerfile copies and gathers."""
    spec = importlib.util.spec_from_file_location("gather", ROOT / "stacks/image/gather.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    [processes] = re.findall(
        r"^RUN python3 gather.py pyproject.toml all /packages/local (.+)$", DOCKERFILE, re.MULTILINE
    )
    module.gather(ROOT / "pyproject.toml", SITE, folder, *processes.split())
    for name in re.findall(r"^COPY (\w+) /app/\w+$", stage("local-files"), re.MULTILINE):
        (folder / name).symlink_to(ROOT / name)
    return folder


@contextmanager
def running(app: Path, folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The image's command, with the variables of compose.yaml but for the port and what is within reach."""
    bare = Path(sys.base_prefix) / "bin" / BARE
    own = {**service()["environment"], "INGEST_HOST": "127.0.0.1", "INGEST_PORT": str(port), "BOOT_DELAY": "0"}
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(app), "PYTHONDONTWRITEBYTECODE": "1", **own}
    folder.mkdir()
    with (folder / "said").open("wb") as said:
        command = [str(bare), "-m", "infra.local.up"]
        process = subprocess.Popen(command, cwd=folder, env=environ, stdout=said, stderr=said)
    try:
        yield process
    finally:
        process.kill()
        process.wait(20)


def until_said(text: str, process: subprocess.Popen[bytes], log: Path) -> str:
    end = time.monotonic() + PATIENCE
    while text not in log.read_text():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.1)
    return log.read_text()


@pytest.mark.slow
@pytest.mark.real
def test_the_images_command_starts_everything_with_what_the_image_holds(tmp_path: Path) -> None:
    app, port = gathered(tmp_path / "app"), next(free_ports())
    with running(app, tmp_path / "work", port) as process:
        said = until_said("Notifications:", process, tmp_path / "work" / "said")
        assert "docker compose exec scaler scaler nodes up" in said
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
            assert "local-NodeAsg" in answer.read().decode()
        script = ["sh", str(ROOT / "stacks/image/scaler"), "nodes", "up"]
        environ = {"PATH": f"{app.parent}:{os.environ['PATH']}", "PYTHONPATH": str(app), "INGEST_PORT": str(port)}
        (app.parent / "python3").symlink_to(Path(sys.base_prefix) / "bin" / BARE)
        done = subprocess.run(script, env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
