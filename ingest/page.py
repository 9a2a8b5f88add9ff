"""The OpenAPI document as one HTML page that needs nothing else: no scripts, no fonts, no network."""

import re
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from typing import Any

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2733; --soft: #5b6b7b; --line: #d9e0e7; --back: #fff; --code: #f2f5f8;
  --post: #1f7a4d; --get: #1b5fae }
@media (prefers-color-scheme: dark) { :root { --ink: #dfe6ee; --soft: #9aa8b6; --line: #33404d; --back: #141a21;
  --code: #1e2731; --post: #5cc48f; --get: #78b0f2 } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--back); margin: 0 auto;
  max-width: 60rem; padding: 2rem 1rem 6rem }
h1 { margin: 0 } h2 { margin: 0; font-size: 1.1rem; font-family: ui-monospace, monospace }
section { border-top: 1px solid var(--line); padding: 1.5rem 0 } p { margin: .5rem 0 }
.method { display: inline-block; min-width: 3.2rem; font-weight: 700 }
.post { color: var(--post) } .get { color: var(--get) } .soft { color: var(--soft) }
code, pre { font-family: ui-monospace, monospace; font-size: .9em; background: var(--code); border-radius: 4px }
code { padding: .1em .3em } pre { padding: .8rem; overflow-x: auto }
table { border-collapse: collapse; width: 100%; margin: .8rem 0 }
td, th { text-align: left; vertical-align: top; padding: .35rem .8rem .35rem 0; border-top: 1px solid var(--line) }
th { font-weight: 600; color: var(--soft); border: 0 } th:first-child { width: 9rem }
td:first-child { white-space: nowrap }
nav a { display: inline-block; margin-right: 1rem } a { color: var(--get) }
"""

_GUARDED = (
    "<p>A token is wanted, but for ping and healthz: <code>Authorization: Bearer TOKEN</code>, or Basic with it as the "
    "password.</p>"
)


def page(document: Mapping[str, Any]) -> str:
    """The page."""
    info = document["info"]
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(info['title'])}</title>",
        '<meta name=viewport content="width=device-width">',
        f"<style>{_STYLE}</style><h1>{escape(info['title'])}</h1><p>{_text(info['description'])}</p>",
        _places(document),
        *(_operation(path, method, op) for path, method, op in _operations(document)),
    ]
    return "\n".join(parts)


def _places(document: Mapping[str, Any]) -> str:
    prefixes = [server["url"] for server in document["servers"] if server["url"] != "/"]
    below = (
        f"<p>All routes but <code>/metrics</code> exist below <code>{escape(prefixes[0])}</code> too.</p>"
        if prefixes
        else ""
    )
    links = "".join(f'<a href="#{_anchor(path)}">{escape(path)}</a>' for path in document["paths"])
    more = '<p>For programs: <a href="docs/openapi.json">openapi.json</a></p>'
    return f"{below}{_GUARDED if document['security'] else ''}{more}<nav>{links}</nav>"


def _operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def _operation(path: str, method: str, operation: Mapping[str, Any]) -> str:
    curl = "".join(f"<pre>{escape(sample['source'])}</pre>" for sample in operation.get("x-codeSamples", []))
    body = f"<p>Body: {_text(operation['requestBody']['description'])}</p>" if "requestBody" in operation else ""
    parameters = (
        (f"<code>{escape(item['name'])}</code>", escape(_kind(item)), _text(item["description"]))
        for item in operation.get("parameters", [])
    )
    answers = ((code, _text(each["description"])) for code, each in operation["responses"].items())
    return (
        f'<section id="{_anchor(path)}"><h2><span class="method {method}">{method.upper()}</span>{escape(path)}</h2>'
        f"<p>{_text(operation['summary'])}. <span class=soft>{_text(operation.get('description', ''))}</span></p>{curl}"
        f"{_table(('Parameter', 'Is', 'Means'), parameters)}"
        f"{body}"
        f"{_table(('Answer', 'When'), answers)}</section>"
    )


def _kind(parameter: Mapping[str, Any]) -> str:
    schema, place = parameter["schema"], parameter["in"]
    values = " or ".join(map(str, schema["enum"])) if "enum" in schema else schema.get("type", "")
    limits = f", {schema['minimum']:g} to {schema['maximum']:g}" if {"minimum", "maximum"} <= schema.keys() else ""
    return f"{values}{limits}{'' if place == 'query' else f' ({place})'}"


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = ["".join(f"<td>{cell}</td>" for cell in row) for row in rows]
    if not lines:
        return ""
    head = "".join(f"<th>{name}</th>" for name in heads)
    return f"<table><tr>{head}</tr>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def _text(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _anchor(path: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", path.lower()).strip("-")
