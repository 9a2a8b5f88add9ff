"""The HTTP interface, from the OpenAPI document that ingest serves."""

from collections.abc import Iterator, Mapping
from typing import Any

from infra.reference.markdown import code, table
from ingest.openapi import description

_POST = "post"
_SUMMARIES = {"/docs": "This interface, for people", "/docs/openapi.json": "This interface, for programs"}
"""Where the document speaks of itself."""


def routes() -> str:
    """Each route with its parameters."""
    rows = [
        (code(f"{method.upper()} {path}"), _names(operation), f"{_SUMMARIES.get(path, operation['summary'])}.")
        for path, method, operation in _operations()
    ]
    return table(("route", "query", "does"), rows)


def parameters() -> str:
    """Each parameter and header that a route knows, once: those of some POSTs, of all POSTs, of the others."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for path, _, operation in _operations():
        for item in operation.get("parameters", ()):
            row = (f"{code(item['name'])}{_place(item)}", _kind(item["schema"]), item["description"])
            found.setdefault(row, []).append(path)
    posts = [path for path, method, _ in _operations() if method == _POST]
    order = sorted(found.items(), key=lambda row: (row[1][0] not in posts, row[1] == posts))
    rows = [(name, _where(paths, posts), kind, text) for (name, kind, text), paths in order]
    return table(("name", "of", "is", "means"), rows)


def codes() -> str:
    """What a POST is answered."""
    found: dict[str, str] = {}
    for _, method, operation in _operations():
        if method == _POST:
            found |= {status: answer["description"] for status, answer in operation["responses"].items()}
    return table(("code", "when"), sorted(found.items()))


def _operations() -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for path, methods in description()["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def _names(operation: Mapping[str, Any]) -> str:
    return ", ".join(code(item["name"]) for item in operation.get("parameters", ()) if item["in"] == "query")


def _where(paths: list[str], posts: list[str]) -> str:
    return "every POST" if paths == posts else ", ".join(code(path.removeprefix("/v1/")) for path in paths)


def _place(item: Mapping[str, Any]) -> str:
    return "" if item["in"] == "query" else f" ({item['in']})"


def _kind(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return " or ".join(code(str(value)) for value in schema["enum"])
    limits = f", {schema['minimum']:g} to {schema['maximum']:g}" if {"minimum", "maximum"} <= schema.keys() else ""
    longest = f", at most {schema['maxLength']} characters" if "maxLength" in schema else ""
    return f"{schema.get('type', 'any')}{limits}{longest}"
