"""What never scales or reschedules, whatever the URL says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ingest.ignored import why_ignored
from shared.actions import ACTIONS
from tests.behaviour.ingest.serving import Service, payload


def own(*names: str, **more: Any) -> dict[str, Any]:
    """A delivery of alerts with these names."""
    alerts = [{"labels": {"alertname": name, "scale": "up", "type": "worker"}} for name in names]
    return {"status": "firing", "groupKey": "{}", "alerts": alerts, **more}


def sns(message: Any) -> dict[str, Any]:
    text = message if isinstance(message, str) else json.dumps(message)
    return {"Type": "Notification", "MessageId": "m", "Message": text}


def alarm(state: Any) -> dict[str, Any]:
    return {"AlarmName": "busy", "OldStateValue": "ALARM", "NewStateValue": state}


def event(state: Any) -> dict[str, Any]:
    return {"detail-type": "CloudWatch Alarm State Change", "detail": {"state": {"value": state}}}


IGNORED = {
    "resolved": ({"status": "resolved"}, "resolved"),
    "Resolved": ({"status": "Resolved"}, "resolved"),
    "resolved, through SNS": (sns({"status": "resolved"}), "resolved"),
    "SNS subscription": ({"Type": "SubscriptionConfirmation", "SubscribeURL": "https://x"}, "SubscribeURL"),
    "SNS unsubscription": ({"Type": "UnsubscribeConfirmation"}, "UnsubscribeConfirmation"),
    "alarm OK": (alarm("OK"), "CloudWatch"),
    "alarm without data": (alarm("INSUFFICIENT_DATA"), "CloudWatch"),
    "alarm of no state": (alarm(5), "CloudWatch"),
    "alarm OK, through SNS": (sns(alarm("OK")), "CloudWatch"),
    "alarm OK, through EventBridge": (event("OK"), "CloudWatch"),
    "alarm OK, through EventBridge and SNS": (sns(event("OK")), "CloudWatch"),
    "Grafana ok": ({"ruleName": "busy", "state": "ok"}, "Grafana"),
    "Grafana no data": ({"ruleName": "busy", "state": "no_data"}, "Grafana"),
    "scale_nodes": (own("scale_nodes"), "scale_nodes"),
    "scale_service": (own("scale_service"), "own alerts"),
    "reschedule_service": (own("reschedule_service"), "own alerts"),
    "own rules": (own("ScalerDeadLetters", "ScalerNoActiveWorker"), "ScalerDeadLetters, ScalerNoActiveWorker"),
    "own, all of them": (own("scale_nodes", "ScalerX", "reschedule_service"), "own alerts"),
    "own, of a group without a list": ({"groupLabels": {"alertname": "scale_nodes"}}, "own alerts"),
    "own, in common": ({"alerts": [], "commonLabels": {"alertname": "scale_nodes"}}, "own alerts"),
}

NOT_IGNORED = {
    "nothing": {},
    "firing": {"status": "firing"},
    "SNS notification": sns("some text"),
    "SNS notification of a list": sns([1]),
    "SNS notification without end": sns("[" * 100_000),
    "alarm": alarm("ALARM"),
    "alarm, through SNS": sns(alarm("ALARM")),
    "alarm, through EventBridge": event("ALARM"),
    "another event": {"detail": {"state": "stopped"}},
    "Grafana alerting": {"state": "alerting"},
    "Grafana's state is no word": {"state": ["ok"]},
    "own and others": own("scale_nodes", "busy"),
    "own and one without a name": {"alerts": [{"labels": {"alertname": "scale_nodes"}}, {"labels": {}}]},
    "a name that begins alike": own("scale_nodes_now"),
    "alerts without names": {"alerts": [{}, {"labels": None}, {"labels": {"alertname": 5}}]},
    "a group that is not the scaler's": {
        "groupLabels": {"alertname": "busy"},
        "commonLabels": {"alertname": "scale_nodes"},
    },
}


@pytest.mark.parametrize("case", IGNORED)
@pytest.mark.parametrize("action", ACTIONS)
async def test_it_is_200_with_the_reason_and_nothing_is_queued(service: Service, action: str, case: str) -> None:
    body, reason = IGNORED[case]
    answer = await service.post(f"{ACTIONS[action].route}?scale=up&type=worker&service=web&nonsense=1", body)
    assert (answer.code, answer.json["status"]) == (200, "OK")
    assert answer.message.startswith("Ignored: ")
    assert reason in answer.message
    assert (service.inbox.bodies, service.alerts.told) == ([], [])


@pytest.mark.parametrize("case", NOT_IGNORED)
async def test_anything_else_is_queued(service: Service, case: str) -> None:
    assert why_ignored(NOT_IGNORED[case]) is None
    assert (await service.post("/v1/scale-nodes?scale=up&type=worker", NOT_IGNORED[case])).code == 202


@pytest.mark.parametrize("name", ["tutorial_firing", "tutorial_repeated", "two_alerts_firing", "one_of_two_resolved"])
def test_what_real_alertmanagers_send_is_not_ignored(name: str) -> None:
    assert why_ignored(payload(name)) is None
