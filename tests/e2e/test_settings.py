"""Variables that matter only when they are not at their defaults; each test sets one apart from its default."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from tests.e2e.caller import NODES, UP
from tests.e2e.environment import Deployment, Environment
from tests.http_servers import Answer, Asked, serving
from tests.waiting import until

pytestmark = pytest.mark.slow  # each takes a few seconds; together they are a minute
WORKERS = 0
TRIES = 5
MOST_SECONDS = 5.0
"""From the sight of an alert that lasts 2 s until it is gone."""
_QUICK: dict[str, Any] = {"UpdateConfig": {"Parallelism": 10, "Monitor": 10**7}}


# --- bounds and steps by default


@pytest.fixture(scope="module")
def defaults(env: Environment) -> Iterator[Deployment]:
    """All default bounds and steps are other ones; so is what is told about bounds."""
    settings = {
        "DEFAULT_MIN_WORKER_NODES": "1",
        "DEFAULT_MAX_WORKER_NODES": "1",
        "DEFAULT_MIN_MANAGER_NODES": "1",
        "DEFAULT_MAX_MANAGER_NODES": "3",
        "DEFAULT_SCALE_WORKER_NODE_UP_BY": "2",
        "DEFAULT_SCALE_WORKER_NODE_DOWN_BY": "3",
        "DEFAULT_SCALE_MANAGER_NODE_UP_BY": "4",
        "DEFAULT_SCALE_MANAGER_NODE_DOWN_BY": "5",
        "DEFAULT_MIN_REPLICAS": "2",
        "DEFAULT_MAX_REPLICAS": "9",
        "DEFAULT_SCALE_SERVICE_UP_BY": "3",
        "DEFAULT_SCALE_SERVICE_DOWN_BY": "2",
        "ALERT_NODE_MIN": "true",
        "ALERT_SCALE_MIN": "true",
        "ALERT_NODE_MAX": "true",
    }
    with env.deployment(settings) as deployment:
        yield deployment


def _said_at_bound(env: Environment, deployment: Deployment, way: str, kind: str, service: str = "") -> tuple[str, str]:
    """A node scale that changes nothing: its message, and the request that the notification names."""
    before = len(env.said())
    record = deployment.caller.ended(
        deployment.caller.queued(f"/v1/scale-nodes?scale={way}&type={kind}&service={service}")
    )
    assert record["state"] == "skipped", record
    told = until(lambda: [one for one in env.said()[before:] if one.summary == record["message"]], "a notification")
    return record["message"], told[0].request


@pytest.mark.parametrize(
    ("way", "kind", "message", "by"),
    [
        ("up", "worker", "worker nodes are already scaled to the maximum number of 1 node", 2),
        ("down", "worker", "worker nodes are already descaled to the minimum number of 1 node", 3),
        ("up", "manager", "manager nodes are already scaled to the maximum number of 3 nodes", 4),
    ],
)
def test_default_bounds_and_steps_of_nodes(
    env: Environment, defaults: Deployment, way: str, kind: str, message: str, by: int
) -> None:
    said = _said_at_bound(env, defaults, way, kind)
    assert said == (message, f"Scale nodes {way} on: aws, by: {by}, type: {kind}")


def test_default_minimum_and_step_down_of_managers(env: Environment, defaults: Deployment) -> None:
    """The minimum allows it (by default it would be at the bound); that all are protected forbids it."""
    managers = [node["ID"] for node in env.nodes("manager")]
    for node in managers:
        _protect(env, node, "true")
    record = defaults.caller.ended(defaults.caller.queued("/v1/scale-nodes?scale=down&type=manager"))
    for node in managers:
        _protect(env, node, "false")
    assert record["state"] == "failed", record
    assert env.heard(record["message"]).request == "Scale nodes down on: aws, by: 5, type: manager"


def _protect(env: Environment, node_id: str, value: str) -> None:
    node = env.docker.inspect_node(node_id)
    spec = {**node["Spec"], "Labels": {"com.df.scaler.protect": value}}
    env.docker.update_node(node_id, node["Version"]["Index"], spec)


def test_default_bounds_and_steps_of_replicas(env: Environment, defaults: Deployment) -> None:
    env.create("by-default", 5)
    said = []
    for way in ("up", "up", "up", "down", "down", "down", "down", "down"):
        record = defaults.caller.ended(defaults.caller.queued(f"/v1/scale-service?service=by-default&scale={way}"))
        said.append(record["message"].removeprefix("Scaling ").removeprefix("by-default "))
    bounds = "(min: 2, max: 9)"
    assert said == [
        *(f"from 5 to 8 replicas {bounds}", f"from 8 to 9 replicas {bounds}"),
        "is already scaled to the maximum number of 9 replicas",
        *(f"from {number} to {number - 2} replicas {bounds}" for number in (9, 7, 5)),
        *(f"from 3 to 2 replicas {bounds}", "is already descaled to the minimum number of 2 replicas"),
    ]
    assert env.heard("by-default is already descaled to the minimum number of 2 replicas").status == "success"


# --- label keys, and all of it out of files


@pytest.fixture(scope="module")
def renamed(env: Environment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Other label keys, other switches; one variable of each kind comes from a file."""
    values = {
        "MIN_SCALE_LABEL": "x.min",
        "MAX_SCALE_LABEL": "x.max",
        "SCALE_UP_BY_LABEL": "x.upBy",
        "SCALE_DOWN_BY_LABEL": "x.downBy",
        **{
            f"{name}_{kind.upper()}_NODE_LABEL": f"x.{kind}.{key}"
            for kind in ("worker", "manager")
            for name, key in (("MIN_SCALE", "min"), ("MAX_SCALE", "max"))
        },
        **{
            f"SCALE_{kind.upper()}_NODE_{way.upper()}_BY_LABEL": f"x.{kind}.{way}"
            for kind in ("worker", "manager")
            for way in ("up", "down")
        },
        "ALERT_SCALE_MAX": "false",
        "ALERT_NODE_MAX": "true",
        "ALERT_NODE_MIN": "true",
        "RESCHEDULE_FILTER_LABEL": "x.move=yes",
        "RESCHEDULE_ENV_KEY": "MOVED_AT",
        "WEBHOOK_TOKEN": "from-a-file",
        "DEFAULT_WAIT": "30",
        "DEFAULT_MAX_REPLICAS": "7",
        "SERVER_PREFIX": "/scaler/",
        "LOG_FORMAT": "text",
        "LOG_LEVEL": "debug",
    }
    in_files = {"MAX_SCALE_LABEL", "ALERT_SCALE_MAX", "WEBHOOK_TOKEN", "DEFAULT_WAIT", "DEFAULT_MAX_REPLICAS"}
    in_files |= {"RESCHEDULE_ENV_KEY", "SERVER_PREFIX", "LOG_FORMAT"}
    folder = tmp_path_factory.mktemp("secrets")
    settings = {name: value for name, value in values.items() if name not in in_files}
    for name in in_files:
        (folder / name).write_text(f"{values[name]}\n")
        settings[f"{name}_FILE"] = str(folder / name)
    _labelled(env)
    with env.deployment(settings, token="from-a-file") as deployment:
        yield deployment


