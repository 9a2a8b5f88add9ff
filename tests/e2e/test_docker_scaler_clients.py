"""A client written for docker-scaler, which waits for its answer: the statuses, messages and alerts that it knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.environment import Environment
from tests.waiting import until

SETTINGS = {"DEFAULT_WAIT": "60", "ALERT_TIMEOUT": "300", "ALERT_SCALE_MIN": "true", "ALERT_NODE_MIN": "true"}
WORKERS = 1
_QUICK: dict[str, Any] = {"UpdateConfig": {"Parallelism": 10, "Monitor": 10**7}}
_LABELS = {"com.df.scaleMin": "2", "com.df.scaleMax": "6", "com.df.scaleUpBy": "2", "com.df.scaleDownBy": "3"}


@dataclass(frozen=True)
class Seen:
    """What the client sees of one call: the answer, and the alert that lasts afterwards."""

    code: int
    message: str
    labels: tuple[str, str, str]
    request: str
    summary: str


def _call(env: Environment, path: str, body: object, alert: tuple[str, str]) -> Seen:
    answer = env.caller.post(path, body)
    said = answer.json()
    assert said["status"] == ("OK" if answer.status_code < 400 else "NOK")
    found = until(lambda: _alert(env, alert, said["message"]), f"an alert about {alert}: {said['message']}", 10)
    labels, annotations = found["labels"], found["annotations"]
    shown = (labels["alertname"], labels["service"], labels["status"])
    return Seen(answer.status_code, said["message"], shown, annotations["request"], annotations["summary"])


def _alert(env: Environment, name: tuple[str, str], message: str) -> dict[str, Any] | None:
    """The alert that Alertmanager's v2 API shows of this alertname and service; other statuses must be over."""
    import requests

    alerts = requests.get(f"{env.variables['ALERTMANAGER_ADDRESS']}/api/v2/alerts", timeout=5).json()
    found = [one for one in alerts if (one["labels"]["alertname"], one["labels"]["service"]) == name]
    assert len(found) < 2, found
    return found[0] if found and message.endswith(found[0]["annotations"]["summary"]) else None


def _web(env: Environment, name: str, replicas: int, **labels: str) -> str:
    env.create(name, replicas, labels={**_LABELS, **labels}, **_QUICK)
    return name


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("scale-service?scale=up", None, "No service name in request"),
        ("scale-service?service=web", None, "No scale direction in request"),
        ("scale-service?service=web&scale=sideways", None, "Incorrect scale direction in request"),
        ("scale-service", {"groupLabels": {"scale": "up"}}, "No service name in request"),
        ("scale-service", {"groupLabels": {"service": "web"}}, "No scale direction in request"),
        ("scale-service", {"groupLabels": {"service": "web", "scale": "x"}}, "Incorrect scale direction in request"),
    ],
)
def test_a_scale_service_that_can_never_be_valid(env: Environment, path: str, body: object, message: str) -> None:
    labels = ("scale_service", "bad_request", "error")
    seen = _call(env, f"/v1/{path}", body, labels[:2])
    assert seen == Seen(400, message, labels, "Incorrect request", message)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("type=worker", "No scale direction"),
        ("type=worker&scale=left", "Incorrect scale direction"),
        ("type=node&scale=up", "Incorrect node type: node, type can only be worker or manager"),
    ],
)
def test_a_scale_nodes_that_can_never_be_valid(env: Environment, query: str, message: str) -> None:
    labels = ("scale_nodes", "bad_request", "error")
    seen = _call(env, f"/v1/scale-nodes?{query}", None, labels[:2])
    assert seen == Seen(400, message, labels, "Incorrect request", message)


def test_an_unknown_service(env: Environment) -> None:
    labels = ("scale_service", "nobody", "error")
    seen = _call(env, "/v1/scale-service?service=nobody&scale=up", None, labels[:2])
    assert (seen.code, seen.labels, seen.request) == (500, labels, "Scale service up: nobody")
    assert seen.message == seen.summary
    assert seen.message.startswith("docker inspect failed in ScalerService: ")


def test_a_global_service(env: Environment) -> None:
    env.create("everywhere", None)
    labels = ("scale_service", "everywhere", "error")
    message = "everywhere is a global service (can not be scaled)"
    seen = _call(env, "/v1/scale-service?service=everywhere&scale=up", None, labels[:2])
    assert seen == Seen(500, message, labels, "Scale service up: everywhere", message)


