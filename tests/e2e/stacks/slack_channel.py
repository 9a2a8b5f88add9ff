"""A real Alertmanager with the stack's own configuration, but for shorter times, and a listener in Slack's place."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import requests

from infra.local.loopback import free_ports

CONFIGURATION: Final = Path(__file__).parents[3] / "stacks" / "alertmanager" / "alertmanager.yml"
BINARY: Final = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
SHORTER: Final[Mapping[str, str]] = {
    "0s": "0s",
    "5s": "300ms",
    "10s": "500ms",
    "15s": "1s",
    "5m": "2s",
    "30m": "1h",
    "4h": "1h",
}
PATIENCE: Final = 30.0


@dataclass(frozen=True)
class Message:
    """What Slack would show, or what ingest is asked."""

    path: str
    body: Mapping[str, Any]

    @property
    def shown(self) -> Mapping[str, Any]:
        """The one attachment."""
        [attachment] = self.body["attachments"]
        return dict(attachment)

    @property
    def lines(self) -> list[str]:
        """The text's."""
        return [line.strip() for line in self.shown["text"].strip().splitlines()]


class Listener(ThreadingHTTPServer):
    """Takes everything, on any path."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.messages: list[Message] = []


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Listener)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.messages.append(Message(self.path, body))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the library
        """Say nothing."""


@dataclass
class Channel:
    """Alerts in, messages out."""

    url: str
    listener: Listener
    http: requests.Session = field(default_factory=requests.Session)

    def post(self, *alerts: Mapping[str, Any]) -> None:
        """As Prometheus and the scaler post them."""
        self.http.post(f"{self.url}/api/v2/alerts", json=list(alerts), timeout=5).raise_for_status()

    def known(self, service: str) -> list[Mapping[str, Any]]:
        """The alerts about a service that Alertmanager has."""
        query = {"filter": f'service="{service}"'}
        answer = self.http.get(f"{self.url}/api/v2/alerts", params=query, timeout=5)
        return list(answer.json())

    def told(self, service: str, number: int = 1) -> list[Message]:
        """The messages in Slack about a service, when there are so many."""
        return self._some(lambda each: _is_about(each, service), number)

    def told_in(self, colour: str, service: str) -> Message:
        """The first message in a colour about a service."""
        return self._some(lambda each: _is_about(each, service) and each.shown["color"] == colour, 1)[0]

    def asked(self, service: str, number: int = 1) -> list[Message]:
        """The webhooks about a service."""
        return self._some(lambda each: each.body.get("groupLabels", {}).get("service") == service, number)

    def _some(self, wanted: Callable[[Message], bool], number: int) -> list[Message]:
        end = time.monotonic() + PATIENCE
        look = threading.Event()
        while True:
            found = [each for each in tuple(self.listener.messages) if wanted(each)]
            if len(found) >= number:
                return found
            assert time.monotonic() < end, f"{len(found)} of {number} messages came: {found}"
            look.wait(0.05)


def _is_about(message: Message, service: str) -> bool:
    return message.path == "/slack" and f" {service} " in f" {message.shown['title']} "


def firing(labels: Mapping[str, str], **annotations: str) -> dict[str, Any]:
    """An alert that fires."""
    return {"labels": dict(labels), "annotations": annotations, "startsAt": datetime.now(UTC).isoformat()}


def configuration(listener: Listener, folder: Path) -> str:
    """The stack's, with its variables filled in and its secrets in a folder, led to the listener, in less time."""
    here = f"http://127.0.0.1:{listener.server_address[1]}"
    (folder / "webhook_token").write_text("a-token")
    (folder / "slack_webhook_url").write_text(f"{here}/slack")
    text = CONFIGURATION.read_text()
    for name, value in {"DOMAIN": "cluster.example", "RUNBOOKS": "http://docs.example"}.items():
        text = text.replace(f"${{{name}}}", value)
    text = re.sub(r"(group_wait|group_interval|repeat_interval): (\w+)", lambda m: f"{m[1]}: {SHORTER[m[2]]}", text)
    return text.replace("http://ingest:8080", here).replace("/run/secrets", str(folder))


@contextmanager
def open_channel(folder: Path) -> Iterator[Channel]:
    """Both, for a while."""
    listener = Listener()
    serving = threading.Thread(target=listener.serve_forever)
    serving.start()
    (folder / "alertmanager.yml").write_text(configuration(listener, folder))
    address = f"127.0.0.1:{next(free_ports())}"
    own = [f"--config.file={folder}/alertmanager.yml", f"--storage.path={folder}/data", "--cluster.listen-address="]
    with (folder / "log").open("wb") as log:
        command = [str(BINARY), *own, f"--web.listen-address={address}"]
        process = subprocess.Popen(command, stdout=log, stderr=log)
    channel = Channel(f"http://{address}", listener)
    try:
        _ready(channel)
        yield channel
    finally:
        process.terminate()
        process.wait(20)
        channel.http.close()
        listener.shutdown()
        listener.server_close()
        serving.join()


def _ready(channel: Channel) -> None:
    end, look = time.monotonic() + PATIENCE, threading.Event()
    while time.monotonic() < end:
        try:
            if channel.http.get(f"{channel.url}/-/ready", timeout=2).status_code == 200:
                return
        except requests.RequestException:
            look.wait(0.1)
    raise AssertionError("Alertmanager never was ready")
