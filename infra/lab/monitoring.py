"""Prometheus and Alertmanager of the lab: their configuration, the machines they watch, the thresholds they compare.

The rules and the route are the tutorial's, with shorter times. All machines share the host's memory, so it is low or
high on all of them together: as in the tutorial, scaling is provoked by moving a threshold.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import aiohttp
import yaml

from infra.lab import commands
from infra.lab.machine import Machine
from infra.lab.places import EXPORTER_PORT
from infra.local import children
from infra.local.children import Child

WORKER_JOB: Final = "exporter_node-exporter-worker"
MANAGER_JOB: Final = "exporter_node-exporter-manager"
NEVER_ABOVE: Final = 1.0
NEVER_BELOW: Final = 0.0
_HOST: Final = "127.0.0.1"
_SET_UP_SECONDS: Final = 20.0
_LEAST_WORKERS: Final = 1
# For some seconds after a reload Prometheus knows no Alertmanager, and what fires then is lost until it is sent again.
_RESEND: Final = "--rules.alert.resend-delay=1s"
_USED: Final = (
    '(1 - sum(node_memory_MemAvailable_bytes{{job="{job}"}}) / sum(node_memory_MemTotal_bytes{{job="{job}"}}))'
)


class Monitoring:
    """Both programs. `start`, then `watch` the machines as they come and go."""

    def __init__(self, folder: Path, logs: Path, ports: tuple[int, int], http: aiohttp.ClientSession) -> None:
        self.prometheus = f"http://{_HOST}:{ports[0]}"
        self.alertmanager = f"http://{_HOST}:{ports[1]}"
        self._folder = folder
        self._logs = logs
        self._http = http
        self._running: list[Child] = []

    async def start(self, ingest: str, slack: str, headers: Mapping[str, str]) -> None:
        """Return when both are ready. `headers`: what ingest wants to see. Raises SetUpFailed."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._write("alertmanager.yml", routes(ingest, slack, headers))
        self._write("rules.yml", rules(NEVER_ABOVE, NEVER_BELOW))
        self._write("prometheus.yml", scraping(self._folder, self.alertmanager))
        self._running = [await self._start_alertmanager(), await self._start_prometheus()]
        for child in self._running:
            probe = functools.partial(self._is_ready, child)
            await children.until(probe, [child], f"A ready {child.name}", _SET_UP_SECONDS)

    async def sees(self, machines: Iterable[Machine]) -> bool:
        """Whether Prometheus has scraped all these."""
        async with self._http.get(f"{self.prometheus}/api/v1/targets?state=active") as answer:
            targets = (await answer.json())["data"]["activeTargets"]
        up = {target["labels"]["instance"] for target in targets if target["health"] == "up"}
        return up >= {_target(machine) for machine in machines}

    async def stop(self) -> None:
        """End both."""
        await children.stop(self._running)

    async def set_thresholds(self, above: float = NEVER_ABOVE, below: float = NEVER_BELOW) -> None:
        """From now on more used memory than `above` asks for a worker, less than `below` for one less."""
        self._write("rules.yml", rules(above, below))
        async with self._http.post(f"{self.prometheus}/-/reload") as answer:
            answer.raise_for_status()

    def watch(self, machines: Iterable[Machine]) -> None:
        """Scrape these. Prometheus sees the file change."""
        machines = list(machines)
        targets = [
            {
                "targets": [_target(one) for one in machines if one.role == role and one.alive],
                "labels": {"job": job},
            }
            for role, job in (("worker", WORKER_JOB), ("manager", MANAGER_JOB))
        ]
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / "machines.json"
        path.with_suffix(".new").write_text(json.dumps(targets))
        path.with_suffix(".new").replace(path)

    async def _start_prometheus(self) -> Child:
        own = ["--config.file=prometheus.yml", "--storage.tsdb.path=prometheus", "--web.enable-lifecycle"]
        return await self._start("prometheus", self.prometheus, "prometheus", own, _RESEND)

    async def _start_alertmanager(self) -> Child:
        own = ["--config.file=alertmanager.yml", "--storage.path=alertmanager", "--cluster.listen-address="]
        return await self._start("alertmanager", self.alertmanager, "prometheus-alertmanager", own)

    async def _start(self, name: str, url: str, program: str, own: list[str], *more: str) -> Child:
        absolute = [one.replace("=", f"={self._folder}/", 1) if one[-1] != "=" and "=" in one else one for one in own]
        listening = f"--web.listen-address={url.removeprefix('http://')}"
        return await commands.start(name, [program, *absolute, *more, listening], self._logs / f"{name}.log", url)

    async def _is_ready(self, child: Child) -> bool:
        try:
            async with self._http.get(f"{child.url}/-/ready") as answer:
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False

    def _write(self, name: str, document: Any) -> None:
        (self._folder / name).write_text(yaml.safe_dump(document, sort_keys=False))


