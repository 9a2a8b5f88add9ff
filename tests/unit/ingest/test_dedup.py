"""When two deliveries are the same, and that order never matters."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.alertmanager import Webhook
from ingest.dedup import dedup_key
from ingest.query import Query

TEXT = st.text(max_size=3)
ALERTS = st.lists(st.fixed_dictionaries({}, optional={"fingerprint": TEXT, "startsAt": TEXT}), max_size=3)
PAIRS = st.lists(st.tuples(TEXT, TEXT), max_size=3)

DELIVERY: dict[str, Any] = {
    "groupKey": '{}:{alertname="x"}',
    "status": "firing",
    "alerts": [
        {"fingerprint": "a", "startsAt": "2026-11-22T10:46:05.439Z"},
        {"fingerprint": "b", "startsAt": "2026-11-22T10:47:05.439Z"},
    ],
}
QUERY = (("type", "worker"), ("by", "1"))


def key(delivery: dict[str, Any], pairs: Any = QUERY, action: str = "scale-nodes") -> str | None:
    return dedup_key(action, Webhook.read(delivery), Query(tuple(pairs)))


@given(alerts=ALERTS, pairs=PAIRS, seed=st.integers())
def test_order_never_matters(alerts: list[dict[str, str]], pairs: list[tuple[str, str]], seed: int) -> None:
    shuffle = random.Random(seed).shuffle
    others, other_pairs = [dict(reversed(alert.items())) for alert in alerts], list(pairs)
    shuffle(others)
    shuffle(other_pairs)
    first = key({"groupKey": "g", "status": "firing", "alerts": alerts}, pairs)
    assert first == key({"alerts": others, "status": "firing", "groupKey": "g"}, other_pairs)
    assert first is not None


@given(one=st.tuples(ALERTS, PAIRS), two=st.tuples(ALERTS, PAIRS))
def test_different_alerts_or_queries_are_different(one: Any, two: Any) -> None:
    def facts(alerts: list[dict[str, str]], pairs: list[tuple[str, str]]) -> Any:
        return sorted((each.get("fingerprint", ""), each.get("startsAt", "")) for each in alerts), sorted(pairs)

    def made(alerts: list[dict[str, str]], pairs: list[tuple[str, str]]) -> str | None:
        return key({"groupKey": "g", "alerts": alerts}, pairs)

    assert (made(*one) == made(*two)) == (facts(*one) == facts(*two))


@pytest.mark.parametrize(
    "change",
    [
        {"groupKey": "another"},
        {"status": "resolved"},
        {"alerts": DELIVERY["alerts"][:1]},
        {"alerts": [{**DELIVERY["alerts"][0], "startsAt": "2026-11-22T11:00:00Z"}, DELIVERY["alerts"][1]]},
        {"alerts": [{**DELIVERY["alerts"][0], "fingerprint": "c"}, DELIVERY["alerts"][1]]},
    ],
)
def test_another_group_status_or_alert_is_another_delivery(change: dict[str, Any]) -> None:
    assert key({**DELIVERY, **change}) != key(DELIVERY)


def test_another_query_or_route_is_another_delivery() -> None:
    assert key(DELIVERY, [*QUERY, ("service", "web")]) != key(DELIVERY)
    assert key(DELIVERY, [("type", "worker"), ("by", "2")]) != key(DELIVERY)
    assert key(DELIVERY, action="scale-service") != key(DELIVERY)


@pytest.mark.parametrize(
    "noise", [{"externalURL": "http://other:9093"}, {"truncatedAlerts": 1}, {"receiver": "x"}, {"commonLabels": {}}]
)
def test_what_a_second_alertmanager_says_differently_does_not_matter(noise: dict[str, Any]) -> None:
    assert key({**DELIVERY, **noise}) == key(DELIVERY)


def test_ends_and_values_of_alerts_do_not_matter() -> None:
    alerts = [{**alert, "endsAt": "2026-11-22T12:00:00Z", "annotations": {"a": "b"}} for alert in DELIVERY["alerts"]]
    assert key({**DELIVERY, "alerts": alerts}) == key(DELIVERY)


@pytest.mark.parametrize("body", [{}, {"groupLabels": {"scale": "up"}}, {"groupKey": ""}, {"groupKey": None}])
def test_what_no_alertmanager_sent_has_no_key(body: dict[str, Any]) -> None:
    assert key(body) is None
