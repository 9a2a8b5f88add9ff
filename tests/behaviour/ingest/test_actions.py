"""An entry in the registry of actions is all that a new action takes here."""

from __future__ import annotations

import pytest

from ingest.openapi import description
from shared import actions
from shared.action import Action, Request
from tests.behaviour.ingest.serving import serving


class PingSwarm(Request):
    """Count the Ready nodes."""


async def test_a_new_entry_is_all_that_a_new_action_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    new = Action(
        name="ping-swarm",
        model=PingSwarm,
        lane="services",
        alert_name="ping_swarm",
        summary="Count the Ready nodes",
        description="Changes nothing.",
    )
    monkeypatch.setitem(actions._BY_NAME, new.name, new)
    assert description()["paths"]["/v1/ping-swarm"]["post"]["operationId"] == "ping-swarm"
    async with serving() as service:
        assert (await service.post("/v1/ping-swarm")).code == 202
        assert (await service.post("/v1/ping-swarm", "not JSON")).code == 400
        assert [message["action"] for message in service.inbox.messages] == ["ping-swarm"]
        assert [alert.alertname for alert in service.alerts.told] == ["ping_swarm"]
