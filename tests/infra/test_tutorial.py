"""docs/tutorial.md: its command blocks, unmodified, in order, in one shell, over the embedded AWS and Swarm.

The two templates are created on it, the Swarm follows their groups, ingest and worker are real processes with the
environment that `docker stack config` makes of stacks/scaler.yml. What cannot exist here has a stand-in, listed below.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import pytest
import yaml

from infra.local import children
from infra.local.aws import LAUNCHER_ACCESS_KEY, EmbeddedAws
from infra.local.aws.templates import for_emulator
from infra.local.children import Child
from infra.local.engine import SimulatedSwarm, serve
from infra.local.launcher import BootKnobs, Launcher, SimulatedMachines
from infra.local.loopback import free_ports, served
from infra.local.receiver import Receiver
from tests.infra.commands import Answer, AwsCommand, on_path
from tests.infra.test_stacks import docker_has_stack_config

ROOT: Final = Path(__file__).parents[2]
TUTORIAL: Final = ROOT / "docs" / "tutorial.md"
TOKEN: Final = "webhook_token"
T = TypeVar("T")

STAND_INS: Final = {
    "ssh": "there is no machine to log in to: the manager's blocks run in the same shell, in a home of their own",
    "scp": "copies into that home",
    "sudo": "`systemd-run` runs the command once, now",
    "curl": "the load balancer and Traefik are not there: what goes to CLUSTER_DNS/scaler goes to ingest",
    "docker build, push, login": "no engine and no registry: the images' content is tested in test_image.py",
    "docker secret": "the simulated Swarm keeps none: name and content are kept here",
    "docker stack": "`docker stack config` says whether it would do; deploying `scaler` starts its processes",
    "docker service update monitor_prometheus": "Prometheus and Alertmanager: the webhook that they would send",
    "aws ecr get-login-password": "an own command of the aws program, not a call",
    "aws cloudformation": "creating: see infra.local.aws.templates; deleting: moto minds neither policies nor order",
}


def blocks() -> list[tuple[str, str]]:
    """Where each command block is typed (`here` or `manager`), and the block."""
    found = re.findall(r"^```bash(?: (manager))?\n(.*?)^```$", TUTORIAL.read_text(), re.MULTILINE | re.DOTALL)
    return [(where or "here", text) for where, text in found]


def script(home: Path, clone: Path) -> str:
    """All blocks, one after the other, each where it belongs."""
    folders = {"here": clone, "manager": home}
    parts = [f"cd {folders[where]}\n{text}" for where, text in blocks()]
    return "set -euo pipefail\n" + "".join(f"echo '@@ block {n}' >&2\n{part}" for n, part in enumerate(parts))


class Stage:
    """The stand-ins, and what they have seen. Commands come in on threads of their own."""

    def __init__(self, aws: EmbeddedAws, swarm: SimulatedSwarm, folder: Path, exits: AsyncExitStack) -> None:
        self._aws, self._swarm, self._folder, self._exits = aws, swarm, folder, exits
        self._command = AwsCommand(aws.session().client)
        self._loop = asyncio.get_running_loop()
        self._docker = shutil.which("docker") or ""
        self._curl = shutil.which("curl") or ""
        self._ports = free_ports()
        self._url = ""
        self.receiver = Receiver()
        self.alertmanager = ""
        self.home = folder / "home"
        self.secrets: dict[str, str] = {}
        self.networks: set[str] = set()
        self.stacks: list[str] = []
        self.children: list[Child] = []
        self.webhooks: list[dict[str, Any]] = []
        self.seen: list[tuple[int, int]] = []

    def _wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(90)

    # aws

    def aws(self, arguments: Sequence[str], stdin: str, environ: Mapping[str, str]) -> Answer:
        words, stack = list(arguments[:2]), self._option(arguments, "--stack-name")
        if words == ["ecr", "get-login-password"]:
            return 0, "password\n", ""
        if words == ["cloudformation", "create-stack"]:
            return self._create_stack(arguments, stdin, environ)
        if words == ["cloudformation", "delete-stack"]:
            return self._delete_stack(stack, arguments, stdin, environ)
        if words == ["cloudformation", "wait"] and stack and not stack.endswith("-scaler") and "delete" in arguments[2]:
            return 0, "", ""
        return self._command(arguments, stdin, environ)

    def _create_stack(self, arguments: Sequence[str], stdin: str, environ: Mapping[str, str]) -> Answer:
        place = arguments.index("--template-body") + 1
        source = Path(environ["PWD"]) / arguments[place].removeprefix("file://")
        changed = self._folder / source.name
        changed.write_text(for_emulator(source.read_text()))
        answer = self._command([*arguments[:place], f"file://{changed}", *arguments[place + 1 :]], stdin, environ)
        if source.name == "swarm.yaml" and answer[0] == 0:
            self._wait(self._follow())
        return answer

    def _delete_stack(self, stack: str, arguments: Sequence[str], stdin: str, environ: Mapping[str, str]) -> Answer:
        if not stack.endswith("-scaler"):
            return 0, "", ""
        iam = self._aws.session().client("iam")
        for role in iam.list_roles()["Roles"]:
            for policy in iam.list_attached_role_policies(RoleName=role["RoleName"])["AttachedPolicies"]:
                iam.detach_role_policy(RoleName=role["RoleName"], PolicyArn=policy["PolicyArn"])
        return self._command(arguments, stdin, environ)

    async def _follow(self) -> None:
        """Instances of the stack's groups become nodes."""
        described = self._aws.session().client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
        groups: Any = {
            one["AutoScalingGroupName"]: "manager" if "-ManagerAsg-" in one["AutoScalingGroupName"] else "worker"
            for one in described
        }
        machines, session = SimulatedMachines(self._swarm), self._aws.session(LAUNCHER_ACCESS_KEY)
        launcher = Launcher(session, groups, machines, BootKnobs(0.2), self._aws.instance_changes)
        following = asyncio.create_task(launcher.run())
        self._exits.callback(following.cancel)

        async def three() -> bool:
            return len(self._swarm.nodes) == 3

        await children.until(three, (), "three managers", 30)

    # docker

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
            case ["service", "update", *_, "monitor_prometheus"]:
                return self._threshold(self._option(arguments, "--env-add"))
        if arguments[:2] == ["network", "create"]:
            self.networks.add(arguments[-1])
        done = subprocess.run(
            [self._docker, *arguments], env=dict(environ), capture_output=True, text=True, check=False
        )
        if arguments[:2] == ["node", "ls"]:
            nodes = [str(node.role) for node in self._swarm.nodes]
            self.seen.append((nodes.count("manager"), nodes.count("worker")))
        return done.returncode, done.stdout, done.stderr

    def _deploy(self, arguments: Sequence[str], environ: Mapping[str, str]) -> Answer:
        file, name = Path(environ["PWD"]) / self._option(arguments, "--compose-file"), arguments[-1]
        config = [self._docker, "stack", "config", "-c", str(file)]
        done = subprocess.run(config, env=dict(environ), capture_output=True, text=True, check=False)
        if done.returncode != 0:
            return done.returncode, "", done.stderr
        parsed = yaml.safe_load(done.stdout)
        for kind, there in (("networks", self.networks), ("secrets", self.secrets.keys())):
            missing = {one["name"] for one in (parsed.get(kind) or {}).values() if one.get("external")} - set(there)
            if missing:
                return 1, "", f"{name}: {kind} {missing} are not there\n"
        self.stacks.append(name)
        if name == "scaler":
            self._wait(self._start(parsed["services"]))
        return 0, "", ""

    async def _start(self, services: Mapping[str, Any]) -> None:
        token = self._folder / TOKEN
        token.write_text(self.secrets[TOKEN])
        port = str(next(self._ports))
        self._url = f"http://127.0.0.1:{port}"
        more = {
            "ingest": {"INGEST_HOST": "127.0.0.1", "INGEST_PORT": port, f"{TOKEN.upper()}_FILE": str(token)},
            "worker": {"WORKER_PORT": "0", "DOCKER_HOST": f"unix://{self._folder}/docker.sock"},
        }
        common = {**self._aws.environment, "ALERTMANAGER_ADDRESS": self.alertmanager, "PATH": os.environ["PATH"]}
        for name, own in more.items():
            environ = {**services[name]["environment"], **common, **own, "PYTHONPATH": str(ROOT)}
            child = await children.start(name, name, environ, self._folder / f"{name}.log", None)
            self.children.append(child)
        self._exits.push_async_callback(children.stop, self.children)

    def _threshold(self, setting: str) -> Answer:
        """What Prometheus and Alertmanager do where the threshold is passed."""
        name, _, value = setting.partition("=")
        passed = {"WORKER_MEMORY_ABOVE": float(value) < 0.5, "WORKER_MEMORY_BELOW": float(value) > 0.5}[name]
        if passed:
            self._post("up" if name.endswith("ABOVE") else "down")
        return 0, "", ""

    def _post(self, direction: str) -> None:
        body = json.loads((ROOT / "tests/payloads/tutorial_firing.json").read_text())
        for labels in (body["groupLabels"], body["commonLabels"], *(one["labels"] for one in body["alerts"])):
            labels["scale"] = direction
        body["groupKey"] += direction
        url = f"{self._url}/v1/scale-nodes?by=1&type=worker&wait=60"
        header = f"Authorization: Bearer {self.secrets[TOKEN]}"
        command = [self._curl, "-sS", "-H", header, "-X", "POST", url, "-d", json.dumps(body)]
        self.webhooks.append(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))

    # The rest

    def curl(self, arguments: Sequence[str], _stdin: str, environ: Mapping[str, str]) -> Answer:
        if arguments[-1].startswith("https://checkip"):
            return 0, "203.0.113.7\n", ""
        words = [re.sub(r"^http://[^/]+/scaler/", f"{self._url}/scaler/", one) for one in arguments]
        done = subprocess.run([self._curl, *words], env=dict(environ), capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + "\n", done.stderr

    def scp(self, arguments: Sequence[str], _stdin: str, environ: Mapping[str, str]) -> Answer:
        for name in ("stacks", "env"):
            assert name in arguments
            source = Path(environ["PWD"]) / name
            copy = shutil.copytree if source.is_dir() else shutil.copy
            copy(source, self.home / name)
        return 0, "", ""

    def ssh(self, _arguments: Sequence[str], _stdin: str, _environ: Mapping[str, str]) -> Answer:
        return 0, "", ""

    def sudo(self, arguments: Sequence[str], _stdin: str, environ: Mapping[str, str]) -> Answer:
        done = subprocess.run([arguments[-1]], env=dict(environ), capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    @contextmanager
    def commands(self) -> Iterator[Path]:
        names = ("aws", "docker", "curl", "scp", "ssh", "sudo")
        with on_path(self._folder / "bin", **{name: getattr(self, name) for name in names}) as path:
            yield path

    @staticmethod
    def _option(arguments: Sequence[str], name: str) -> str:
        return arguments[arguments.index(name) + 1] if name in arguments else ""


def clone(folder: Path) -> Path:
    """What the reader has cloned, as far as the blocks look at it."""
    path = folder / "clone"
    path.mkdir()
    for name in ("infra", "stacks"):
        (path / name).symlink_to(ROOT / name)
    return path


async def read_and_typed(folder: Path) -> tuple[Stage, int, str]:
    """Every block run: what the stand-ins saw, the shell's exit code, what it said."""
    async with AsyncExitStack() as exits:
        aws = exits.enter_context(EmbeddedAws())
        swarm = await exits.enter_async_context(SimulatedSwarm())
        await exits.enter_async_context(serve(swarm, folder / "docker.sock"))
        stage = Stage(aws, swarm, folder, exits)
        stage.alertmanager = await exits.enter_async_context(served(stage.receiver.app()))
        stage.home.mkdir()
        path = exits.enter_context(stage.commands())
        source = folder / "tutorial.sh"
        source.write_text(script(stage.home, clone(folder)))
        environ = {
            "PATH": f"{path}:{os.environ['PATH']}",
            "HOME": str(stage.home),
            "DOCKER_HOST": f"unix://{folder}/docker.sock",
            "AWS_DEFAULT_REGION": aws.environment["AWS_DEFAULT_REGION"],
        }
        with (folder / "said").open("wb") as said:
            shell = await asyncio.create_subprocess_exec("bash", str(source), env=environ, stdout=said, stderr=said)
            async with asyncio.timeout(240):
                code = await shell.wait()
        return stage, code, (folder / "said").read_text()


@pytest.mark.slow
@pytest.mark.skipif(not docker_has_stack_config(), reason="no `docker stack config` on this machine")
@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on this machine")
def test_a_reader_who_types_every_block_has_scaled_by_hand_and_by_themselves(tmp_path: Path) -> None:
    stage, code, said = asyncio.run(read_and_typed(tmp_path))
    assert code == 0, said[-4000:]
    assert stage.stacks == ["proxy", "scaler", "exporter", "monitor"]
    assert stage.seen == [(3, 0), (3, 1), (3, 1), (3, 0), (3, 2), (3, 1)], said[-4000:]
    assert [one["status"] for one in stage.webhooks] == ["OK", "OK"]
    summaries = " ".join(message.summary for message in stage.receiver.board.messages)
    assert "Changing the number of worker nodes on aws from 1 to 2" in summaries


def test_there_are_blocks_for_both_sides_and_each_is_sound_bash() -> None:
    assert {where for where, _ in blocks()} == {"here", "manager"}
    subprocess.run(["bash", "-n"], input=script(Path("/home"), Path("/clone")), text=True, check=True)


def test_every_network_secret_and_config_that_a_stack_wants_from_outside_is_made_by_a_block() -> None:
    text = "".join(text for _, text in blocks())
    for name in ("proxy", "scaler", "monitor", "exporters"):
        parsed = yaml.safe_load((ROOT / "stacks" / f"{name}.yml").read_text())
        for kind, command in (("networks", "network"), ("secrets", "secret"), ("configs", "config")):
            for key, one in (parsed.get(kind) or {}).items():
                if one and one.get("external"):
                    assert re.search(rf"docker {command} create (--driver overlay )?{key}\b", text), (name, key)


def test_every_variable_that_a_stack_wants_reaches_the_manager() -> None:
    text = TUTORIAL.read_text()
    [carried] = re.findall(r"for name in (.*?); do\n +printf 'export", text, re.DOTALL)
    for path in (ROOT / "stacks").glob("*.yml"):
        wanted = set(re.findall(r"\$\{([A-Z_]+)(?::\?[^}]*)?\}", path.read_text()))
        assert wanted <= {*carried.replace("\\", "").split(), "DOMAIN"}, path
