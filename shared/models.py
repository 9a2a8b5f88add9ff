"""AWS's models, without what nobody here reads.

The SDK keeps the description of every operation of a service, documentation included: EC2's is 4 MB of JSON, 14 MiB
of memory and a fifth of a second at the start, for the one operation that is used. And its parser looks in each part
of an answer for every member that the model has: of an instance those are some sixty, of which few are read.
"""

import gzip
import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from botocore.loaders import JSONFileLoader
from botocore.utils import parse_timestamp

MODEL = "service-2"
"""The file of a service's operations and shapes."""


@dataclass(frozen=True, slots=True)
class Used:
    """What is used of one service."""

    operations: frozenset[str]
    members: Mapping[str, Collection[str]] = field(default_factory=dict)
    """By shape, where only some of its members are read; of all other shapes every one."""


class LeanFiles(JSONFileLoader):  # type: ignore[misc] # botocore has no types
    """Reads the SDK's files, and keeps of models what is used. By service; of one that is not named, everything."""

    def __init__(self, used: Mapping[str, Used]) -> None:
        self._used = used

    def load_file(self, file_path: str) -> Any:
        """What is in a file, whose path has no suffix yet; None where there is no such file."""
        for suffix, opened in ((".json", bytes), (".json.gz", gzip.decompress)):
            if (file := Path(file_path + suffix)).is_file():
                return self._lean(Path(file_path), json.loads(opened(file.read_bytes())))
        return None

    def _lean(self, path: Path, found: Any) -> Any:
        """`path` ends in service, version, kind of file."""
        if path.name != MODEL:
            return found
        used = self._used.get(path.parts[-3])
        return _undocumented(found if used is None else _part(found, used))


def timestamp(value: Any) -> datetime:
    """A moment as AWS writes it. Most end in `Z`; the SDK's own parser takes a hundred times as long for them."""
    if isinstance(value, str) and value.endswith("Z"):
        with suppress(ValueError):
            return datetime.fromisoformat(value)
    moment: datetime = parse_timestamp(value)
    return moment


def _part(model: dict[str, Any], used: Used) -> dict[str, Any]:
    """The model of the operations that are used. Raises KeyError where it has no such operation or shape."""
    operations = {name: model["operations"][name] for name in used.operations}
    for name, members in used.members.items():
        shape = model["shapes"][name]
        shape["members"] = {member: each for member, each in shape["members"].items() if member in members}
    kept: dict[str, Any] = {}
    missing = {name for each in operations.values() for name in _shapes(each)}
    while missing:
        kept |= {name: model["shapes"][name] for name in missing}
        missing = {inner for name in missing for inner in _shapes(kept[name])} - kept.keys()
    return {**model, "operations": operations, "shapes": kept}


def _shapes(part: Any) -> Iterator[str]:
    """The shapes that a part of a model names."""
    if isinstance(part, dict):
        for key, value in part.items():
            if key == "shape" and isinstance(value, str):
                yield value
            else:
                yield from _shapes(value)
    elif isinstance(part, list):
        for value in part:
            yield from _shapes(value)


def _undocumented(part: Any) -> Any:
    if isinstance(part, dict):
        return {key: _undocumented(value) for key, value in part.items() if not _is_documentation(key, value)}
    return [_undocumented(value) for value in part] if isinstance(part, list) else part


def _is_documentation(key: str, value: object) -> bool:
    """A member may have that name, too: then it is a shape."""
    return key == "documentation" and isinstance(value, str)
