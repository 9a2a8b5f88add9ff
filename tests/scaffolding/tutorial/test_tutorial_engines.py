"""docs/tutorial.md on real Docker engines: the images are built of the Dockerfile and run in the Swarm that they scale.

Root, Debian's packages (haproxy too), some minutes. The machines are the lab's (infra/lab), following the groups of
swarm.yaml on the embedded AWS. Prometheus, Alertmanager, node-exporter and the filter in front of Docker's socket are
real, with the rules, routes and times of stacks/. What cannot exist here has a stand-in, listed below.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
import yaml

from infra.lab import image, network, packages
from infra.lab.formation import RealMachines
from infra.lab.image import IMAGE
from infra.lab.places import DOCKER_SOCKET, MACHINES
from infra.lab.slack import Slack
from infra.lab.sweep import left, sweep
from infra.local import children
from infra.local.aws import EmbeddedAws
from infra.local.aws.templates import moved
from infra.local.children import SetUpFailed
from infra.local.loopback import HOST, served
from infra.local.surroundings import inherited
from rules.model import Rule
from shared.clock import parse_rfc3339
from tests.e2e.cloudformation.commands import Answer
from tests.scaffolding.tutorial import images, reading
from tests.scaffolding.tutorial.leading import leading
from tests.scaffolding.tutorial.reading import TOKEN, Reader, option, passed, run
from tests.scaffolding.tutorial.stack_monitoring import StackMonitoring
from tests.unit.stacks.test_stacks import docker_has_stack_config, mixin

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not docker_has_stack_config(), reason="no `docker stack config` on this machine"),
]

STAND_INS: Final = {
    **reading.STAND_INS,
    "curl": "no load balancer, no Traefik: CLUSTER_DNS/scaler leads to an ingest on any manager that has one",
    "aws ecr create-repository": "answers with an address where nobody listens (see infra.lab.image)",
    "docker build": "the base image is made here, for this machine; wheels take the place of an index (see images.py)",
    "docker push": "puts the image on every manager's engine",
    "alpine:3.22": "the lab's image, which has the same commands",
    "docker stack deploy proxy": "`docker stack config` says whether it would do: there is no image of Traefik",
    "docker stack deploy scaler": (
        "really deployed. Changed: host networks instead of overlays, which need IP_VS; haproxy's image is made of "
        "Debian's; AWS's address and keys, since there are no instance profiles; where Alertmanager is"
    ),
    "docker stack deploy exporter": (
        "services that do nothing, with the stack's labels; the lab's machines have a node-exporter each. All machines "
        "show this one's memory, of which little may be used: the threshold below which a worker goes is 0 until the "
        "reader sets it"
    ),
    "docker stack deploy monitor": (
        "as proxy. `rules` on a manager's socket, Debian's Prometheus and Alertmanager, with the stack's rules, routes "
        "and times; targets are files, since tasks with a host network have no address to be found by"
    ),
    "docker service update exporter_...": (
        "really done; then the reader waits for the rule, and for the scale or the message that the page speaks of"
    ),
}
MINUTES: Final = 60
WHOLE: Final = 20 * MINUTES
SCALE_SECONDS: Final = 5 * MINUTES
FORMING_SECONDS: Final = 4 * MINUTES
ENDING_SECONDS: Final = 4 * MINUTES
"""One after the other, each with its disk: that of the first manager, where the images are built, took a minute."""
INGEST_PORT, ALERTMANAGER_PORT = 8080, 9093
PROGRAMS: Final = {**packages.PROGRAMS, "haproxy": "haproxy"}
HAPROXY: Final = "haproxy:3.0.8-alpine"
MEGABYTE: Final = 2**20
PROCESSES: Final = ("ingest", "worker", "rules")
RULE_SECONDS: Final = 15
FIRING_SECONDS: Final = 2 * MINUTES
Compose = dict[str, Any]


class EngineReader(Reader):
    """Over real engines."""

    def __init__(self, aws: EmbeddedAws, block: IPv4Network, folder: Path, exits: AsyncExitStack) -> None:
        super().__init__(aws, folder, exits)
        self._block = block
        self._gateway = str(block[-2])
        self._context = folder / "context"
        alertmanager = f"{self._gateway}:{ALERTMANAGER_PORT}"
        self._monitoring = StackMonitoring(folder / "monitoring", alertmanager, self.secrets)
        self.ingest, self.reachable_aws = "", ""
        self.slack = Slack()
        self.machines: RealMachines
        self.seconds_to_rule: list[float] = []
        """From each change of a label to the rule in Prometheus."""
        self.asked_after: list[float] = []
        """Seconds from a change that passes a threshold to the request that Alertmanager made."""
        self.records: list[dict[str, Any]] = []
        """Of the scales that Alertmanager asked for."""
        self.remaining = ["not looked"]
        """The machines that were still there when all was cleaned up."""
        self.images: dict[str, Any] = {}
        self.layers: dict[str, list[int]] = {}
        self.containers: list[dict[str, Any]] = []
        """Of the scaler, when the reader has begun to scale."""

    @property
    def url(self) -> str:
        return self.ingest

    def nodes(self) -> tuple[int, int]:
        roles = images.docker(DOCKER_SOCKET, "node", "ls", "--format", "{{.ManagerStatus}}").split("\n")
        return len([one for one in roles if one]), len([one for one in roles if not one])

    def template(self, text: str) -> str:
        return moved(super().template(text), ".".join(str(self._block).split(".")[:2]))

    # The Swarm

    async def swarm_formed(self) -> None:
        rootfs = await image.rootfs(images.busybox())
        self.machines = RealMachines(self._block, rootfs, self.folder, self._watch)
        self.exits.push_async_callback(self.machines.close)
        self.follow(self.machines)

        async def three() -> bool:
            return DOCKER_SOCKET.exists() and await asyncio.to_thread(self._managers_ready) == 3

        await children.until(three, (), "three managers", FORMING_SECONDS)
        images.docker(DOCKER_SOCKET, "network", "create", "--driver", "overlay", "metadata")

    async def gone(self) -> None:
        """Wait until the machines have followed their groups into nothing."""

        async def none() -> bool:
            self.remaining = list(self.machines.by_name)
            return not self.remaining

        with suppress(SetUpFailed):
            await children.until(none, (), "the end of the machines", ENDING_SECONDS)

    def _managers_ready(self) -> int:
        said = run([self.real_docker, "node", "ls", "--format", "{{.Status}} {{.ManagerStatus}}"], self._engine())[1]
        return len([line for line in said.splitlines() if line in ("Ready Leader", "Ready Reachable")])

    def _engine(self) -> dict[str, str]:
        return {**inherited(os.environ), "DOCKER_HOST": f"unix://{DOCKER_SOCKET}"}

    def _on_all_managers(self, name: str, tar: bytes, *change: str) -> None:
        for manager in self.machines.managers:
            images.docker(manager.socket, "import", *change, "-", name, stdin=tar)

    # Commands

    def aws(self, arguments: Sequence[str], stdin: str, environ: Mapping[str, str]) -> Answer:
        answer = super().aws(arguments, stdin, environ)
        if list(arguments[:2]) == ["ecr", "create-repository"] and answer[0] == 0:
            name = option(arguments, "--repository-name")
            return 0, f"{images.REGISTRY}/{name}\n", ""
        return answer

    def docker(self, arguments: Sequence[str], stdin: str, environ: Mapping[str, str]) -> Answer:
        match list(arguments):
            case ["build", "--platform", "linux/amd64", *words, place]:
                return self._build(words, place)
            case ["push", name]:
                return self._push(name)
            case ["login", *_] | ["stack", "ps", "monitor"]:
                return 0, "", ""
            case ["stack", "deploy", *rest]:
                return self._deploy(rest, environ)
            case ["service", "update", *_, name]:
                return self._relabelled(arguments, name, environ)
            case ["secret", "create", name, "-"]:
                self.secrets[name] = stdin
            case ["service", "create", *_]:
                self.containers = self.wait(self._healthy())
        words = [IMAGE if one == "alpine:3.22" else one for one in arguments]
        answer = run([self.real_docker, *words], environ, stdin)
        if arguments[:2] == ["node", "ls"]:
            self.seen.append(self.nodes())
        return answer

    def _build(self, words: Sequence[str], place: str) -> Answer:
        if not self._context.exists():
            images.docker(DOCKER_SOCKET, "import", "-", images.BASE, stdin=images.base())
            self._context.mkdir()
            images.context(self._context)
        images.build(DOCKER_SOCKET, self._context, words)
        return 0, "", ""

    def _push(self, name: str) -> Answer:
        if "/docker-scaler-" in name:
            process = name.rpartition("/docker-scaler-")[2].partition(":")[0]
            saved = self.folder / process
            images.docker(DOCKER_SOCKET, "save", "--output", str(saved), name)
            self.images[process] = images.configuration(DOCKER_SOCKET, name)
            self.layers[process] = images.compressed_layers(saved.read_bytes())
            for manager in self.machines.managers:
                images.docker(manager.socket, "load", "--input", str(saved))
        return 0, "", ""

    def _deploy(self, arguments: Sequence[str], environ: Mapping[str, str]) -> Answer:
        file, name = Path(environ["PWD"]) / option(arguments, "--compose-file"), arguments[-1]
        config, errors = self.stack_config(file, environ)
        if errors:
            return 1, "", errors
        for kind, command in (("networks", "network"), ("secrets", "secret")):
            there = images.docker(DOCKER_SOCKET, command, "ls", "--format", "{{.Name}}").split()
            missing = self.missing(config, kind, there)
            if missing:
                return 1, "", f"{name}: {kind} {missing} are not there\n"
        self.stacks.append(name)
        if name == "scaler":
            return self._deploy_scaler(config, environ)
        if name == "exporter":
            never = "@node_mem_limit_total_below:0"
            config["services"]["node-exporter-worker"]["deploy"]["labels"]["com.df.alertIf.2"] = never
            return self.exporters(config, environ, IMAGE)
        if name == "monitor":
            self.wait(self._monitor(config["services"]))
        return 0, "", ""

    # The scaler

    def _deploy_scaler(self, config: Compose, environ: Mapping[str, str]) -> Answer:
        self._on_all_managers(
            f"{images.REGISTRY}/{HAPROXY}",
            images.program(Path("/usr/sbin/haproxy")),
        )
        changed = self.folder / "scaler.yml"
        changed.write_text(yaml.safe_dump(self._for_these_engines(config)).replace("$", "$$"))
        words = ["stack", "deploy", "--resolve-image", "never", "--with-registry-auth", "-c", str(changed), "scaler"]
        return run([self.real_docker, *words], environ)

    async def _healthy(self) -> list[dict[str, Any]]:
        """Its two ingest and two workers, once their health has been asked."""
        found: list[dict[str, Any]] = []

        async def healthy() -> bool:
            found[:] = await asyncio.to_thread(self._containers)
            return [one["State"]["Health"]["Status"] for one in found] == ["healthy"] * 4

        await children.until(healthy, (), "four healthy containers", FORMING_SECONDS)
        return found

    def _containers(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for manager in self.machines.managers:
            ids = images.docker(manager.socket, "ps", "--quiet").split()
            found += json.loads(images.docker(manager.socket, "inspect", *ids)) if ids else []
        return [one for one in found if "/docker-scaler-" in one["Config"]["Image"]]

    def _for_these_engines(self, config: Compose) -> Compose:
        aws = {**self.embedded.environment, "AWS_ENDPOINT_URL": self.reachable_aws}
        for service in config["services"].values():
            service["networks"] = {"host": {}}
            if service["image"] == HAPROXY:
                service["image"] = f"{images.REGISTRY}/{HAPROXY}"
            else:
                service["environment"] |= aws
                service["extra_hosts"] = [f"alertmanager:{self._gateway}"]
        return {**config, "networks": {"host": {"external": True, "name": "host"}}}

    # Monitoring

    async def _monitor(self, services: Compose) -> None:
        self._watch()
        self.exits.push_async_callback(self._monitoring.stop)
        await self._monitoring.start(f"unix://{DOCKER_SOCKET}", self.ingest, services)

    def _watch(self) -> None:
        self._monitoring.watch(self.machines.by_name.values())

    def _relabelled(self, arguments: Sequence[str], name: str, environ: Mapping[str, str]) -> Answer:
        known = {one["id"] for one in self.wait(self._requests())}
        answer = run([self.real_docker, *arguments], environ)
        updated, now = time.monotonic(), time.time()
        rules = self.rules(name, environ)
        self.wait(self._has(rules))
        self.seconds_to_rule.append(time.monotonic() - updated)
        for rule in filter(passed, rules):
            if rule.labels["scale"] == "no":
                self.wait(self._told(rule.annotations["summary"]))
                continue
            record = self.wait(self._scaled(known), SCALE_SECONDS + 10)
            self.asked_after.append(parse_rfc3339(record["requested_at"]).timestamp() - now)
            self.records.append(record)
        return answer

    async def _has(self, rules: Sequence[Rule]) -> None:
        """Wait until Prometheus has these rules. It writes expressions its own way: the names and thresholds count."""
        wanted = {(rule.name, _threshold(rule.expression)) for rule in rules}

        async def there() -> bool:
            found = await self._monitoring.rules()
            return wanted <= {(rule["name"], _threshold(rule["query"])) for rule in found}

        await children.until(there, (), f"the rules {wanted}", RULE_SECONDS * 4)

    async def _told(self, summary: str) -> None:
        async def told() -> bool:
            return any(summary in message for message in self.slack.messages)

        await children.until(told, (), f"{summary} in Slack", 2 * MINUTES)

    async def _scaled(self, known: set[str]) -> dict[str, Any]:
        """The end of a scale that was not known before. What hooks tell of its machines are records, too."""
        found: dict[str, Any] = {}

        async def ended() -> bool:
            requests = await self._requests()
            new = [one for one in requests if one["action"] == "scale-nodes" and one["id"] not in known]
            found.update(new[0] if new else {})
            return found.get("state") in ("succeeded", "failed", "skipped")

        await children.until(ended, (), "a scale by Alertmanager", SCALE_SECONDS)
        return found

    async def _requests(self) -> list[dict[str, Any]]:
        header = {"Authorization": f"Bearer {self.secrets[TOKEN]}"}
        async with (
            aiohttp.ClientSession(headers=header) as http,
            http.get(f"{self.ingest}/v1/requests?limit=20") as answer,
        ):
            requests: list[dict[str, Any]] = (await answer.json())["requests"]
            return requests


def _threshold(expression: str) -> str:
    """`> 0.95` of a rule about all nodes' memory; of others, nothing."""
    found = re.search(r"MemTotal_bytes\{[^}]*\}\) ([<>] [0-9.]+)", expression)
    return found[1] if found else ""


