"""When two deliveries of Alertmanager are the same: a key that both have, and no other.

Alertmanager repeats a delivery when the answer got lost, and two of them that watch over each other (an HA pair) may
both deliver it. Same means: same route, group, status, alerts (fingerprint and start) and query, in whatever order.
"""

import hashlib
import json

from ingest.alertmanager import Webhook
from ingest.query import Query


def dedup_key(action: str, webhook: Webhook, query: Query) -> str | None:
    """The key of a delivery; None for a body that no Alertmanager sent, as those are never duplicates."""
    if not webhook.group_key:
        return None
    alerts = sorted([alert.fingerprint or "", alert.starts_at or ""] for alert in webhook.alerts or [])
    facts = [action, webhook.group_key, webhook.status, alerts, sorted(query.pairs)]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()
