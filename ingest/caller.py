"""Who asks: what is known of an HTTP caller, and of the alerts that made it call. Kept with the request.

Never a secret: of a login only the name is kept.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ingest.alertmanager import Webhook, alert_names
from shared.fields import shown

MOST_NAMES = 10
LONGEST = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """One caller. `forwarded_for` is what proxies say about whom they speak for."""

    address: str | None = None
    forwarded_for: str | None = None
    user: str | None = None


def asked_by(caller: Caller, body: Mapping[str, Any], webhook: Webhook) -> dict[str, Any]:
    """As the message carries it: only what is known."""
    named = {
        "alerts": _names(alert_names(body)),
        "receiver": _text(webhook.receiver),
        "group": _text(webhook.group_key),
        "address": _text(caller.address),
        "forwarded_for": _text(caller.forwarded_for),
        "user": _text(caller.user),
    }
    return {name: value for name, value in named.items() if value}


def _names(names: Iterable[str]) -> list[str]:
    """Each name once, in the order of the delivery."""
    return [shown(name, LONGEST) for name in dict.fromkeys(names) if name][:MOST_NAMES]


def _text(value: object) -> str | None:
    return shown(value, LONGEST) if isinstance(value, str) and value else None
