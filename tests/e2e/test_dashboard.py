"""Every query of the dashboard has an answer from a real Prometheus that has watched a real run."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
import requests

from infra.local.loopback import free_ports
from tests.e2e.environment import DOWN, NODES, UP, Caller, Environment, until
from tests.scaffolding.monitoring.dashboard import queries, ready

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("prometheus") is None, reason="no prometheus on this machine"),
]

SETTINGS: Final = {"SCALE_UP_COOLDOWN": "1", "SCALE_DOWN_COOLDOWN": "1", "WEBHOOK_TOKEN": "correct horse"}
_SECONDS: Final = 60.0


@contextmanager
def watching(folder: Path, env: Environment) -> Iterator[str]:
    """A Prometheus that scrapes each process of the environment; its URL."""
    urls = [env.variables["INGEST_URL"], *env.variables["WORKER_URLS"].split()]
    scrape = {"job_name": "scaler", "static_configs": [{"targets": [urlsplit(url).netloc for url in urls]}]}
    login = {"authorization": {"credentials": SETTINGS["WEBHOOK_TOKEN"]}}
    config = {"global": {"scrape_interval": "1s"}, "scrape_configs": [{**scrape, **login}]}
    (folder / "prometheus.yml").write_text(json.dumps(config))
    address = f"127.0.0.1:{next(free_ports())}"
    own = [f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/measured"]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(["prometheus", *own, f"--web.listen-address={address}"], stdout=log, stderr=log)
    try:
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(20)


class Recorded:
    """What Prometheus has recorded since a moment."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._since = time.time()
        self._http = requests.Session()
        self._http.trust_env = False

    def answers(self, query: str) -> list[Any]:
        """At any second since then; nothing while Prometheus does not answer."""
        asked: dict[str, str | float] = {"query": query, "start": self._since, "end": time.time(), "step": 1}
        try:
            answer = self._http.get(f"{self._url}/api/v1/query_range", params=asked, timeout=10).json()
        except requests.RequestException:
            return []
        assert answer["status"] == "success", (query, answer)
        found: list[Any] = answer["data"]["result"]
        return found

    def hears(self, query: str) -> None:
        """Wait for an answer."""
        until(lambda: self.answers(query), f"an answer to {query}", _SECONDS, look=0.2)


def something_of_everything(env: Environment, recorded: Recorded) -> None:
    """An up, a down, a service that is not there, a request without the token, and a worker that dies."""
    caller = Caller(env.variables["INGEST_URL"], {"Authorization": f"Bearer {SETTINGS['WEBHOOK_TOKEN']}"})
    assert caller.ended(caller.queued(NODES, UP))["state"] == "succeeded"
    recorded.hears('scaler_group_desired{type="worker"} == 2')
    assert caller.ended(caller.queued(NODES, DOWN))["state"] == "succeeded"
    caller.ended(caller.queued("/v1/scale-service?service=nobody&scale=up&by=1"))
    caller.close()
    assert env.caller.post("/v1/reschedule-services").status_code == 401
    recorded.hears("scaler_nodes_unremovable")
    os.kill(active(env), signal.SIGKILL)


def active(env: Environment) -> int:
    """The process id of the active worker."""
    urls, pids = env.variables["WORKER_URLS"].split(), env.variables["WORKER_PIDS"].split()
    leads = ["scaler_active 1.0" in requests.get(f"{url}/metrics", timeout=5).text for url in urls]
    return int(pids[leads.index(True)])


def test_every_query_has_an_answer(env: Environment, tmp_path: Path) -> None:
    with watching(tmp_path, env) as url:
        recorded = Recorded(url)
        recorded.hears("count(up == 1) >= 3")
        something_of_everything(env, recorded)
        silent = dict(queries())

        def heard() -> bool:
            for title in [title for title, query in silent.items() if recorded.answers(ready(query, "default"))]:
                del silent[title]
            return not silent

        try:
            until(heard, "an answer to each query", _SECONDS, look=0.5)
        except AssertionError:
            assert silent == {}
        assert [title for title, query in queries() if recorded.answers(ready(query, "another"))] == []