# The run, and what is to be said of it


@dataclass(frozen=True)
class Typed:
    """One reading of the tutorial."""

    reader: EngineReader
    code: int
    said: str
    slack: tuple[str, ...]
    """What was told until the cluster was deleted: then nobody is active, and the alerts say so."""


async def read_and_typed(folder: Path) -> Typed:
    async with AsyncExitStack() as exits:
        await packages.install(print, PROGRAMS)
        await sweep()
        exits.push_async_callback(sweep)
        MACHINES.mkdir(parents=True, exist_ok=True)
        block = await network.free_block()
        await network.open_bridge(block)
        aws = exits.enter_context(EmbeddedAws())
        reader = EngineReader(aws, block, folder, exits)
        endpoint = aws.endpoint.removeprefix("http://")
        reader.reachable_aws = "http://" + await exits.enter_async_context(leading(str(block[-2]), lambda: [endpoint]))
        reader.ingest = "http://" + await exits.enter_async_context(
            leading(HOST, lambda: [f"{one.address}:{INGEST_PORT}" for one in reader.machines.managers])
        )
        slack = f"{await exits.enter_async_context(served(reader.slack.app()))}/slack"
        code, said = await reader.typed(WHOLE, {"DOCKER_HOST": f"unix://{DOCKER_SOCKET}", "SLACK_WEBHOOK_URL": slack})
        slack_messages = tuple(reader.slack.messages)
        if code == 0:
            await reader.gone()
        return Typed(reader, code, said, slack_messages)


