"""A real Prometheus, told by the companion: from a label to its rule and its alert; and on without `rules`."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import requests

from infra.local.loopback import free_ports
from tests.e2e.rules.conftest import Swarm
from tests.e2e.rules.process import Rules, started
from tests.http_servers import Answer, serving
from tests.unit.rules.test_decision import alert, good_and_broken
from tests.waiting import until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("prometheus") is None, reason="no prometheus on this machine"),
]
WORKERS: Final = "exporter_node-exporter-worker"
RULE_SECONDS: Final = 15.0
MEMORY: Final = "node_memory_MemAvailable_bytes 40\nnode_memory_MemTotal_bytes 100\n"


@pytest.fixture
def exporter() -> Iterator[str]:
    """Of a node whose memory is used by 0.6."""
    with serving(lambda _: Answer(body=MEMORY.encode())) as url:
        yield url.removeprefix("http://")


@contextmanager
def prometheus(folder: Path, rules: Rules, exporter: str) -> Iterator[str]:
    """Prometheus and its companion; its URL."""
    scrape = {"job_name": WORKERS, "static_configs": [{"targets": [exporter]}]}
    times = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    pattern = str(rules.file.with_name("*.yml"))
    (folder / "prometheus.yml").write_text(
        json.dumps({"global": times, "rule_files": [pattern], "scrape_configs": [scrape]})
    )
    address = f"127.0.0.1:{next(free_ports())}"
    own = [f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/measured"]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(["prometheus", *own, f"--web.listen-address={address}"], stdout=log, stderr=log)
    companion = subprocess.Popen([sys.executable, "-m", "rules.sighup", str(process.pid), str(rules.file)])
    try:
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(20)
        companion.kill()
        companion.wait(10)


def asked(url: str, what: str) -> dict[str, Any]:
    """What Prometheus has; nothing while it does not answer."""
    try:
        data: dict[str, Any] = requests.get(f"{url}/api/v1/{what}", timeout=5, proxies={"no_proxy": "*"}).json()["data"]
    except requests.RequestException:
        return {"groups": [], "alerts": []}
    return data


def queries(url: str) -> list[str]:
    return [rule["query"] for group in asked(url, "rules")["groups"] for rule in group["rules"]]


def test_a_label_is_a_rule_within_15_seconds_and_fires(
    swarm: Swarm, exporter: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Then `rules` is killed: Prometheus goes on with the last file."""
    labels = alert(1, "above", "@node_mem_limit_total_above:0.95", For="2s")
    swarm.create(WORKERS, labels, replicas=None)
    with started(tmp_path, swarm.docker_host) as rules:
        until(rules.groups, "the file")
        with prometheus(tmp_path, rules, exporter) as url:
            until(lambda: any("> 0.95" in query for query in queries(url)), "the first rule")
            assert asked(url, "alerts")["alerts"] == []
            began = time.monotonic()
            swarm.update(WORKERS, Labels={**labels, "com.df.alertIf.1": "@node_mem_limit_total_above:0.01"})
            until(lambda: any("> 0.01" in query for query in queries(url)), "the changed rule", RULE_SECONDS)
            record_property("rules: seconds from a label to Prometheus's rule", round(time.monotonic() - began, 2))
            until(lambda: _firing(url), "the alert")
            rules.popen.kill()
            rules.popen.wait(10)
            assert any("> 0.01" in query for query in queries(url))
            assert _firing(url)


def _firing(url: str) -> bool:
    return any(
        each["state"] == "firing" and each["labels"]["scale"] == "up" and each["labels"]["service"] == WORKERS
        for each in asked(url, "alerts")["alerts"]
    )


def test_every_kind_of_broken_label_costs_prometheus_nothing(swarm: Swarm, exporter: str, tmp_path: Path) -> None:
    for each in good_and_broken():
        swarm.create(each.name, each.labels, replicas=each.replicas)
    with started(tmp_path, swarm.docker_host) as rules:
        until(lambda: len(rules.groups()) > 50, "the file")
        with prometheus(tmp_path, rules, exporter) as url:
            until(lambda: len(queries(url)) > 50, "the rules")
            names = {group["name"] for group in asked(url, "rules")["groups"]}
            assert {f"service good-{number}" for number in range(50)} <= names
            told = {each["labels"]["alertname"] for each in _eventually_alerts(url)}
            assert "ScalerRuleInvalid" in told


def _eventually_alerts(url: str) -> list[dict[str, Any]]:
    until(lambda: asked(url, "alerts")["alerts"], "the alerts")
    return list(asked(url, "alerts")["alerts"])