def _labelled(env: Environment) -> None:
    bounds = {"x.min": "2", "x.max": "6", "x.upBy": "3", "x.downBy": "2"}
    workers = {"x.worker.min": "1", "x.worker.max": "1", "x.worker.up": "4", "x.worker.down": "5"}
    managers = {"x.manager.min": "4", "x.manager.max": "3", "x.manager.up": "6", "x.manager.down": "7"}
    env.create("labelled", 2, labels={**bounds, **workers, **managers, "x.move": "yes"}, **_QUICK)


def _outcome(deployment: Deployment, path: str) -> tuple[int, str]:
    answer = deployment.caller.post(path)
    return answer.status_code, answer.json()["message"]


def test_label_keys_of_replicas_are_those_of_the_environment(env: Environment, renamed: Deployment) -> None:
    path, bounds = "/v1/scale-service?service=labelled&scale=", "(min: 2, max: 6)"
    assert [_outcome(renamed, path + way) for way in ("up", "up", "up", "down", "down", "down")] == [
        (200, f"Scaling labelled from 2 to 5 replicas {bounds}"),
        (200, f"Scaling labelled from 5 to 6 replicas {bounds}"),
        (200, "labelled is already scaled to the maximum number of 6 replicas"),
        (200, f"Scaling labelled from 6 to 4 replicas {bounds}"),
        (200, f"Scaling labelled from 4 to 2 replicas {bounds}"),
        (200, "labelled is already descaled to the minimum number of 2 replicas"),
    ]
    summaries = {one.summary for one in env.said()}
    assert f"Scaling labelled from 4 to 2 replicas {bounds}" in summaries
    assert "labelled is already scaled to the maximum number of 6 replicas" not in summaries, "ALERT_SCALE_MAX"
    assert "labelled is already descaled to the minimum number of 2 replicas" not in summaries, "ALERT_SCALE_MIN"