@pytest.fixture(scope="module")
def typed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Typed]:
    typed = asyncio.run(read_and_typed(tmp_path_factory.mktemp("t")))
    assert typed.code == 0, typed.said[-6000:]
    yield typed
    assert asyncio.run(left()) == []


def test_a_reader_who_types_every_block_has_scaled_by_hand_and_by_themselves(typed: Typed) -> None:
    reader = typed.reader
    assert reader.stacks == ["proxy", "scaler", "exporter", "monitor"]
    assert reader.seen == [(3, 0), (3, 1), (3, 1), (3, 0), (3, 2), (3, 1)]
    assert [(one["source"], one["scale"], one["state"]) for one in reader.records] == [
        ("alertmanager", "up", "succeeded"),
        ("alertmanager", "down", "succeeded"),
    ]


def test_slack_is_told_of_the_scales_and_of_no_trouble(typed: Typed) -> None:
    said = " ".join(typed.slack)
    assert "Changing the number of worker nodes on aws from 1 to 2" in said
    assert "Changing the number of worker nodes on aws from 2 to 1" in said
    assert "Total memory of the nodes is over 0.01" in said
    for rule in mixin():
        assert rule["annotations"]["summary"].partition("{{")[0] not in said


def test_a_label_is_a_rule_within_15_seconds_and_asks_within_two_minutes(typed: Typed) -> None:
    reader = typed.reader
    assert len(reader.seconds_to_rule) == 6
    assert max(reader.seconds_to_rule) < RULE_SECONDS, reader.seconds_to_rule
    assert len(reader.asked_after) == 2
    assert max(reader.asked_after) < FIRING_SECONDS, reader.asked_after


