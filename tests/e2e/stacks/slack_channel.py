"""A real Alertmanager with the stack's own configuration, but for shorter times, and a listener in Slack's place."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import requests

from infra.local.loopback import free_ports
from tests.http_servers import Answer, Asked, serving
from tests.waiting import until

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


@dataclass
class Channel:
    """Alerts in, messages out."""

    url: str
    messages: list[Message]
    """What was said and asked, the newest last."""
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
        return until(lambda: self._enough(wanted, number), f"{number} messages", PATIENCE)

    def _enough(self, wanted: Callable[[Message], bool], number: int) -> list[Message] | None:
        found = [each for each in tuple(self.messages) if wanted(each)]
        return found if len(found) >= number else None

    def is_ready(self) -> bool:
        """Whether Alertmanager answers."""
        try:
            return self.http.get(f"{self.url}/-/ready", timeout=2).status_code == 200
        except requests.RequestException:
            return False


def _is_about(message: Message, service: str) -> bool:
    return message.path == "/slack" and f" {service} " in f" {message.shown['title']} "


def firing(labels: Mapping[str, str], **annotations: str) -> dict[str, Any]:
    """An alert that fires."""
    return {"labels": dict(labels), "annotations": annotations, "startsAt": datetime.now(UTC).isoformat()}


def configuration(here: str, folder: Path) -> str:
    """The stack's, with its variables filled in and its secrets in a folder, led to a URL, in less time."""
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
    messages: list[Message] = []

    def hear(asked: Asked) -> Answer:
        messages.append(Message(asked.path, json.loads(asked.body)))
        return Answer()

    address = f"127.0.0.1:{next(free_ports())}"
    own = [f"--config.file={folder}/alertmanager.yml", f"--storage.path={folder}/data", "--cluster.listen-address="]
    with serving(hear) as here, (folder / "log").open("wb") as log:
        (folder / "alertmanager.yml").write_text(configuration(here, folder))
        command = [str(BINARY), *own, f"--web.listen-address={address}"]
        process = subprocess.Popen(command, stdout=log, stderr=log)
        channel = Channel(f"http://{address}", messages)
        try:
            until(channel.is_ready, "a ready Alertmanager", PATIENCE)
            yield channel
        finally:
            process.terminate()
            process.wait(20)
            channel.http.close()