@pytest.mark.parametrize(
    ("way", "kind", "by", "number"),
    [("up", "worker", 4, 1), ("down", "worker", 5, 1), ("up", "manager", 6, 3), ("down", "manager", 7, 3)],
)
def test_label_keys_of_nodes_are_those_of_the_environment(
    env: Environment, renamed: Deployment, way: str, kind: str, by: int, number: int
) -> None:
    before = len(env.said())
    code, message = _outcome(renamed, f"/v1/scale-nodes?scale={way}&type={kind}&service=labelled")
    bound = "scaled to the maximum" if way == "up" else "descaled to the minimum"
    assert (code, message) == (
        200,
        f"{kind} nodes are already {bound} number of {number} {'node' if number == 1 else 'nodes'}",
    )
    told = until(lambda: [one for one in env.said()[before:] if one.summary == message], "a notification")
    assert told[0].request == f"Scale nodes {way} on: aws, by: {by}, type: {kind}"


def test_which_services_are_rescheduled_and_by_which_variable(env: Environment, renamed: Deployment) -> None:
    assert _outcome(renamed, "/v1/reschedule-services") == (200, "labelled rescheduled")
    stamp = env.task_env("labelled")["MOVED_AT"]
    assert abs(datetime.strptime(stamp, "%Y%m%dT%H%M%S").replace(tzinfo=UTC) - datetime.now(UTC)) < timedelta(minutes=1)
    assert "RESCHEDULE_DATE" not in env.task_env("demo")


def test_values_from_files_count_as_if_given_directly(env: Environment, renamed: Deployment) -> None:
    """A label key, a switch, a token, seconds, a number, a name, a path and a word."""
    env.create("unlabelled", 6)
    answer = renamed.caller.post("/scaler/v1/scale-service?service=unlabelled&scale=up&by=5")
    assert answer.json()["message"] == "Scaling unlabelled from 6 to 7 replicas (min: 1, max: 7)"
    assert answer.headers["Location"].startswith("/scaler/v1/requests/")
    assert requests.post(f"{renamed.ingest.url}/v1/reschedule-services", timeout=5).status_code == 401
    basic = requests.get(f"{renamed.ingest.url}/v1/requests", auth=("anyone", "from-a-file"), timeout=5)
    assert basic.status_code == 200


def test_the_log_is_text_and_says_more_where_it_shall(
    env: Environment, renamed: Deployment, defaults: Deployment
) -> None:
    assert not renamed.worker.log.read_text().lstrip().startswith("{")
    assert all(line.startswith("{") for line in defaults.worker.log.read_text().splitlines())
    assert "from-a-file" not in renamed.ingest.log.read_text()
    with env.process("worker", {**env.own_queue(), "LOG_LEVEL": "error"}) as quiet:
        until(quiet.is_active, "an active worker")
        assert quiet.log.read_text() == ""


# --- wait


@pytest.fixture(scope="module")
def impatient(env: Environment) -> Iterator[Deployment]:
    """Every time is short, but those between two scales, and the lease: no wait is to be broken off."""
    settings = {
        "LEASE_SECONDS": "15",
        "RESCHEDULE_TIMEOUT": "5",
        "RESCHEDULE_TICKER_INTERVAL": "1",
        "DRAIN_TIMEOUT": "2",
        "DEDUP_WINDOW": "60",
        "REQUEST_MAX_AGE": "120",
        "SCALE_UP_COOLDOWN": "600",
        "SCALE_DOWN_COOLDOWN": "600",
        "RESCHEDULE_FILTER_LABEL": "patient",
    }
    with env.deployment(settings) as deployment:
        yield deployment


def test_an_update_that_takes_too_long_fails_its_rescheduling(env: Environment, impatient: Deployment) -> None:
    env.create("frozen", 1, labels={"patient": "1"})
    env.fault("docker", frozen_updates=["frozen"])
    record = impatient.caller.ended(impatient.caller.queued("/v1/reschedule-service?service=frozen"))
    env.mend()
    env.docker.remove_service("frozen")
    assert (record["state"], record["message"]) == (
        "failed",
        "frozen failed to reschedule: frozen: its update has not ended within 5 seconds",
    )


def _queued_with_age(
    env: Environment, deployment: Deployment, seconds: float, *, now: datetime | None = None, **more: object
) -> dict[str, Any]:
    """A request as old as that at `now`, and what became of it."""
    moment = ((now or datetime.now(UTC)) - timedelta(seconds=seconds)).isoformat()
    body = {"action": "reschedule-services", "requested_at": moment, **more}
    return deployment.caller.ended(env.send(body, deployment.queue))


