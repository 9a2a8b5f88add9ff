"""docs/tutorial.md over the embedded AWS and the simulated Swarm; and what can be said of it without running it.

The two templates are created on it, the Swarm follows their groups, ingest and worker are real processes with the
environment that `docker stack config` makes of stacks/scaler.yml. On real engines: test_tutorial_engines.py.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from infra.local import children
from infra.local.aws import EmbeddedAws
from infra.local.children import Child
from infra.local.engine import SimulatedSwarm, serve
from infra.local.loopback import free_ports, served
from infra.local.machines import SimulatedMachines
from infra.local.receiver import Receiver
from rules.model import Rule
from tests.e2e.cloudformation.commands import Answer, on_path
from tests.scaffolding.tutorial import reading
from tests.scaffolding.tutorial.reading import TOKEN, Reader, option, passed, run
from tests.scaffolding.tutorial.script import ROOT, SHELLS, TUTORIAL, blocks, script
from tests.unit.stacks.test_stacks import docker_has_stack_config, needs

STAND_INS: Final = {
    **reading.STAND_INS,
    "curl": "the load balancer and Traefik are not there: what goes to CLUSTER_DNS/scaler goes to ingest",
    "docker build": "no engine: see test_image.py for the images' content, test_tutorial_engines.py for a build",
    "docker secret": "the simulated Swarm keeps none: name and content are kept here",
    "docker stack": "`docker stack config` says whether it would do; deploying `scaler` starts its processes",
    "docker stack deploy exporter": "services that do nothing, with the labels",
    "docker service update exporter_...": "really done; then the webhook that Prometheus and Alertmanager would send",
}


class SimulatedReader(Reader):
    """Over the simulated Swarm."""

    def __init__(self, aws: EmbeddedAws, swarm: SimulatedSwarm, folder: Path, exits: AsyncExitStack) -> None:
        super().__init__(aws, folder, exits)
        self._swarm = swarm
        self._ports = free_ports()
        self._url = ""
        self.receiver = Receiver()
        self.alertmanager = ""
        self.networks = {"metadata"}
        self.children: list[Child] = []
        self.webhooks: list[dict[str, Any]] = []
        self.told: list[str] = []
        """Summaries of alerts that scale nothing."""

    @property
    def url(self) -> str:
        return self._url

    def nodes(self) -> tuple[int, int]:
        roles = [str(node.role) for node in self._swarm.nodes]
        return roles.count("manager"), roles.count("worker")

    async def swarm_formed(self) -> None:
        self.follow(SimulatedMachines(self._swarm))

        async def three() -> bool:
            return len(self._swarm.nodes) == 3

        await children.until(three, (), "three managers", 30)

    def docker(self, arguments: Sequence[str], stdin: str, environ: Mapping[str, str]) -> Answer:
        match list(arguments):
            case [("build" | "push" | "login"), *_]:
                return 0, "", ""
            case ["secret", "create", name, "-"]:
                self.secrets[name] = stdin
                return 0, f"{name}\n", ""
            case ["stack", "deploy", *rest]:
                return self._deploy(rest, environ)
            case ["stack", *_]:
                return 0, "", ""
            case ["service", "update", *_, name]:
                return self._relabelled(arguments, name, environ)
        if arguments[:2] == ["network", "create"]:
            self.networks.add(arguments[-1])
        answer = run([self.real_docker, *arguments], environ)
        if arguments[:2] == ["node", "ls"]:
            self.seen.append(self.nodes())
        return answer

    def _deploy(self, arguments: Sequence[str], environ: Mapping[str, str]) -> Answer:
        file, name = Path(environ["PWD"]) / option(arguments, "--compose-file"), arguments[-1]
        config, errors = self.stack_config(file, environ)
        if errors:
            return 1, "", errors
        for kind, there in (("networks", self.networks), ("secrets", self.secrets.keys())):
            missing = self.missing(config, kind, [*there])
            if missing:
                return 1, "", f"{name}: {kind} {missing} are not there\n"
        self.stacks.append(name)
        if name == "scaler":
            self.wait(self._start(config["services"]))
        return self.exporters(config, environ, "alpine:3.22") if name == "exporter" else (0, "", "")

    async def _start(self, services: Mapping[str, Any]) -> None:
        token = self.folder / TOKEN
        token.write_text(self.secrets[TOKEN])
        port = str(next(self._ports))
        self._url = f"http://127.0.0.1:{port}"
        more = {
            "ingest": {"INGEST_HOST": "127.0.0.1", "INGEST_PORT": port, f"{TOKEN.upper()}_FILE": str(token)},
            "worker": {"WORKER_PORT": "0", "DOCKER_HOST": f"unix://{self.folder}/docker.sock"},
        }
        common = {**self.embedded.environment, "ALERTMANAGER_ADDRESS": self.alertmanager, "PATH": os.environ["PATH"]}
        for name, own in more.items():
            environ = {**services[name]["environment"], **common, **own, "PYTHONPATH": str(ROOT)}
            child = await children.start(name, name, environ, self.folder / f"{name}.log", None)
            self.children.append(child)
        self.exits.push_async_callback(children.stop, self.children)

    def _relabelled(self, arguments: Sequence[str], name: str, environ: Mapping[str, str]) -> Answer:
        """What `rules`, Prometheus and Alertmanager do with a label."""
        answer = run([self.real_docker, *arguments], environ)
        for rule in self.rules(name, environ):
            if passed(rule) and rule.labels["scale"] in ("up", "down"):
                self._post(rule)
            elif passed(rule):
                self.told.append(rule.annotations["summary"])
        return answer

    def _post(self, rule: Rule) -> None:
        body = json.loads((ROOT / "tests/payloads/tutorial_firing.json").read_text())
        group = {key: rule.labels[key] for key in ("service", "scale", "type")}
        body |= {"groupLabels": group, "commonLabels": {**rule.labels}, "groupKey": str(group)}
        for alert in body["alerts"]:
            alert["labels"] = {"alertname": rule.name, **rule.labels}
        url = f"{self._url}/v1/scale-nodes?by=1&type=worker&wait=60"
        header = f"Authorization: Bearer {self.secrets[TOKEN]}"
        command = [self.real_curl, "-sS", "-H", header, "-X", "POST", url, "-d", json.dumps(body)]
        self.webhooks.append(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))


async def read_and_typed(folder: Path, shell: str) -> tuple[SimulatedReader, int, str]:
    """Every block run: what the stand-ins saw, the shell's exit code, what it said."""
    async with AsyncExitStack() as exits:
        aws = exits.enter_context(EmbeddedAws())
        swarm = await exits.enter_async_context(SimulatedSwarm())
        await exits.enter_async_context(serve(swarm, folder / "docker.sock"))
        reader = SimulatedReader(aws, swarm, folder, exits)
        reader.alertmanager = await exits.enter_async_context(served(reader.receiver.app()))
        code, said = await reader.typed(240, {"DOCKER_HOST": f"unix://{folder}/docker.sock"}, shell)
        return reader, code, said


