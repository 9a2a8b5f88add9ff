"""Images made where no registry is reached: from this machine's own programs and libraries, for the lab's engines.

`base` stands for the Dockerfile's BASE: this Python, pip, a shell, and the shared libraries that those and the locked
wheels ask for. `program` is one program with its libraries, as haproxy's image is. Their names begin with an address
where nobody listens, so that an engine which asks there hears at once that there is nothing (see `infra.lab.image`).
"""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from infra.lab import packages
from infra.local.surroundings import inherited

ROOT: Final = Path(__file__).parents[3]
REGISTRY: Final = "127.0.0.1:1"
BASE: Final = f"{REGISTRY}/base:1"
BUILD: Final = (
    *("cli", "ingest", "worker", "rules", "shared", "stacks/image"),
    *("requirements.lock", "pyproject.toml", "Dockerfile"),
)
"""What of the repository a build is sent."""
PIP_ARGS: Final = "--no-index --find-links /build/.wheels"
_UNUSED: Final = {"test", "tests", "idlelib", "lib2to3", "ensurepip", "turtledemo", "tkinter", "__pycache__"}
_PACKAGES: Final = {"site-packages", "dist-packages"}
_ACCOUNTS: Final = {"etc/passwd": b"root:x:0:0::/:/bin/sh\n", "etc/group": b"root:x:0:\n"}
_APPLETS: Final = ("sh", "cp", "mkdir", "ls", "cat", "id", "touch", "sleep")


def docker(socket: Path | str, *words: str, stdin: bytes = b"") -> str:
    """The real command, to one engine. The classic builder, since Debian's engine has no other."""
    own = {**inherited(os.environ), "DOCKER_HOST": f"unix://{socket}", "DOCKER_BUILDKIT": "0"}
    done = subprocess.run(["docker", *words], input=stdin, env=own, capture_output=True, check=False)
    assert done.returncode == 0, f"docker {' '.join(words)}: {(done.stdout + done.stderr).decode()[-3000:]}"
    return done.stdout.decode().strip()


def base() -> bytes:
    """A tar archive of the base image's files."""
    library = Path(sysconfig.get_path("stdlib"))
    version = library.name
    target = Path("usr/local/lib") / version
    interpreter = Path(sys.executable).resolve()
    files = [(path, target / path.relative_to(library)) for path in _stdlib(library)]
    files += _pip(target)
    files += [(interpreter, Path("usr/local/bin") / version), (busybox(), Path("bin/busybox"))]
    extensions = [path for path, _ in files if path.suffix == ".so"]
    wheels = Path(sysconfig.get_path("purelib")).rglob("*.so")
    files += [(path, Path(str(path)[1:])) for path in libraries([interpreter, *extensions, *wheels])]
    return archive(files, {"usr/local/bin/python3": version, **_shell()})


def busybox() -> Path:
    """The static one."""
    found = packages.where("busybox")
    assert found is not None, "no static busybox on this machine"
    return Path(found)


def program(path: Path) -> bytes:
    """A tar archive of one program and its libraries, and a shell."""
    files = [(path.resolve(), Path(str(path)[1:])), *((one, Path(str(one)[1:])) for one in libraries([path]))]
    return archive([*files, (busybox(), Path("bin/busybox"))], _shell())


def libraries(programs: Iterable[Path]) -> set[Path]:
    """The shared libraries that they ask for, and theirs; the loader too. By the names they are asked for."""
    command = ["ldd", *(str(one) for one in programs)]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    found = re.findall(r"^\t(?:\S+ => )?(/\S+) \(0x", said, re.MULTILINE)
    outside = Path(sysconfig.get_path("purelib"))
    return {Path(one) for one in found if not Path(one).resolve().is_relative_to(outside)}


def archive(files: Iterable[tuple[Path, Path]], links: dict[str, str]) -> bytes:
    """Root's, readable by all; with a `/tmp` for all, and no account but root's."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        tar.addfile(_entry("tmp", tarfile.DIRTYPE, 0o1777))
        for name, content in _ACCOUNTS.items():
            _add(tar, name, content)
        for source, target in sorted(set(files)):
            _add(tar, str(target), source.read_bytes(), 0o755 if os.access(source, os.X_OK) else 0o644)
        for name, meant in links.items():
            link = _entry(name, tarfile.SYMTYPE, 0o777)
            link.linkname = meant
            tar.addfile(link)
    return packed.getvalue()


def context(
    folder: Path, *, more: Sequence[str] = (), lock: str = "requirements.lock", unbuilt: Sequence[str] = ()
) -> Path:
    """What a build is sent, with the wheels of the lock file, checked by their hashes.

    `more`: of the repository; `unbuilt`: those of which the index has no wheel.
    """
    for name in (*BUILD, *more):
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    download = ["download", "-q", "--disable-pip-version-check", "--no-deps", "--require-hashes", "--only-binary=:all:"]
    sources = [f"--no-binary={','.join(unbuilt)}"] if unbuilt else []
    command = [sys.executable, "-m", "pip", *download, *sources, "-d", str(folder / ".wheels"), "-r", lock]
    subprocess.run(command, cwd=ROOT, check=True)
    return folder


def build(socket: Path, place: Path, words: Sequence[str]) -> None:
    """`docker build`, with the local base instead of a registry's, and the wheels instead of an index."""
    stand_in = ["--network=none", f"--build-arg=BASE={BASE}", f"--build-arg=PIP_ARGS={PIP_ARGS}"]
    docker(socket, "build", *stand_in, *words, str(place))


def configuration(socket: Path, image: str) -> Any:
    """`docker image inspect`, one image's."""
    return json.loads(docker(socket, "image", "inspect", image))[0]


def compressed_layers(saved: bytes) -> list[int]:
    """The size of each layer of a saved image, from the base upwards, as a registry would keep it."""
    with tarfile.open(fileobj=io.BytesIO(saved)) as tar:
        manifest = json.load(tar.extractfile("manifest.json") or io.BytesIO())
        layers = [tar.extractfile(name) for name in manifest[0]["Layers"]]
        return [len(gzip.compress(layer.read(), 6)) for layer in layers if layer is not None]


def _stdlib(library: Path) -> Iterator[Path]:
    for path in library.rglob("*"):
        parts = path.relative_to(library).parts
        if path.is_file() and not set(parts) & _UNUSED and parts[0] not in _PACKAGES and "config-" not in parts[0]:
            yield path


def _pip(target: Path) -> list[tuple[Path, Path]]:
    site = Path(sysconfig.get_path("purelib"))
    found = [path for path in (site / "pip").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return [(path, target / path.relative_to(site)) for path in found]


def _shell() -> dict[str, str]:
    return {f"bin/{name}": "busybox" for name in _APPLETS}


def _add(tar: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    entry = _entry(name, mode=mode)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))


def _entry(name: str, kind: bytes = tarfile.REGTYPE, mode: int = 0o644) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = kind, mode
    return entry
