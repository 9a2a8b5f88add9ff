"""The real Alertmanager on both sides: its webhooks reach ingest with a token, and our alerts reach it and Slack."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import pytest
import requests
import yaml

from infra.local.loopback import free_ports
from tests.e2e.environment import Deployment, Environment
from tests.waiting import until

BINARY: Final = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BINARY is None, reason="there is no Alertmanager here (Debian: prometheus-alertmanager)"),
]
WORKERS = 0
TOKEN: Final = "a-token-for-webhooks"
_OURS: Final = 'alertname=~"scale_service|scale_nodes|reschedule_service"'


class Slack(ThreadingHTTPServer):
    """Takes what Alertmanager says to Slack."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _SlackHandler)
        self.texts: list[str] = []

    @property
    def url(self) -> str:
        """The API URL of the one channel."""
        return f"http://127.0.0.1:{self.server_address[1]}/slack"


class _SlackHandler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert isinstance(self.server, Slack)
        self.server.texts += [str(one.get("text", "")) for one in body["attachments"]]
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the library
        """Say nothing."""


@dataclass(slots=True)
class Alertmanager:
    """The running one."""

    url: str
    slack: Slack
    log: Path
    http: requests.Session = field(default_factory=requests.Session)

    def post(self, **labels: str) -> None:
        """An alert that fires, as Prometheus posts it."""
        alert = {"labels": labels, "annotations": {"summary": "a test"}, "startsAt": datetime.now(UTC).isoformat()}
        self.http.post(f"{self.url}/api/v2/alerts", json=[alert], timeout=5).raise_for_status()

    def resolve(self, **labels: str) -> None:
        """The same alert, over."""
        alert = {"labels": labels, "endsAt": datetime.now(UTC).isoformat()}
        self.http.post(f"{self.url}/api/v2/alerts", json=[alert], timeout=5).raise_for_status()

    def alerts(self, service: str) -> list[dict[str, Any]]:
        """The alerts about a service that it holds now."""
        found = self.http.get(f"{self.url}/api/v2/alerts", params={"filter": f'service="{service}"'}, timeout=5)
        return list(found.json())

    def is_ready(self) -> bool:
        """Whether it answers."""
        try:
            return self.http.get(f"{self.url}/-/ready", timeout=2).status_code == 200
        except requests.RequestException:
            return False


def _webhook(name: str, url: str, **http_config: object) -> dict[str, Any]:
    return {"name": name, "webhook_configs": [{"url": url, "http_config": http_config}]}


def _config(ingest: str, slack: str) -> Mapping[str, Any]:
    """Three receivers of webhooks, told apart by the label `via`, and Slack for what we say ourselves."""
    url = f"{ingest}/v1/scale-service"
    soon = {"group_wait": "100ms", "group_interval": "1s", "repeat_interval": "1h"}
    group = ["service", "scale", "type"]
    routes = [{"matchers": [f'via="{via}"'], "receiver": via} for via in ("bearer", "basic", "nothing")]
    ours = {"matchers": [_OURS], "receiver": "slack", "group_by": ["alertname", "service"]}
    text = {"title": "scaler", "text": "{{ .CommonAnnotations.summary }}", "send_resolved": False}
    return {
        "route": {"receiver": "nothing", "group_by": group, **soon, "routes": [ours, *routes]},
        "receivers": [
            _webhook("bearer", url, authorization={"type": "Bearer", "credentials": TOKEN}),
            _webhook("basic", url, basic_auth={"username": "alertmanager", "password": TOKEN}),
            _webhook("nothing", url),
            {"name": "slack", "slack_configs": [{"api_url": slack, "channel": "#scaler", **text}]},
        ],
    }


@contextmanager
def _running(folder: Path, ingest: str, port: int) -> Iterator[Alertmanager]:
    slack = Slack()
    serving = threading.Thread(target=slack.serve_forever)
    serving.start()
    (folder / "config.yml").write_text(yaml.safe_dump(_config(ingest, slack.url)))
    url = f"http://127.0.0.1:{port}"
    options = [f"--config.file={folder}/config.yml", f"--storage.path={folder}/data", "--cluster.listen-address="]
    log = folder / "alertmanager.log"
    with log.open("wb") as output:
        command = [str(BINARY), *options, f"--web.listen-address=127.0.0.1:{port}"]
        process = subprocess.Popen(command, stdout=output, stderr=output)
    alertmanager = Alertmanager(url, slack, log)
    try:
        until(alertmanager.is_ready, "a ready Alertmanager")
        yield alertmanager
    finally:
        process.terminate()
        process.wait(20)
        alertmanager.http.close()
        slack.shutdown()
        slack.server_close()
        serving.join()