def test_after_the_clean_up_no_group_and_no_machine_is_left(typed: Typed) -> None:
    assert typed.reader.left == []
    assert typed.reader.remaining == []


@pytest.mark.parametrize("process", PROCESSES)
def test_the_images_are_small_run_as_nobody_and_say_how_they_are(typed: Typed, process: str) -> None:
    base, *own = typed.reader.layers[process]
    assert base + sum(own) < 120 * MEGABYTE
    assert sum(own) < 60 * MEGABYTE  # so that there is room for a larger base
    config = typed.reader.images[process]["Config"]
    assert config["User"] == "65532:65532"
    assert config["Healthcheck"]["Test"][0] == "CMD"
    assert config["Labels"]["org.opencontainers.image.title"] == f"docker-scaler-{process}"
    assert config["Entrypoint"] == ["python3", "-m", process]


def test_it_was_these_images_that_scaled_read_only_and_without_any_capability(typed: Typed) -> None:
    containers = typed.reader.containers
    names = sorted(one["Config"]["Image"].rpartition("/")[2] for one in containers)
    assert names == [f"docker-scaler-{process}:0.1.0" for process in ("ingest", "ingest", "worker", "worker")]
    for one in containers:
        assert one["HostConfig"]["ReadonlyRootfs"] is True
        assert one["HostConfig"]["CapDrop"] == ["ALL"]
        assert one["Config"]["User"] == "65532:65532"
        assert one["Image"] in {image["Id"] for image in typed.reader.images.values()}
