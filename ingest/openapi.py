"""The HTTP service's description."""

from typing import Any


def description() -> dict[str, Any]:
    return {}


def page(spec: dict[str, Any]) -> str:
    return "<html></html>"
