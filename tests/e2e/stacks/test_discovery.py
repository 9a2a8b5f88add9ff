"""Which tasks Prometheus scrapes, and how, by the labels of their services: its discovery on the stack's own file."""

from __future__ import annotations

import json
import shutil
import socketserver
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Final

import pytest

from tests.unit.stacks.test_stacks import STACKS

pytestmark = pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool on this machine")

NETWORKS: Final = ("monitor", "scaler", "other", "ingress")
SERVICES: Final[Mapping[str, tuple[tuple[str, ...], dict[str, str]]]] = {
    "exporter_node": (("monitor", "other"), {"scrapePort": "9100"}),
    "scaler_worker": (("scaler",), {"scrapePort": "8081", "metricsPath": "/m", "scrapeInterval": "30s"}),
    "scaler_ingest": (("other", "scaler"), {"scrapePort": "8080"}),
    "elsewhere": (("monitor", "other"), {"scrapePort": "80", "scrapeNetwork": "other", "scrapeTimeout": "5s"}),
    "unreachable": (("other",), {"scrapePort": "80"}),
    "no-port": (("monitor",), {"scrapePort": "http"}),
    "silent": (("monitor",), {}),
}


def answers() -> dict[str, Any]:
    """What a manager's engine says: of each service one task."""
    networks: list[dict[str, Any]] = [
        {"ID": name, "Name": name, "Scope": "swarm", "Driver": "overlay", "Labels": {}} for name in NETWORKS
    ]
    services: list[dict[str, Any]] = []
    tasks: list[dict[str, Any]] = []
    for number, (name, (attached, labels)) in enumerate(SERVICES.items()):
        spec = {"Name": name, "Labels": {f"com.df.{key}": value for key, value in labels.items()}}
        spec |= {"Mode": {"Replicated": {"Replicas": 1}}, "TaskTemplate": {"ContainerSpec": {"Image": "x"}}}
        services.append({"ID": name, "Spec": spec, "Endpoint": {}})
        addresses = [
            {"Network": {"ID": each, "Spec": {"Name": each}}, "Addresses": [f"10.{place}.0.{number}/24"]}
            for place, each in enumerate(attached)
        ]
        status = {"State": "running", "ContainerStatus": {"ContainerID": "c"}}
        task = {"ID": f"task-{name}", "ServiceID": name, "NodeID": "node", "Slot": 1, "DesiredState": "running"}
        tasks.append({**task, "Status": status, "Spec": {"ContainerSpec": {}}, "NetworksAttachments": addresses})
    description = {"Hostname": "ip-10-0-0-1", "Platform": {"Architecture": "x86_64", "OS": "linux"}}
    node = {
        "ID": "node",
        "Description": {**description, "Engine": {"EngineVersion": "28.0.0"}},
        "Spec": {"Role": "manager"},
    }
    node |= {"Status": {"State": "ready", "Addr": "10.9.9.9"}}
    return {"networks": networks, "services": services, "tasks": tasks, "nodes": [node]}


class Handler(BaseHTTPRequestHandler):
    """The engine."""

    def do_HEAD(self) -> None:
        self._say(b"")

    def do_GET(self) -> None:
        what = self.path.partition("?")[0].rpartition("/")[2]
        self._say(json.dumps(answers().get(what, [])).encode())

    def _say(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Api-Version", "1.41")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "socket"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the library
        """Say nothing."""


@pytest.fixture(scope="module")
def targets() -> Iterator[dict[str, dict[str, str]]]:
    """The targets of the stack's two jobs that discover, by their `job`; each job of the file is asked."""
    with (
        tempfile.TemporaryDirectory() as folder,
        socketserver.ThreadingUnixStreamServer(f"{folder}/sock", Handler) as server,
    ):
        server.daemon_threads = True
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield _discovered(Path(folder))
        server.shutdown()
        serving.join()


def _discovered(folder: Path) -> dict[str, dict[str, str]]:
    (folder / "token").write_text("a-token")
    text = (STACKS / "prometheus" / "prometheus.yml").read_text()
    text = text.replace("/sock/docker.sock", f"{folder}/sock").replace("/run/secrets/webhook_token", f"{folder}/token")
    (folder / "prometheus.yml").write_text(text)
    found: dict[str, dict[str, str]] = {}
    for scrape in ("ingest", "services"):
        command = ["promtool", "check", "service-discovery", "--timeout=2s", str(folder / "prometheus.yml"), scrape]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        for target in json.loads(done.stdout):
            if target.get("labels"):
                labels = target["labels"]
                assert labels["job"] not in found
                found[labels["job"]] = {**labels, "scraped as": scrape}
    return found


def test_what_has_a_port_is_scraped_and_its_job_is_its_name(targets: dict[str, dict[str, str]]) -> None:
    assert targets.keys() == {"exporter_node", "scaler_worker", "scaler_ingest", "elsewhere"}
    assert targets["exporter_node"]["instance"] == "ip-10-0-0-1"
    assert targets["exporter_node"]["__metrics_path__"] == "/metrics"
    assert targets["exporter_node"]["__scrape_interval__"] == "10s"


def test_the_address_is_in_the_network_that_is_said_or_in_prometheuss(targets: dict[str, dict[str, str]]) -> None:
    addresses = {job: labels["__address__"] for job, labels in targets.items()}
    assert addresses == {
        "exporter_node": "10.0.0.0:9100",
        "scaler_worker": "10.0.0.1:8081",
        "scaler_ingest": "10.1.0.2:8080",
        "elsewhere": "10.1.0.3:80",
    }


def test_path_interval_and_time_out_are_the_labels(targets: dict[str, dict[str, str]]) -> None:
    assert targets["scaler_worker"]["__metrics_path__"] == "/m"
    assert targets["scaler_worker"]["__scrape_interval__"] == "30s"
    assert targets["elsewhere"]["__scrape_timeout__"] == "5s"


def test_only_ingest_is_scraped_with_the_token(targets: dict[str, dict[str, str]]) -> None:
    assert [job for job, labels in targets.items() if labels["scraped as"] == "ingest"] == ["scaler_ingest"]
