"""Prometheus's own judgement: `promtool` on rule files, and which of many texts it is that it does not take."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import pytest

needs_promtool: Final = pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool on this machine")
T = TypeVar("T")


def check(folder: Path, text: str) -> str:
    """What `promtool check rules` finds wrong with a file; empty where it is fine."""
    path = folder / "checked.yml"
    path.write_text(text)
    command = ["promtool", "check", "rules", "--lint=none", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def refused(folder: Path, texts: Sequence[T], rule: Callable[[T], dict[str, Any]]) -> list[T]:
    """Those of which Prometheus would not take the rule."""
    groups = [{"name": str(place), "rules": [rule(text)]} for place, text in enumerate(texts)]
    if not check(folder, json.dumps({"groups": groups})):
        return []
    if len(texts) == 1:
        return list(texts)
    half = len(texts) // 2
    return refused(folder, texts[:half], rule) + refused(folder, texts[half:], rule)
