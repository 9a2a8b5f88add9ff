"""Every query of the dashboard has an answer from a real Prometheus that has watched a real run, and is drawn from it.

There is no Grafana here: `panels` draws them, and a browser makes a picture of it, which `make picture` keeps.
"""

from __future__ import annotations

import asyncio
import json
import math
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
from tests.e2e.browser.chromium import chromium
from tests.e2e.browser.portrait import MOST_BYTES, label, labelled
from tests.e2e.caller import DOWN, NODES, UP, Caller
from tests.e2e.environment import Environment
from tests.e2e.panels import PAGE_WIDTH, Drawing, empty
from tests.scaffolding.monitoring.dashboard import PICTURE, dashboard, queries, ready, titles
from tests.waiting import until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("prometheus") is None, reason="no prometheus on this machine"),
]

SETTINGS: Final = {"SCALE_UP_COOLDOWN": "1", "SCALE_DOWN_COOLDOWN": "1", "WEBHOOK_TOKEN": "correct horse"}
CLUSTER: Final = "default"
CAPTION: Final = (
    "Drawn by a test from what Prometheus has recorded of a run on the emulated AWS. It is not a picture of Grafana."
)
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

    def numbers(self, query: str) -> list[Any]:
        """Those of the answers that hold a number: a division of nothing by nothing shows nothing."""
        return [each for each in self.answers(query) if any(math.isfinite(float(value)) for _, value in each["values"])]

    def drawing(self) -> Drawing:
        """The dashboard, from then until now."""
        return Drawing(dashboard(), lambda query: self.answers(ready(query, CLUSTER)), self._since, time.time())

    def hears(self, query: str) -> None:
        """Wait for an answer."""
        until(lambda: self.answers(query), f"an answer to {query}", _SECONDS, look=0.2)


def something_of_everything(env: Environment, recorded: Recorded) -> None:
    """Ups, downs, a service that is not there, a request without the token, and a worker that dies.

    All twice, with Prometheus looking in between: the first of a kind is where a rate begins.
    """
    caller = Caller(env.variables["INGEST_URL"], {"Authorization": f"Bearer {SETTINGS['WEBHOOK_TOKEN']}"})
    for times in (1, 2):
        for way, nodes in ((UP, 2), (DOWN, 1)):
            assert caller.ended(caller.queued(NODES, way))["state"] == "succeeded"
            recorded.hears(f'scaler_group_desired{{type="worker"}} == {nodes}')
        caller.ended(caller.queued("/v1/scale-service?service=nobody&scale=up&by=1"))
        assert env.caller.post("/v1/reschedule-services").status_code == 401
        recorded.hears(f'scaler_requests_total{{action="scale-service",outcome="failed"}} == {times}')
    caller.close()
    recorded.hears("scaler_nodes_unremovable")
    os.kill(active(env), signal.SIGKILL)


def active(env: Environment) -> int:
    """The process id of the active worker."""
    urls, pids = env.variables["WORKER_URLS"].split(), env.variables["WORKER_PIDS"].split()
    leads = ["scaler_active 1.0" in requests.get(f"{url}/metrics", timeout=5).text for url in urls]
    return int(pids[leads.index(True)])


async def pictured(page: str, folder: Path) -> bytes:
    """As a browser shows it."""
    (folder / "dashboard.html").write_text(page)
    async with chromium() as tab:
        await tab.open((folder / "dashboard.html").as_uri(), width=PAGE_WIDTH)
        await tab.picture(folder / PICTURE.name)
        assert tab.complaints == []
    return labelled((folder / PICTURE.name).read_bytes(), page)


def test_every_query_has_an_answer_and_every_panel_shows_it(env: Environment, tmp_path: Path) -> None:
    with watching(tmp_path, env) as url:
        recorded = Recorded(url)
        recorded.hears("count(up == 1) >= 3")
        something_of_everything(env, recorded)
        silent = dict(queries())

        def heard() -> bool:
            for title in [title for title, query in silent.items() if recorded.numbers(ready(query, CLUSTER))]:
                del silent[title]
            return not silent

        try:
            until(heard, "an answer to each query", _SECONDS, look=0.5)
        except AssertionError:
            assert silent == {}
        assert [title for title, query in queries() if recorded.answers(ready(query, "another"))] == []
        drawing = recorded.drawing()
        panels = drawing.panels()
        assert empty(panels) == []
        picture = asyncio.run(pictured(drawing.page(panels, CAPTION), tmp_path))
    assert label(picture) == titles()
    assert len(picture) < MOST_BYTES
    if os.environ.get("REFRESH"):
        PICTURE.write_bytes(picture)