def _target(machine: Machine) -> str:
    return f"{machine.address}:{EXPORTER_PORT}"


def scraping(folder: Path, alertmanager: str) -> dict[str, Any]:
    """Prometheus's configuration."""
    return {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(folder / "rules.yml")],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager.removeprefix("http://")]}]}]},
        "scrape_configs": [{"job_name": "machines", "file_sd_configs": [{"files": [str(folder / "machines.json")]}]}],
    }


def rules(above: float, below: float) -> dict[str, Any]:
    """The tutorial's two rules about the workers' memory, and its one about the managers', which only tells people."""
    used = _USED.format(job=WORKER_JOB)
    enough = f'count(up{{job="{WORKER_JOB}"}} == 1) > {_LEAST_WORKERS}'
    return {
        "groups": [
            {
                "name": "nodes",
                "rules": [
                    _rule("above", f"{used} > {above}", "up", "node", f"over {above}"),
                    _rule("below", f"({used} < {below}) and ({enough})", "down", "node", f"below {below}"),
                    _rule("managers", f"{_USED.format(job=MANAGER_JOB)} > 0.95", "no", "node", "over 0.95"),
                ],
            }
        ]
    }


def routes(ingest: str, slack: str, headers: Mapping[str, str]) -> dict[str, Any]:
    """The tutorial's route: alerts that ask for nodes go to ingest, everything else is told in Slack."""
    webhook: dict[str, Any] = {"url": f"{ingest}/v1/scale-nodes?by=1&type=worker", "send_resolved": True}
    if headers:
        scheme, _, token = headers["Authorization"].partition(" ")
        webhook["http_config"] = {"authorization": {"type": scheme, "credentials": token}}
    return {
        "route": {
            "group_by": ["service", "scale", "type"],
            "group_wait": "0s",
            "group_interval": "1s",
            "repeat_interval": "1h",
            "receiver": "slack",
            "routes": [{"matchers": ['scale=~"up|down"', 'type="node"'], "receiver": "scale-nodes"}],
        },
        "receivers": [
            {"name": "scale-nodes", "webhook_configs": [webhook]},
            {
                "name": "slack",
                "slack_configs": [
                    {
                        "api_url": slack,
                        "channel": "#docker-scaler",
                        "send_resolved": False,
                        "title": "{{ .GroupLabels.service }}",
                        "text": "{{ .CommonAnnotations.summary }}",
                    }
                ],
            },
        ],
    }


def _rule(name: str, expression: str, scale: str, kind: str, how: str) -> dict[str, Any]:
    job = MANAGER_JOB if name == "managers" else WORKER_JOB
    return {
        "alert": f"exporternodeexporter_nodemem{name}",
        "expr": expression,
        "for": "3s",
        "labels": {"receiver": "system", "scale": scale, "service": job, "type": kind},
        "annotations": {"summary": f"Total memory of the nodes is {how}"},
    }
