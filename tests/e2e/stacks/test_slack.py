"""What people read in Slack: of every notice of the scaler and every shipped rule, alone and together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from rules.decision import decide
from rules.model import Problem, Service
from rules.rendering import INVALID, RUNBOOK, rendered
from shared.alertmanager import Alert, Status, payload
from tests.e2e.stacks.slack_channel import BINARY, Channel, firing, open_channel

pytestmark = pytest.mark.skipif(
    BINARY is None, reason="there is no Alertmanager here (Debian: prometheus-alertmanager)"
)

LASTS: Final = timedelta(seconds=60)
COLOURS: Final[Mapping[str, str]] = {"success": "good", "pending": "warning", "error": "danger"}
NOTICES: Final[Mapping[str, Alert]] = {
    "changing": Alert(
        *("scale_nodes", "aws", "success", "Scale nodes up on: aws, by: 1, type: worker"),
        "Changing the number of worker nodes on aws from 1 to 2",
    ),
    "at the top": Alert(
        *("scale_nodes", "aws", "success", "Scale nodes up on: aws, by: 1, type: worker"),
        "worker nodes are already scaled to the maximum number of 5 nodes",
    ),
    "waiting": Alert(
        *("scale_nodes", "reschedule", "pending", "Wait to reschedule"),
        "Waiting for worker nodes to scale from 1 to 2 for rescheduling",
    ),
    "tick": Alert(
        *("reschedule_service", "reschedule", "pending", "Waiting for nodes to scale"),
        "Waited 60 seconds for a total of 2 worker nodes to come online",
    ),
    "rescheduled": Alert(
        *("reschedule_service", "reschedule", "success", "Reschedule services"),
        "2 worker nodes are up, web, api rescheduled",
    ),
    "nodes failed": Alert(
        *("scale_nodes", "aws", "error", "Scale nodes down on: aws, by: 1, type: worker"),
        "Nothing was removed: what runs on ip-10-0-3-12 would not run elsewhere: web.3 <insufficient resources> & more",
    ),
    "service": Alert("scale_service", "web", "success", "Scale service up: web", "Scaling web from 2 to 3 replicas"),
    "service failed": Alert(
        "scale_service", "web", "error", "Scale service up: web", "docker inspect failed in ScalerService: no web"
    ),
    "one service": Alert(
        "reschedule_service", "reschedule", "success", "Rescheduling service: web", "Rescheduled service: web"
    ),
    "bad request": Alert("scale_nodes", "bad_request", "error", "Incorrect request", "No scale direction"),
    "leaving": Alert(
        *("scale_nodes", "aws", "pending", "Node leaving: ip-10-0-3-12 (spot interruption)"),
        "web.1 moved; until 12:00:00",
        node="ip-10-0-3-12",
    ),
}


def products() -> list[dict[str, Any]]:
    """Every rule that is shipped, and one of each that `rules` makes."""
    path = Path(__file__).parents[3] / "monitoring" / "rules.yml"
    groups = yaml.safe_load(path.read_text())["groups"]
    labels = {"com.df.alertName": "mem", "com.df.alertIf": "@service_mem_limit:0.8"}
    decision = decide([Service("web", {**labels, "com.df.alertIf.2": "up"}, 1)])
    assert isinstance(decision.problems[0], Problem)
    groups += yaml.safe_load(rendered(decision))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def alert_of(rule: Mapping[str, Any], service: str) -> dict[str, Any]:
    """What Prometheus posts when a rule fires."""
    return firing({"alertname": rule["alert"], **rule["labels"], "service": service}, **rule["annotations"])


def notice(alert: Alert, service: str, **change: Any) -> list[dict[str, Any]]:
    """What the scaler posts."""
    return payload(replace(alert, service=service, **change), datetime.now(UTC), LASTS)


@pytest.fixture(scope="module")
def channel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Channel]:
    with open_channel(tmp_path_factory.mktemp("slack")) as channel:
        yield channel


@pytest.fixture(scope="module")
def alone(channel: Channel) -> None:
    """Each by itself, all at the same time: each is about a service of its own."""
    for number, alert in enumerate(NOTICES.values()):
        channel.post(*notice(alert, f"notice-{number}", id=f"id-{number}", asked_by="Alertmanager (web_mem)"))
    channel.post(*(alert_of(rule, f"rule-{number}") for number, rule in enumerate(products())))


@pytest.mark.parametrize(("number", "name"), list(enumerate(NOTICES)))
def test_every_notice_has_its_text_its_colour_a_link_and_who_asked(
    channel: Channel, alone: None, number: int, name: str
) -> None:
    alert = NOTICES[name]
    [message] = channel.told(f"notice-{number}")
    assert message.shown["color"] == COLOURS[alert.status]
    assert message.shown["title"].startswith(f"{alert.alertname}: notice-{number}")
    summary = alert.summary.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    link = f"<http://cluster.example/scaler/v1/requests/id-{number}|request>"
    assert message.lines == [f"{alert.request}: {summary}, asked by Alertmanager (web_mem) {link}"]


def test_what_several_prometheus_servers_tell_is_one_alert_that_began_with_the_first(channel: Channel) -> None:
    """One on each manager judges the same; ingest knows a delivery again by the alert's labels and its beginning."""
    labels = {"alertname": "memory", "service": "several", "scale": "up", "type": "node"}
    now = datetime.now(UTC).replace(microsecond=0)
    for seconds in (20, 10, 0):
        channel.post({**firing(labels), "startsAt": (now - timedelta(seconds=seconds)).isoformat()})
    for alert in (*channel.known("several"), *channel.asked("several")[0].body["alerts"]):
        assert datetime.fromisoformat(alert["startsAt"]) == now - timedelta(seconds=20)
    assert len(channel.known("several")) == len(channel.asked("several")[0].body["alerts"]) == 1


