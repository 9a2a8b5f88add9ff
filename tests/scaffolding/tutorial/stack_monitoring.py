"""What stacks/monitor.yml would run: `rules`, and Debian's Prometheus and Alertmanager on the stack's own files.

Rules, routes and times are the stack's, thresholds those of the labels of the Swarm's services. Targets are a file,
since tasks with a host network have no address that Prometheus could find them by. Debian's Prometheus does not see by
itself that rules have changed: `rules.sighup` tells it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import aiohttp
import yaml

from infra.lab import commands
from infra.lab.machine import Machine
from infra.lab.places import EXPORTER_PORT
from infra.local import children
from infra.local.children import Child
from infra.local.loopback import HOST, free_ports
from tests.scaffolding.tutorial.reading import TOKEN
from tests.unit.stacks.test_stacks import MIXIN, STACKS

SLACK: Final = "slack_webhook_url"
WORKER_PORT: Final = 8081


class StackMonitoring:
    """All of them. `start`, then `watch` the machines as they come and go."""

    def __init__(self, folder: Path, alertmanager: str, secrets: Mapping[str, str]) -> None:
        """`alertmanager`: HOST:PORT where it is to listen; `secrets`: the stack's, by name, once they are made."""
        self.folder = folder
        self.url = f"http://{HOST}:{next(free_ports())}"
        """Prometheus's."""
        self._alertmanager, self._secrets = alertmanager, secrets
        self._rules = f"{HOST}:{next(free_ports())}"
        self._running: list[Child] = []

    async def start(self, docker_host: str, ingest: str, services: Mapping[str, Any]) -> None:
        """`docker_host`: a manager's; `ingest`: a URL; `services`: the stack's, as Docker reads it."""
        for name in (TOKEN, SLACK):
            (self.folder / name).write_text(self._secrets[name])
        (self.folder / "services").mkdir()
        routes = services["alertmanager"]["environment"]["CONFIGURATION"].replace("http://ingest:8080", ingest)
        (self.folder / "alertmanager.yml").write_text(routes.replace("/run/secrets", str(self.folder)))
        (self.folder / "prometheus.yml").write_text(yaml.safe_dump(self._scraping()))
        self._running.append(await self._start("alertmanager", self._alertmanager_command()))
        prometheus = await self._start("prometheus", self._prometheus_command())
        self._running.append(prometheus)
        self._running.append(await self._start("rules", self._rules_command(docker_host)))
        sighup = [sys.executable, "-m", "rules.sighup", str(prometheus.pid), str(self._rules_file())]
        self._running.append(await self._start("sighup", sighup))

    async def rules(self) -> list[dict[str, Any]]:
        """The rules that Prometheus has; none while it does not answer."""
        try:
            async with aiohttp.ClientSession() as http, http.get(f"{self.url}/api/v1/rules") as answer:
                groups = (await answer.json())["data"]["groups"]
        except aiohttp.ClientError:
            return []
        return [rule for group in groups for rule in group["rules"]]

    async def stop(self) -> None:
        """End all."""
        await children.stop(self._running)

    def watch(self, machines: Iterable[Machine]) -> None:
        """Scrape these. Prometheus sees the file change."""
        self.folder.mkdir(exist_ok=True)
        path = self.folder / "targets.json"
        path.with_suffix(".new").write_text(json.dumps(list(_targets([one for one in machines if one.alive]))))
        path.with_suffix(".new").replace(path)

    def _scraping(self) -> dict[str, Any]:
        parsed: dict[str, Any] = yaml.safe_load((STACKS / "prometheus/prometheus.yml").read_text())
        machines = {"job_name": "swarm", "file_sd_configs": [{"files": [str(self.folder / "targets.json")]}]}
        rules = {"job_name": "monitor_rules", "static_configs": [{"targets": [self._rules]}]}
        return {
            **parsed,
            "rule_files": [str(MIXIN / "rules.yml"), str(self.folder / "services" / "*.yml")],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": [self._alertmanager]}]}]},
            "scrape_configs": [machines, rules],
        }

    def _rules_file(self) -> Path:
        return self.folder / "services" / "rules.yml"

    def _alertmanager_command(self) -> list[str]:
        own = [f"--config.file={self.folder}/alertmanager.yml", f"--storage.path={self.folder}/silences"]
        return [
            "prometheus-alertmanager",
            *own,
            "--cluster.listen-address=",
            f"--web.listen-address={self._alertmanager}",
        ]

    def _prometheus_command(self) -> list[str]:
        own = [f"--config.file={self.folder}/prometheus.yml", f"--storage.tsdb.path={self.folder}/measured"]
        return ["prometheus", *own, f"--web.listen-address={self.url.removeprefix('http://')}"]

    def _rules_command(self, docker_host: str) -> list[str]:
        settings = {
            "DOCKER_HOST": docker_host,
            "RULES_FILE": str(self._rules_file()),
            "RULES_PORT": self._rules.rpartition(":")[2],
            "ALERTIF_FOLDER": str(self.folder),
        }
        return ["env", *(f"{name}={value}" for name, value in settings.items()), sys.executable, "-m", "rules"]

    async def _start(self, name: str, command: list[str]) -> Child:
        return await commands.start(name, command, self.folder / f"{name}.log")


def _targets(alive: list[Machine]) -> Iterator[dict[str, Any]]:
    for role in ("manager", "worker"):
        addresses = [f"{one.address}:{EXPORTER_PORT}" for one in alive if one.role == role]
        yield {"targets": addresses, "labels": {"job": f"exporter_node-exporter-{role}"}}
    workers = [f"{one.address}:{WORKER_PORT}" for one in alive if one.role == "manager"]
    yield {"targets": workers, "labels": {"job": "scaler_worker"}}