@pytest.mark.slow
@pytest.mark.skipif(not docker_has_stack_config(), reason="no `docker stack config` on this machine")
@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on this machine")
@pytest.mark.parametrize("shell", [pytest.param(name, marks=needs(name)) for name in SHELLS])
def test_a_reader_who_types_every_block_has_scaled_by_hand_and_by_themselves(tmp_path: Path, shell: str) -> None:
    reader, code, said = asyncio.run(read_and_typed(tmp_path, shell))
    assert code == 0, said[-4000:]
    assert reader.stacks == ["proxy", "scaler", "exporter", "monitor"]
    assert reader.seen == [(3, 0), (3, 1), (3, 1), (3, 0), (3, 2), (3, 1)], said[-4000:]
    assert [one["status"] for one in reader.webhooks] == ["OK", "OK"]
    assert reader.told == ["Total memory of the nodes is over 0.01"]
    summaries = " ".join(message.summary for message in reader.receiver.board.messages)
    assert "Changing the number of worker nodes on aws from 1 to 2" in summaries
    assert reader.left == []


@pytest.mark.parametrize("shell", [pytest.param(name, marks=needs(name)) for name in SHELLS])
def test_there_are_blocks_for_both_sides_and_each_is_sound_in_both_shells(shell: str) -> None:
    assert {where for where, _ in blocks()} == {"here", "manager", "otherwise"}
    for _, text in blocks():
        subprocess.run([shell, "-n"], input=text, text=True, check=True)
    subprocess.run([shell, "-n"], input=script(Path("/home"), Path("/clone")), text=True, check=True)


