"""The image that the lab's services run: busybox and nothing else, made here since no registry is reached.

Its repository names an address where nobody listens. An engine asks there before it takes its own copy, and hears at
once that there is nothing; with any other name it would wait for DNS.
"""

from __future__ import annotations

import asyncio
import io
import tarfile
from pathlib import Path
from typing import Final

from infra.lab.commands import run

IMAGE: Final = "127.0.0.1:1/demo:1"
MISSING_IMAGE: Final = "127.0.0.1:1/demo:none"
"""One that no engine has."""


async def rootfs(busybox: Path) -> bytes:
    """A tar archive of the image's files."""
    applets = (await run(str(busybox), "--list")).split()
    content, target = await asyncio.to_thread(busybox.read_bytes), io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for folder in ("bin", "tmp", "etc"):
            archive.addfile(_entry(folder, tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755))
        archive.addfile(_entry("etc/passwd"), io.BytesIO())
        program = _entry("bin/busybox", mode=0o755)
        program.size = len(content)
        archive.addfile(program, io.BytesIO(content))
        for applet in sorted({*applets} - {"busybox"}):
            link = _entry(f"bin/{applet}", tarfile.SYMTYPE, 0o777)
            link.linkname = "busybox"
            archive.addfile(link)
    return target.getvalue()


def _entry(name: str, kind: bytes = tarfile.REGTYPE, mode: int = 0o644) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = kind, mode
    return entry