def test_a_request_that_is_older_than_allowed_is_skipped_as_stale(env: Environment, impatient: Deployment) -> None:
    assert _queued_with_age(env, impatient, 100)["state"] == "succeeded"
    assert _queued_with_age(env, impatient, 140)["state"] == "skipped"


def test_the_same_delivery_counts_once_within_the_window(env: Environment, impatient: Deployment) -> None:
    now = datetime.now(UTC)
    first = _queued_with_age(env, impatient, 90, now=now, dedup_key="group")
    assert first["state"] == "succeeded"
    within = _queued_with_age(env, impatient, 50, now=now, dedup_key="group")
    assert (within["state"], within["message"]) == ("skipped", f"Duplicate of request {first['id']}")
    assert _queued_with_age(env, impatient, 20, now=now, dedup_key="group")["state"] == "succeeded"


def test_a_drain_that_takes_too_long_is_undone_and_names_the_tasks(env: Environment, impatient: Deployment) -> None:
    env.fault("docker", unstoppable_services=["demo"])
    record = impatient.caller.ended(impatient.caller.queued("/v1/scale-nodes?scale=down&type=worker"))
    env.mend()
    assert record["state"] == "failed", record
    assert "demo" in record["message"]
    assert [node["Spec"]["Availability"] for node in env.nodes()] == ["active"]


def test_the_wait_ticks_and_times_out_and_the_next_scales_meet_their_cool_downs(
    env: Environment, impatient: Deployment
) -> None:
    env.fault("boot", never_join_next=1)
    record = impatient.caller.ended(impatient.caller.queued(NODES, UP))
    env.mend()
    assert record["state"] == "failed", record
    assert "Timeout: waited 5 seconds for 2 worker nodes to activate" in record["message"]
    ticked = re.compile(r"Waited [1-4] seconds for a total of 2 worker nodes to come online")
    ticks = until(lambda: [one for one in env.said() if ticked.fullmatch(one.summary)], "a progress report")
    assert {one.status for one in ticks} == {"pending"}
    _check_cool_downs(impatient, "up")
    down = impatient.caller.ended(impatient.caller.queued("/v1/scale-nodes?scale=down&type=worker"))
    assert (down["state"], env.desired()) == ("succeeded", 1)
    _check_cool_downs(impatient, "down")


def _check_cool_downs(deployment: Deployment, way: str) -> None:
    record = deployment.caller.ended(deployment.caller.queued(f"/v1/scale-nodes?scale={way}&type=worker"))
    assert record["state"] == "skipped", record
    assert "cool" in record["message"].lower()


# --- places and names


def test_two_clusters_share_a_table_and_see_nothing_of_each_other(defaults: Deployment, impatient: Deployment) -> None:
    assert defaults.variables["SCALER_CLUSTER"] != impatient.variables["SCALER_CLUSTER"]
    until(defaults.worker.is_active, "an active worker of the one")
    until(impatient.worker.is_active, "an active worker of the other")
    for one, other in ((defaults, impatient), (impatient, defaults)):
        request = one.caller.queued("/v1/scale-service?service=nobody&scale=up")
        one.caller.ended(request)
        assert other.caller.record(request) is None


@pytest.mark.parametrize(("variable", "kind"), [("AWS_WORKER_ASG", "worker"), ("AWS_MANAGER_ASG", "manager")])
def test_the_group_of_each_node_type_is_the_one_that_is_named(env: Environment, variable: str, kind: str) -> None:
    with env.deployment({variable: "nobodys-group", "RESCHEDULE_TIMEOUT": "2"}) as deployment:
        record = deployment.caller.ended(deployment.caller.queued(f"/v1/scale-nodes?scale=up&type={kind}"))
    assert record["state"] == "failed"
    assert "nobodys-group" in record["message"]


def test_without_a_backend_nodes_are_not_scaled_but_services_are(env: Environment) -> None:
    env.create("no-backend", 1)
    settings = {"NODE_SCALER_BACKEND": "none", "AWS_WORKER_ASG": "", "AWS_MANAGER_ASG": ""}
    with env.deployment(settings) as deployment:
        assert deployment.caller.post(NODES, UP).status_code == 404
        record = deployment.caller.ended(deployment.caller.queued("/v1/scale-service?service=no-backend&scale=up"))
        assert record["message"] == "Scaling no-backend from 1 to 2 replicas (min: 1, max: 5)"
        body = {"action": "scale-nodes", "scale": "up", "type": "worker"}
        refused = deployment.caller.ended(env.send(body, deployment.queue))
        assert refused["state"] == "failed", refused
    assert env.desired() == 1


