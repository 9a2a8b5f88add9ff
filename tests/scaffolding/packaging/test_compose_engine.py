"""compose.yaml on a real engine: its image is built, runs as the file says, shows its page, scales, and stops.

What the file says is turned into the arguments of `docker run`, and what the test does not know is an error. Debian's
docker-compose (1.29) cannot read the file: it does not know `${NAME:+...}`. The engine has no bridge, so nothing is
published: the page is asked for in the container, as the command line is.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from infra.local.surroundings import inherited
from tests.scaffolding.packaging.test_compose import ROOT, service
from tests.scaffolding.tutorial import images
from tests.waiting import until

pytestmark = [pytest.mark.lab, pytest.mark.real]

NAME: Final = "scaler"
STARTING_SECONDS: Final = 120.0
BUILD: Final = ("infra", "requirements-dev.lock")
"""What of the repository the stage is sent beside what the tutorial's are."""
BUILT_HERE: Final = ("setuptools", "wheel")
"""What the one package needs of which there is no wheel."""
PAGE: Final = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8080/', timeout=9).read().decode())"


def filled(text: str) -> str:
    """As compose fills variables in, none of which is set."""
    text = re.sub(r"\$\{\w+:\+[^}]*\}", "", text)
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def arguments(found: Mapping[str, Any]) -> list[str]:
    """Of `docker run`, for a service; without its ports, for which the engine has no bridge."""
    words = ["--network=none"]
    for key, value in found.items():
        match key:
            case "environment":
                words += [f"--env={name}={filled(str(text))}" for name, text in value.items()]
            case "read_only":
                words += ["--read-only"] if value else []
            case "tmpfs":
                words += [f"--tmpfs={place}" for place in value]
            case "cap_drop":
                words += [f"--cap-drop={name}" for name in value]
            case "security_opt":
                words += [f"--security-opt={option}" for option in value]
            case "stop_grace_period":
                words += [f"--stop-timeout={value.removesuffix('s')}"]
            case "image" | "build" | "ports":
                continue
            case _:
                raise ValueError(f"nobody has said what becomes of {key}")
    return [*words, filled(found["image"])]


@contextmanager
def engine(folder: Path) -> Iterator[Path]:
    """One of its own, without networks; its socket."""
    socket = folder / "docker.sock"
    places = [f"--data-root={folder}/data", f"--exec-root={folder}/exec", f"--pidfile={folder}/pid"]
    command = ["dockerd", *places, "--bridge=none", "--iptables=false", "-H", f"unix://{socket}"]
    with (folder / "engine.log").open("wb") as log:
        process = subprocess.Popen(command, env=inherited(os.environ), stdout=log, stderr=log)
    try:
        until(socket.exists, "the engine's socket", STARTING_SECONDS)
        until(lambda: images.docker(socket, "info"), "the engine", STARTING_SECONDS)
        yield socket
    finally:
        process.terminate()
        process.wait(60)


def context(folder: Path) -> Path:
    """What the build is sent: for this stage all that is locked, and what builds the one package without a wheel."""
    images.context(folder, more=BUILD, lock="requirements-dev.lock", unbuilt=["localstack-client"])
    command = ["-m", "pip", "download", "-q", "--no-deps", "-d", str(folder / ".wheels"), *BUILT_HERE]
    subprocess.run([sys.executable, *command], cwd=ROOT, check=True)
    return folder


def test_the_image_is_built_and_runs_as_the_file_says(tmp_path: Path) -> None:
    found, place = service(), tmp_path / "context"
    place.mkdir()
    context(place)
    with engine(tmp_path) as socket:
        images.docker(socket, "import", "-", images.BASE, stdin=images.base())
        images.build(socket, place, ["--target", found["build"]["target"], "-t", filled(found["image"])])
        images.docker(socket, "run", "--detach", "--name", NAME, *arguments(found))

        def state() -> Any:
            return json.loads(images.docker(socket, "inspect", "--format", "{{json .State}}", NAME))

        def inside(*words: str) -> str:
            return images.docker(socket, "exec", NAME, *words)

        try:
            until(lambda: state()["Health"]["Status"] == "healthy", "a healthy container", STARTING_SECONDS)
            assert "<title>" in inside("python3", "-c", PAGE)
            before = json.loads(inside("scaler", "status", "--json"))
            assert "1 to 2" in inside("scaler", "nodes", "up", "--json")
            after = json.loads(inside("scaler", "status", "--json"))
            desired = [
                next(each["desired"] for each in status["groups"] if each["type"] == "worker")
                for status in (before, after)
            ]
            assert desired == [1, 2]
            began = time.monotonic()
            images.docker(socket, "stop", NAME)
            assert state()["ExitCode"] == 0
            assert time.monotonic() - began < 20
        finally:
            (tmp_path / "container.log").write_text(images.docker(socket, "logs", NAME))
            images.docker(socket, "rm", "--force", NAME)
