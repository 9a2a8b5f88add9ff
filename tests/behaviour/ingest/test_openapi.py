"""The description: complete, consistent, and a page that needs nothing else."""

from __future__ import annotations

import re
from typing import Any

from ingest.openapi import description
from ingest.translate import FOR_ALL
from tests.behaviour.ingest.serving import Service

V1 = {
    "/v1/scale-nodes",
    "/v1/scale-service",
    "/v1/reschedule-services",
    "/v1/reschedule-service",
    "/v1/drain-node",
    "/v1/replace-node",
    "/v1/pause",
    "/v1/resume",
    "/v1/requests/{id}/cancel",
}
REST = {
    "/",
    "/v1/requests",
    "/v1/status",
    "/v1/requests/{id}",
    "/v1/ping",
    "/healthz",
    "/readyz",
    "/metrics",
    "/docs",
    "/docs/openapi.json",
}


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*map(references, value.values()))
    return set().union(*map(references, value)) if isinstance(value, list) else set()


async def test_every_route_is_described(service: Service) -> None:
    document = (await service.get("/docs/openapi.json")).json
    assert document["openapi"].startswith("3.1")
    assert document["paths"].keys() == V1 | REST
    for path in V1:
        assert document["paths"][path]["post"]["responses"].keys() >= {
            "200",
            "202",
            "400",
            "401",
            "403",
            "413",
            "500",
            "503",
        }
    for path in REST:
        answer = await service.get(path.replace("{id}", "x"))
        assert str(answer.code) in document["paths"][path]["get"]["responses"]


async def test_everything_referred_to_is_there(service: Service) -> None:
    document = (await service.get("/docs/openapi.json")).json
    schemas = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert references(document) <= schemas
    assert {"#/components/schemas/Webhook", "#/components/schemas/Record"} <= schemas


def test_parameters_come_from_the_models() -> None:
    [by] = [item for item in description()["paths"]["/v1/scale-nodes"]["post"]["parameters"] if item["name"] == "by"]
    assert by["schema"] == {"type": "integer", "minimum": 1, "maximum": 10_000}
    names = {
        path: {item["name"] for item in description()["paths"][path]["post"]["parameters"]}
        - {"Prefer", "Idempotency-Key"}
        for path in V1
    }
    assert names == {
        "/v1/scale-nodes": {"scale", "type", "by", "service", *FOR_ALL},
        "/v1/scale-service": {"service", "scale", "by", *FOR_ALL},
        "/v1/reschedule-services": {*FOR_ALL},
        "/v1/reschedule-service": {"service", *FOR_ALL},
        "/v1/drain-node": {"node", "back", *FOR_ALL},
        "/v1/replace-node": {"node", *FOR_ALL},
        "/v1/pause": {"for", *FOR_ALL},
        "/v1/resume": {*FOR_ALL},
        "/v1/requests/{id}/cancel": {"id", *FOR_ALL},
    }


async def test_the_page_needs_no_network_and_no_scripts(service: Service) -> None:
    answer = await service.get("/docs")
    assert answer.headers["Content-Type"].startswith("text/html")
    assert not re.search(r"https?://|<script|<link|@import|url\(|src=", answer.text)
    for path in V1 | REST:
        assert f">{path}</h2>" in answer.text
    for path in V1:
        assert f"<pre>curl -X POST &quot;$INGEST_URL{path}" in answer.text
    assert "-d &#x27;{&quot;groupLabels&quot;: {&quot;scale&quot;: &quot;up&quot;}}&#x27;" in answer.text


async def test_the_page_names_prefix_and_token_where_there_are_some(service: Service, prefixed: Service) -> None:
    token = {"Authorization": "Bearer correct horse"}
    assert "/scaler" in (await prefixed.get("/docs", headers=token)).text
    assert "Bearer TOKEN" in (await prefixed.get("/docs", headers=token)).text
    assert "Bearer TOKEN" not in (await service.get("/docs")).text
    assert {"url": "/scaler"} in (await prefixed.get("/docs/openapi.json", headers=token)).json["servers"]