@pytest.mark.parametrize(
    ("replicas", "query", "message", "after"),
    [
        (3, "scale=up", "Scaling {} from 3 to 5 replicas (min: 2, max: 6)", 5),
        (5, "scale=up", "Scaling {} from 5 to 6 replicas (min: 2, max: 6)", 6),
        (3, "scale=up&by=9", "Scaling {} from 3 to 6 replicas (min: 2, max: 6)", 6),
        (3, "scale=up&by=1", "Scaling {} from 3 to 4 replicas (min: 2, max: 6)", 4),
        (6, "scale=up", "{} is already scaled to the maximum number of 6 replicas", 6),
        (9, "scale=up", "{} is already scaled to the maximum number of 9 replicas", 9),
        (6, "scale=down", "Scaling {} from 6 to 3 replicas (min: 2, max: 6)", 3),
        (6, "scale=down&by=1", "Scaling {} from 6 to 5 replicas (min: 2, max: 6)", 5),
        (4, "scale=down", "Scaling {} from 4 to 2 replicas (min: 2, max: 6)", 2),
        (2, "scale=down", "{} is already descaled to the minimum number of 2 replicas", 2),
    ],
)
def test_up_and_down_by_label_and_by_query_past_and_at_the_bounds(
    env: Environment, replicas: int, query: str, message: str, after: int
) -> None:
    name = _web(env, f"web-{replicas}-{query.replace('&', '-').replace('=', '-')}", replicas)
    direction = "up" if "up" in query else "down"
    labels = ("scale_service", name, "success")
    seen = _call(env, f"/v1/scale-service?service={name}&{query}", None, labels[:2])
    text = message.format(name)
    assert seen == Seen(200, text, labels, f"Scale service {direction}: {name}", text)
    assert env.replicas(name) == after


def test_a_service_scale_by_the_labels_of_an_alert(env: Environment) -> None:
    _web(env, "alerted", 3)
    body = {"groupLabels": {"service": "alerted", "scale": "up"}, "status": "firing"}
    seen = _call(env, "/v1/scale-service", body, ("scale_service", "alerted"))
    assert (seen.code, seen.message) == (200, "Scaling alerted from 3 to 5 replicas (min: 2, max: 6)")


def test_a_service_without_labels_keeps_the_defaults(env: Environment) -> None:
    env.create("plain", 5)
    seen = _call(env, "/v1/scale-service?service=plain&scale=up", None, ("scale_service", "plain"))
    assert seen.message == "plain is already scaled to the maximum number of 5 replicas"


def test_nodes_at_the_minimum_and_at_the_maximum(env: Environment) -> None:
    labels = ("scale_nodes", "aws", "success")
    body = {"groupLabels": {"scale": "down", "service": "bounded"}}
    bounds = {"com.df.scaleWorkerNodeMin": "1", "com.df.scaleWorkerNodeMax": "1"}
    env.create("bounded", 1, labels=bounds)
    down = _call(env, "/v1/scale-nodes?type=worker", body, labels[:2])
    message = "worker nodes are already descaled to the minimum number of 1 node"
    assert down == Seen(200, message, labels, "Scale nodes down on: aws, by: 1, type: worker", message)
    up = _call(env, "/v1/scale-nodes?type=worker&scale=up", body, labels[:2])
    message = "worker nodes are already scaled to the maximum number of 1 node"
    assert up == Seen(200, message, labels, "Scale nodes up on: aws, by: 1, type: worker", message)


@pytest.mark.slow
def test_a_node_up_and_down_with_the_answer_at_the_end(env: Environment) -> None:
    up = _call(env, "/v1/scale-nodes?type=worker&scale=up", None, ("reschedule_service", "reschedule"))
    changing = "Changing the number of worker nodes on aws from 1 to 2"
    ready = "2 worker nodes are up, demo rescheduled"
    assert up == Seen(200, f"{changing}; {ready}", ("reschedule_service", "reschedule", "success"), ready, ready)
    down = _call(env, "/v1/scale-nodes?type=worker&scale=down", None, ("scale_nodes", "aws"))
    assert (down.code, down.labels) == (200, ("scale_nodes", "aws", "success"))
    assert down.summary.startswith("1 worker node is up, ")
    assert down.summary.endswith(" removed")
    assert {one.summary for one in env.said()} >= {
        changing,
        "Waiting for worker nodes to scale from 1 to 2 for rescheduling",
        "Changing the number of worker nodes on aws from 2 to 1",
    }


def test_rescheduling_all(env: Environment) -> None:
    env.create("api", 1, labels={"com.df.reschedule": "true"}, **_QUICK)
    labels = ("reschedule_service", "reschedule", "success")
    seen = _call(env, "/v1/reschedule-services", None, labels[:2])
    message = "api, demo rescheduled"
    assert seen == Seen(200, message, labels, "Rescheduling all labeled services", message)
    assert env.task_env("api")["RESCHEDULE_DATE"] == env.task_env("demo")["RESCHEDULE_DATE"]


@pytest.mark.parametrize(
    ("labels", "shown"), [({}, "no label"), ({"com.df.reschedule": "false"}, "com.df.reschedule=false")]
)
def test_rescheduling_one_without_the_label(env: Environment, labels: dict[str, str], shown: str) -> None:
    name = f"unlabelled-{len(labels)}"
    env.create(name, 1, labels=labels)
    expected = ("reschedule_service", "reschedule", "error")
    seen = _call(env, f"/v1/reschedule-service?service={name}", None, expected[:2])
    message = f"{name} is not labeled with com.df.reschedule=true ({shown})"
    assert seen == Seen(500, message, expected, f"Rescheduling service: {name}", message)


def test_rescheduling_one(env: Environment) -> None:
    env.create("one", 1, labels={"com.df.reschedule": "true"}, **_QUICK)
    labels = ("reschedule_service", "reschedule", "success")
    seen = _call(env, "/v1/reschedule-service?service=one", None, labels[:2])
    message = "Rescheduled service: one"
    assert seen == Seen(200, message, labels, "Rescheduling service: one", message)
