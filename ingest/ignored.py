"""Deliveries that ask for nothing, whatever the URL says: what is over, what is fine, and what the scaler said itself.

Senders deliver to one URL the good news with the bad. A scale for "it is over" would undo or repeat what the alert
had asked for, and an alert of the scaler's own would make it feed itself.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ingest.alertmanager import alert_names
from shared.actions import ACTIONS
from shared.fields import shown

OWN_PREFIX = "Scaler"
"""How the alerts of the scaler's own rules begin; its notices have the alert names of its actions."""

_HANDSHAKES = frozenset({"SubscriptionConfirmation", "UnsubscribeConfirmation"})
"""https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html"""
_QUIET = frozenset({"ok", "no_data", "paused", "pending"})
"""The states of Grafana's alerting before version 9, but for `alerting`."""


def why_ignored(body: Mapping[str, Any]) -> str | None:
    """The reason why a body asks for nothing; None where it may ask for something."""
    reasons = (rule(delivery) for delivery in _deliveries(body) for rule in _RULES)
    return next(filter(None, reasons), None)


def _deliveries(body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The body, and the delivery inside it where SNS brought one."""
    yield body
    message = body.get("Message")
    try:
        inner = json.loads(message) if isinstance(message, str) else None
    except (ValueError, RecursionError):
        return
    if isinstance(inner, dict):
        yield inner


def _resolved(body: Mapping[str, Any]) -> str | None:
    over = _lower(body.get("status")) == "resolved"
    return "the alerts are resolved, which never scales or reschedules anything" if over else None


def _handshake(body: Mapping[str, Any]) -> str | None:
    kind = body.get("Type")
    if isinstance(kind, str) and kind in _HANDSHAKES:
        return f"a {kind} of SNS asks for nothing; confirm the subscription by opening its SubscribeURL"
    return None


def _no_alarm(body: Mapping[str, Any]) -> str | None:
    """CloudWatch, through SNS or through EventBridge."""
    detail = body.get("detail")
    state = detail.get("state") if isinstance(detail, dict) else None
    value = state.get("value") if isinstance(state, dict) else None
    for given in (body.get("NewStateValue"), value):
        if given is not None and given != "ALARM":
            return "the CloudWatch alarm is not in the state ALARM"
    return None


def _grafana(body: Mapping[str, Any]) -> str | None:
    state = _lower(body.get("state"))
    return f"Grafana's state is {state}, not alerting" if state in _QUIET else None


def _own(body: Mapping[str, Any]) -> str | None:
    names = alert_names(body)
    if names and all(map(_is_own, names)):  # an alert without a name is not ours
        return f"{shown(', '.join(sorted(set(names))), 200)}: the scaler's own alerts never make it scale"
    return None


_RULES = (_resolved, _handshake, _no_alarm, _grafana, _own)


def _is_own(name: str) -> bool:
    return name.startswith(OWN_PREFIX) or name in {action.alert_name for action in ACTIONS.values()}


def _lower(value: object) -> str | None:
    return value.lower() if isinstance(value, str) else None