@pytest.fixture(scope="module")
def both(env: Environment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Alertmanager, Deployment]]:
    """Alertmanager, and an ingest and a worker that know each other and it."""
    port = next(free_ports())
    settings = {"WEBHOOK_TOKEN": TOKEN, "ALERTMANAGER_ADDRESS": f"http://127.0.0.1:{port}", "ALERT_TIMEOUT": "60"}
    with (
        env.deployment(settings, token=TOKEN) as deployment,
        _running(tmp_path_factory.mktemp("alertmanager"), deployment.ingest.url, port) as alertmanager,
    ):
        yield alertmanager, deployment


def _labels(via: str, service: str) -> dict[str, str]:
    return {"alertname": f"{service}_busy", "service": service, "scale": "up", "type": "service", "via": via}


@pytest.mark.parametrize("via", ["bearer", "basic"])
def test_a_webhook_with_the_token_scales_and_a_resolved_one_does_not(
    env: Environment, both: tuple[Alertmanager, Deployment], via: str
) -> None:
    alertmanager, deployment = both
    service = f"for-{via}"
    env.create(service, 2)
    alertmanager.post(**_labels(via, service))
    until(lambda: env.replicas(service) == 3, "the scale")
    (record,) = [one for one in _requests(deployment) if one["service"] == service]
    assert deployment.caller.ended(record["id"])["source"] == "alertmanager"

    answered = _answered(deployment, 200)
    alertmanager.resolve(**_labels(via, service))
    until(lambda: _answered(deployment, 200) > answered, "the resolved webhook is answered")
    assert [one for one in _requests(deployment) if one["service"] == service and one["id"] != record["id"]] == []
    assert env.replicas(service) == 3


def _requests(deployment: Deployment) -> list[dict[str, Any]]:
    return list(deployment.caller.get("/v1/requests?limit=100").json()["requests"])


def _answered(deployment: Deployment, code: int) -> int:
    """How many POSTs of /v1/scale-service ingest has answered so."""
    lines = deployment.caller.get("/metrics").text.splitlines()
    wanted = (line for line in lines if line.startswith("scaler_http_requests_total{") and "scale-service" in line)
    return sum(int(float(line.rpartition(" ")[2])) for line in wanted if f'code="{code}"' in line)


def test_a_webhook_without_the_token_scales_nothing(env: Environment, both: tuple[Alertmanager, Deployment]) -> None:
    alertmanager, deployment = both
    env.create("unguarded", 2)
    alertmanager.post(**_labels("nothing", "unguarded"))
    until(lambda: _answered(deployment, 401), "the refusal")
    assert [one for one in _requests(deployment) if one["service"] == "unguarded"] == []
    assert env.replicas("unguarded") == 2


def test_our_notifications_are_taken_shown_resolve_each_other_and_slack_has_their_text(
    env: Environment, both: tuple[Alertmanager, Deployment]
) -> None:
    alertmanager, _ = both
    env.create("told", 4)
    path = "/v1/scale-service?service=told&scale="
    summary = "Scaling told from 4 to 5 replicas (min: 1, max: 5)"
    _check_told(both, "told", f"{path}up", "success", summary)
    until(lambda: summary in alertmanager.slack.texts, "Slack says it")
    # Alertmanager tells Slack of new alerts only: while the one before lasts, this one takes its place silently.
    _check_told(both, "told", f"{path}up", "success", "told is already scaled to the maximum number of 5 replicas")

    env.docker.remove_service("told")
    error = "docker inspect failed in ScalerService: service told not found"
    _check_told(both, "told", f"{path}up", "error", error)
    until(lambda: error in alertmanager.slack.texts, f"Slack says: {error}")
    assert all(alertmanager.slack.texts), alertmanager.slack.texts


def _check_told(both: tuple[Alertmanager, Deployment], service: str, path: str, status: str, summary: str) -> None:
    """The request's notification stands in the v2 API, and no other status beside it."""
    alertmanager, deployment = both
    assert deployment.caller.ended(deployment.caller.queued(path))["message"] == summary

    def shown() -> bool:
        alerts = alertmanager.alerts(service)
        return [(one["labels"]["status"], one["annotations"]["summary"]) for one in alerts] == [(status, summary)]

    until(shown, f"alone in the v2 API: {summary}")


def test_a_bad_request_is_told_by_ingest_itself(both: tuple[Alertmanager, Deployment]) -> None:
    alertmanager, deployment = both
    assert deployment.caller.post("/v1/scale-service?scale=up").status_code == 400
    (alert,) = until(lambda: alertmanager.alerts("bad_request"), "the notification")
    assert alert["annotations"] == {"request": "Incorrect request", "summary": "No service name in request"}
    until(lambda: "No service name in request" in alertmanager.slack.texts, "Slack says it too")