def test_ingest_listens_where_it_is_told(env: Environment) -> None:
    with env.process("ingest", {"INGEST_HOST": "127.0.0.2"}) as ingest:
        url = ingest.url.replace("127.0.0.1", "127.0.0.2")
        until(lambda: _answers(f"{url}/healthz"), "an answer")
        assert not _answers(f"{ingest.url}/healthz")
        code, _ = ingest.ends(signal.SIGTERM)
    assert code == 0


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=3).status_code == 200
    except requests.RequestException:
        return False


def test_a_worker_whose_port_is_0_listens_nowhere(env: Environment) -> None:
    own = {**env.own_queue(), "WORKER_PORT": "0"}
    with env.process("worker", own) as worker:
        until(lambda: "leadership_begun" in worker.log.read_text(), "an active worker")
        listening = [one for one in psutil.Process(worker.pid).net_connections() if one.status == psutil.CONN_LISTEN]
    assert listening == []


def test_credentials_come_from_the_file_of_exports(env: Environment, tmp_path: Path) -> None:
    key = "AKIAFROMTHEFILE00001"
    path = tmp_path / "aws"
    path.write_text(f"export AWS_ACCESS_KEY_ID={key}\nexport AWS_SECRET_ACCESS_KEY='from the file'\n")
    absent = {"AWS_ENV_FILE": str(path), "AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}
    with env.deployment(absent) as deployment:
        deployment.caller.ended(deployment.caller.queued("/v1/scale-service?service=nobody&scale=up"))
        counts = env.aws.calls.counts(key)
        texts = [process.log.read_text() for process in deployment.processes]
    assert {"sqs.SendMessage", "sqs.ReceiveMessage", "dynamodb.PutItem"} <= counts.keys()
    assert not any("from the file" in text for text in texts)


def test_requests_are_signed_for_the_region(env: Environment) -> None:
    heard: list[Asked] = []

    def refuse(asked: Asked) -> Answer:
        heard.append(asked)
        return Answer(403)

    with serving(refuse) as url:
        settings = {"AWS_DEFAULT_REGION": "eu-west-3", "AWS_ENDPOINT_URL": url}
        with env.process("ingest", {**settings, "SQS_QUEUE_URL": f"{url}/1/queue"}) as ingest:
            until(lambda: _answers(f"{ingest.url}/healthz"), "ingest")
            answer = requests.post(f"{ingest.url}/v1/reschedule-services", timeout=10)
    assert answer.status_code == 503
    assert "/eu-west-3/sqs/aws4_request" in heard[0].headers["Authorization"]


def test_a_table_that_is_not_there_keeps_a_worker_from_being_active(env: Environment) -> None:
    with env.process("worker", {**env.own_queue(), "DYNAMODB_TABLE": "no-such-table"}) as worker:
        until(lambda: "lease_unreadable" in worker.log.read_text(), "a complaint")
        assert not worker.is_active()


def test_nothing_is_said_of_nodes_at_their_maximum_where_nobody_wants_it(env: Environment) -> None:
    settings = {"DEFAULT_MAX_MANAGER_NODES": "3", "ALERT_NODE_MAX": "false"}
    with env.deployment(settings) as deployment:
        before = len(env.said())
        path = "/v1/scale-nodes?type=manager&scale="
        records = [deployment.caller.ended(deployment.caller.queued(path + way)) for way in ("up", "down")]
        # Both have ended, and what is told is offered before that: by default a minimum is not told either.
        assert [record["state"] for record in records] == ["skipped", "skipped"]
        assert env.said()[before:] == []


def test_an_alert_lasts_as_long_as_it_is_told_to(env: Environment) -> None:
    """Asked for again where it was over before anybody looked, or nobody looked when it was over."""
    taken: list[float] = []
    with env.deployment({"ALERT_TIMEOUT": "2"}) as deployment:
        for _ in range(TRIES):
            deployment.caller.ended(deployment.caller.queued("/v1/scale-service?service=brief&scale=up"))
            began = time.monotonic()
            if lasting := _lasting(env, "brief"):
                assert lasting == 2.0
                until(lambda: _lasting(env, "brief") is None, "the end of the alert", 10)
                taken.append(time.monotonic() - began)
            if min(taken, default=MOST_SECONDS) < MOST_SECONDS:
                break
    assert min(taken) < MOST_SECONDS


def _lasting(env: Environment, service: str) -> float | None:
    alerts = requests.get(f"{env.variables['ALERTMANAGER_ADDRESS']}/api/v2/alerts", timeout=5).json()
    found = [one for one in alerts if one["labels"]["service"] == service]
    if not found:
        return None
    starts, ends = (datetime.fromisoformat(found[0][name]) for name in ("startsAt", "endsAt"))
    return (ends - starts).total_seconds()