@pytest.mark.parametrize(("number", "rule"), list(enumerate(products())), ids=[rule["alert"] for rule in products()])
def test_every_shipped_rule_has_its_text_its_colour_and_a_link(
    channel: Channel, alone: None, number: int, rule: Mapping[str, Any]
) -> None:
    [message] = channel.told(f"rule-{number}")
    assert message.shown["title"] == f"[FIRING] rule-{number} {rule['alert']}"
    assert message.shown["color"] == ("danger" if rule["labels"].get("severity") == "critical" else "warning")
    [line] = message.lines
    assert line.startswith(rule["annotations"]["summary"])
    if "runbook_url" in rule["annotations"]:
        assert line.endswith(f"<http://docs.example/{rule['annotations']['runbook_url']}|what to do>")


def test_two_rules_at_once_are_two_messages_and_two_alerts_of_one_rule_two_lines(channel: Channel) -> None:
    shipped = {rule["alert"]: rule for rule in products()}
    both = [alert_of(shipped[name], "both") for name in ("ScalerDeadLetters", "ScalerRequestsFailing")]
    told = [{"alertname": INVALID, "service": "both", "alert": name} for name in ("a", "b")]
    channel.post(*both, *(firing(each, summary=f"{each['alert']} is wrong", runbook_url=RUNBOOK) for each in told))
    messages = {message.shown["title"]: message for message in channel.told("both", 3)}
    assert messages.keys() == {
        "[FIRING] both ScalerDeadLetters",
        "[FIRING] both ScalerRequestsFailing",
        f"[FIRING: 2] both {INVALID}",
    }
    link = f"<http://docs.example/{RUNBOOK}|what to do>"
    assert sorted(messages[f"[FIRING: 2] both {INVALID}"].lines) == [f"a is wrong {link}", f"b is wrong {link}"]


@pytest.mark.parametrize("second", ["success", "pending", "error"])
def test_two_notices_within_the_wait_are_one_message_with_both_lines_in_the_worse_colour(
    channel: Channel, second: Status
) -> None:
    """Of two requests: the second one's post does not end the first one's of the same status elsewhere."""
    first = firing({"alertname": "scale_nodes", "service": second, "status": "success"}, request="R", summary="S1")
    other = {"alertname": "scale_nodes", "service": second, "status": second, "x": "y"}
    channel.post(first, firing(other, request="R", summary="S2"))
    [message] = channel.told(second)
    assert sorted(message.lines) == ["R: S1", "R: S2"]
    assert message.shown["color"] == COLOURS[second]


