#!/usr/bin/env python3
"""Puts what one process needs of an environment's packages into a folder: `gather.py PYPROJECT FROM TO PROCESS...`.

The packages that pyproject.toml names for the process (or several of one image), and what those name in turn, nothing
else; of botocore's data (27 MB, one folder for each of 400 services) only the services that the processes talk to, and
of those the newest version of the API. Nothing that is only there to be run by a person or a test. For `local`, the
environment of `make up`, all of the SDK: its emulated AWS is made of it.
"""

from __future__ import annotations

import re
import shutil
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path, PurePosixPath
from typing import Final

SERVICES: Final = frozenset(
    {
        *("sqs", "dynamodb", "autoscaling", "ec2"),  # what the processes call
        *("sts", "sso", "sso-oidc"),  # where the SDK gets credentials, with roles and profiles
    }
)
# Named in pyproject.toml so that all of the SDK is resolved together; production code may not import it.
NOT_IMPORTED: Final = frozenset({"boto3", "s3transfer"})
# Named there for all processes, and not needed by these.
NOT_NEEDED: Final = {"rules": frozenset({"aiobotocore", "aiohttp"})}
WITH_ALL_OF_AWS: Final = "local"
_DATA: Final = ("botocore", "data")
_REQUIREMENT: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*) *(?:\[([^\]]*)\])?")
_EXTRA: Final = re.compile(r"""extra *== *['"]([^'"]+)['"]""")
Wanted = tuple[str, str]
"""A package, and one of its extras; the package by itself where that is empty."""


def canonical(name: str) -> str:
    """`Prometheus_Client` is `prometheus-client`."""
    return re.sub(r"[-_.]+", "-", name).lower()


def roots(pyproject: Path, process: str) -> set[Wanted]:
    """The packages that a process asks for."""
    project = tomllib.loads(pyproject.read_text())["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"][process]]
    return _without({one for requirement in asked for one in _named(requirement)}, NOT_NEEDED.get(process, frozenset()))


def closure(known: dict[str, Distribution], wanted: set[Wanted], unwanted: frozenset[str]) -> set[str]:
    """With all that those packages ask for. Those that are not installed are for other machines."""
    found: set[Wanted] = set()
    while wanted - found:
        name, extra = min(wanted - found)
        found.add((name, extra))
        asked = {one for text in known[name].requires or [] if _extra(text) == extra for one in _named(text)}
        wanted |= {one for one in _without(asked, unwanted) if one[0] in known}
    return {name for name, _ in found}


def files(distribution: Distribution, every_service: bool) -> Iterator[PurePosixPath]:
    """What of a package goes along."""
    newest = _newest(distribution)
    for path in distribution.files or []:
        outside = path.parts[0] in ("..", "/") or path.is_absolute()
        if outside or "__pycache__" in path.parts or "tests" in path.parts[1:2]:
            continue
        service = path.parts[2:4] if path.parts[:2] == _DATA and len(path.parts) > 3 else ()
        if service and service not in newest and not every_service:
            continue
        if path.name.startswith("examples-"):
            continue
        yield path


def _newest(distribution: Distribution) -> set[tuple[str, ...]]:
    """Of each service's API versions the last one."""
    versions = {
        path.parts[2:4]
        for path in distribution.files or []
        if path.parts[:2] == _DATA and len(path.parts) > 4 and path.parts[2] in SERVICES
    }
    return {max(one for one in versions if one[0] == service) for service, _ in versions}


def gather(pyproject: Path, source: Path, target: Path, *processes: str) -> set[str]:
    """Copy; the names of the packages."""
    known = {canonical(one.metadata["Name"]): one for one in distributions(path=[str(source)])}
    everything = WITH_ALL_OF_AWS in processes
    unwanted = frozenset() if everything else NOT_IMPORTED
    wanted = set().union(*(roots(pyproject, process) for process in processes))
    names = closure(known, _without(wanted, unwanted), unwanted)
    for name in names:
        for path in files(known[name], everything):
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source / path, target / path)
    return names


def _named(requirement: str) -> set[Wanted]:
    match = _REQUIREMENT.match(requirement)
    if match is None:
        raise ValueError(f"not a requirement: {requirement}")
    extras = [one.strip() for one in (match[2] or "").split(",")]
    return {(canonical(match[1]), extra) for extra in ("", *extras)}


def _extra(requirement: str) -> str:
    """Which extra of a package has a requirement; empty where the package itself has it."""
    match = _EXTRA.search(requirement)
    return match[1] if match else ""


def _without(wanted: set[Wanted], names: frozenset[str]) -> set[Wanted]:
    return {one for one in wanted if one[0] not in names}


if __name__ == "__main__":
    gather(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), *sys.argv[4:])