def test_the_managers_own_calls_do_not_go_through_the_load_balancer() -> None:
    """It lets in WebLocation, and a manager calls it from its public address."""
    calls = [text for where, text in blocks() if where == "manager" and "curl" in text]
    assert calls
    assert not [text for text in calls if "CLUSTER_DNS" in text]


def test_every_loop_has_an_end() -> None:
    """A loop that asks until it is answered asks for ever."""
    assert not [text for _, text in blocks() if re.search(r"^ *(until|while) ", text, re.MULTILINE)]


class Failed:
    """`aws` after a stack was not created: what it is asked about it, and what it deletes."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def __call__(self, arguments: Sequence[str], _stdin: str, _environ: Mapping[str, str]) -> Answer:
        line = " ".join(arguments)
        self.done.append(line)
        answers = {
            "cloudformation describe-stack-events": "2026-11-26 ManagerAsg Received FAILURE signal\n",
            "ec2 describe-instances": "i-1\ti-2\n",
            "ec2 get-console-output": "booting\nswarm-node: GAVE UP after 840 s: dnf install\n",
            "autoscaling describe-auto-scaling-groups": "devops22-ManagerAsg-1\tdevops22-NodeAsg-1\n",
            "cloudformation describe-stacks": "user\n",
            "iam list-access-keys": "AKIA1\tAKIA2\n",
        }
        return 0, next((text for start, text in answers.items() if line.startswith(start)), ""), ""


@pytest.mark.parametrize("shell", [pytest.param(name, marks=needs(name)) for name in SHELLS])
def test_who_has_no_stack_finds_out_why_and_gets_rid_of_what_is_left(tmp_path: Path, shell: str) -> None:
    aws = Failed()
    functions = "".join(re.findall(r"^output\(\) \{\n.*?^\}\n", TUTORIAL.read_text(), re.MULTILINE | re.DOTALL))
    text = "".join(text for where, text in blocks() if where == "otherwise")
    with on_path(tmp_path / "bin", aws=aws) as path:
        environ = {"PATH": f"{path}:{os.environ['PATH']}", "STACK_NAME": "devops22"}
        code, said, errors = run([shell, "-c", f"set -eu\n{functions}{text}"], environ)
    assert code == 0, errors
    assert said.count("swarm-node: GAVE UP after 840 s: dnf install") == 2
    deleted = [line for line in aws.done if " delete-" in line]
    assert deleted == [
        "iam delete-access-key --user-name user --access-key-id AKIA1",
        "iam delete-access-key --user-name user --access-key-id AKIA2",
        "cloudformation delete-stack --stack-name devops22",
        "autoscaling delete-auto-scaling-group --force-delete --auto-scaling-group-name devops22-ManagerAsg-1",
        "autoscaling delete-auto-scaling-group --force-delete --auto-scaling-group-name devops22-NodeAsg-1",
        "cloudformation delete-stack --stack-name devops22",
    ]


def test_every_network_secret_and_config_that_a_stack_wants_from_outside_is_made_by_a_block() -> None:
    text = "".join(text for _, text in blocks())
    for name in ("proxy", "scaler", "monitor", "exporters"):
        parsed = yaml.safe_load((ROOT / "stacks" / f"{name}.yml").read_text())
        for kind, command in (("networks", "network"), ("secrets", "secret"), ("configs", "config")):
            for key, one in (parsed.get(kind) or {}).items():
                if one and one.get("external") and key != "metadata":  # the nodes make it
                    assert re.search(rf"docker {command} create (--driver overlay )?{key}\b", text), (name, key)


def test_every_variable_that_a_stack_wants_reaches_the_manager() -> None:
    text = TUTORIAL.read_text()
    [carried] = re.findall(r"for name in (.*?); do\n +printf 'export", text, re.DOTALL)
    for path in (ROOT / "stacks").glob("*.yml"):
        if path.stem == "proxy-letsencrypt":
            continue  # another way than the tutorial's
        wanted = set(re.findall(r"\$\{([A-Z_]+)(?::\?[^}]*)?\}", path.read_text()))
        assert wanted <= {*carried.replace("\\", "").split(), "DOMAIN"}, path