def test_success_and_then_error_of_one_request_are_told_as_the_error(channel: Channel) -> None:
    changing, failed = NOTICES["changing"], NOTICES["nodes failed"]
    channel.post(*notice(changing, "request"))
    channel.post(*notice(failed, "request"))
    message = channel.told_in("danger", "request")
    assert len(message.lines) == 1
    assert message.lines[0].startswith(failed.request)
    assert all(each.lines for each in channel.told("request"))


def test_notices_about_two_nodes_are_two_messages_and_do_not_end_each_other(channel: Channel) -> None:
    leaving = NOTICES["leaving"]
    for node in ("ip-10-0-3-12", "ip-10-0-3-129"):
        channel.post(*notice(leaving, "cluster", node=node, request=f"Node leaving: {node}"))
    messages = channel.told("cluster", 2)
    assert {(each.shown["title"], len(each.lines)) for each in messages} == {
        ("scale_nodes: cluster ip-10-0-3-12", 1),
        ("scale_nodes: cluster ip-10-0-3-129", 1),
    }
    channel.post(*notice(leaving, "cluster", node="ip-10-0-3-12", status="success", summary="gone"))
    [last] = channel.told("cluster", 3)[2:]
    assert (last.shown["title"], last.lines) == ("scale_nodes: cluster ip-10-0-3-12", [f"{leaving.request}: gone"])


def test_a_critical_alert_that_joins_a_live_group_is_told_at_once(channel: Channel) -> None:
    labels = {"alertname": "Down", "service": "joined", "severity": "critical"}
    channel.post(firing({**labels, "instance": "a"}, summary="a is down"))
    assert channel.told("joined")[0].lines == ["a is down"]
    channel.post(firing({**labels, "instance": "b"}, summary="b is down"))
    second = channel.told("joined", 2)[1]
    assert (second.shown["title"], second.shown["color"]) == ("[FIRING: 2] joined Down", "danger")
    assert sorted(second.lines) == ["a is down", "b is down"]


def test_what_is_over_is_said_in_green(channel: Channel) -> None:
    labels = {"alertname": "web_mem", "service": "over"}
    channel.post(firing(labels, summary="Memory of the service over is over 0.8"))
    channel.told("over")
    channel.post({**firing(labels, summary="Memory"), "endsAt": datetime.now(UTC).isoformat()})
    last = channel.told("over", 2)[1]
    assert (last.shown["title"], last.shown["color"]) == ("[RESOLVED] over web_mem", "good")
    assert last.lines[0].startswith("(over) Memory")


def test_memory_asks_for_nodes_response_times_for_replicas_and_a_critical_one_is_told_too(channel: Channel) -> None:
    memory = {"alertname": "w_mem", "service": "memory", "scale": "up", "type": "node", "severity": "critical"}
    slow = {"alertname": "w_slow", "service": "slow", "scale": "up", "type": "service"}
    channel.post(firing(memory, summary="Total memory"), firing(slow, summary="Response time"))
    [asked] = channel.asked("memory")
    assert asked.path == "/v1/scale-nodes?by=1&type=worker"
    assert asked.body["groupLabels"] == {"service": "memory", "scale": "up", "type": "node"}
    assert channel.told("memory")[0].lines == ["Total memory"]
    [asked] = channel.asked("slow")
    assert asked.path == "/v1/scale-service"
    assert asked.body["groupLabels"] == {"service": "slow", "scale": "up", "type": "service"}


def test_an_alert_without_a_summary_is_named(channel: Channel) -> None:
    channel.post(firing({"alertname": "Plain", "service": "plain", "instance": "a:1"}))
    assert channel.told("plain")[0].lines == ["Plain plain a:1"]
