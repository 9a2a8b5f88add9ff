"""docs/tutorial.md as a person types it: its command blocks, unmodified, in order, in one shell.

`Reader` has the stand-ins that do not depend on what the Swarm is made of; two tests add theirs, over the simulated
Swarm (test_tutorial.py) and over real engines (test_tutorial_engines.py). Commands come in on threads of their own.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import yaml

from infra.local.aws import LAUNCHER_ACCESS_KEY, EmbeddedAws
from infra.local.aws.deploy import protect
from infra.local.aws.templates import for_emulator
from infra.local.boot_knobs import BootKnobs
from infra.local.launcher import Launcher
from infra.local.machines import Machines
from rules.decision import decide
from rules.model import Rule, Service
from tests.e2e.cloudformation.commands import Answer, AwsCommand, on_path
from tests.scaffolding.tutorial.script import clone, script

TOKEN: Final = "webhook_token"
COMMANDS: Final = ("aws", "docker", "curl", "scp", "ssh")
T = TypeVar("T")

STAND_INS: Final = {
    "ssh": "there is no machine to log in to: the manager's blocks run in the same shell, in a home of their own",
    "scp": "copies into that home",
    "curl checkip": "nothing outside is asked",
    "aws ecr get-login-password": "an own command of the aws program, not a call",
    "aws service-quotas": "a number: the emulator has no quotas of EC2",
    "docker network metadata": "the nodes make it, when they run the script of swarm.yaml",
    "aws cloudformation": "creating: see infra.local.aws.templates; deleting: moto minds neither policies nor order",
    "docker push, login": "there is no registry",
}


def option(arguments: Sequence[str], name: str) -> str:
    """The value after an option; empty where it is not there."""
    return arguments[arguments.index(name) + 1] if name in arguments else ""


def run(command: Sequence[str], environ: Mapping[str, str], stdin: str = "") -> Answer:
    """A command of the system, with what it was given."""
    done = subprocess.run(command, input=stdin, env=dict(environ), capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def passed(rule: Rule) -> bool:
    """Whether a threshold of the tutorial's is one that the memory of any machine passes."""
    [(comparison, value)] = re.findall(r"MemTotal_bytes\{[^}]*\}\) ([<>]) ([0-9.]+)", rule.expression)
    return float(value) < HALF if comparison == ">" else float(value) > HALF


HALF: Final = 0.5


class Reader(ABC):
    """The stand-ins, and what they have seen."""

    def __init__(self, aws: EmbeddedAws, folder: Path, exits: AsyncExitStack) -> None:
        self.embedded, self.folder, self.exits = aws, folder, exits
        self._command = AwsCommand(aws.session().client)
        self._loop = asyncio.get_running_loop()
        self.real_docker = shutil.which("docker") or ""
        self.real_curl = shutil.which("curl") or ""
        self.home = folder / "home"
        self.home.mkdir()
        self.secrets: dict[str, str] = {}
        self.stacks: list[str] = []
        self.seen: list[tuple[int, int]] = []
        """Managers and workers, each time that the reader looked."""
        self.left: list[str] = []
        """Auto Scaling groups that are there after the last block."""

    @abstractmethod
    async def swarm_formed(self) -> None:
        """The groups are there; return when their instances are the Swarm."""

    @abstractmethod
    def docker(self, arguments: Sequence[str], stdin: str, environ: Mapping[str, str]) -> Answer:
        """The `docker` command."""

    @abstractmethod
    def nodes(self) -> tuple[int, int]:
        """Managers and workers."""

    @property
    @abstractmethod
    def url(self) -> str:
        """Where ingest is reached."""

    def wait(self, coroutine: Coroutine[Any, Any, T], within: float = 300) -> T:
        """Have the event loop do it."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(within)

    async def typed(self, within: float, more: Mapping[str, str], kind: str = "bash") -> tuple[int, str]:
        """Every block run: the shell's exit code, and what it said."""
        source = self.folder / "tutorial.sh"
        source.write_text(script(self.home, clone(self.folder)))
        with self._commands() as path, (self.folder / "said").open("wb") as said:
            environ = {
                "PATH": f"{path}:{os.environ['PATH']}",
                "HOME": str(self.home),
                "AWS_DEFAULT_REGION": self.embedded.environment["AWS_DEFAULT_REGION"],
                **more,
            }
            shell = await asyncio.create_subprocess_exec(kind, str(source), env=environ, stdout=said, stderr=said)
            try:
                async with asyncio.timeout(within):
                    code = await shell.wait()
            finally:
                if shell.returncode is None:
                    shell.kill()
        self.left = self.groups()
        return code, (self.folder / "said").read_text()

    # aws

    def aws(self, arguments: Sequence[str], stdin: str, environ: Mapping[str, str]) -> Answer:
        words, stack = list(arguments[:2]), option(arguments, "--stack-name")
        if words == ["ecr", "get-login-password"]:
            return 0, "password\n", ""
        if words == ["service-quotas", "get-service-quota"]:
            return 0, "32.0\n", ""
        if words == ["cloudformation", "create-stack"]:
            return self._create_stack(arguments, stdin, environ)
        if words == ["cloudformation", "delete-stack"]:
            return self._delete_stack(stack, arguments, stdin, environ)
        if words == ["cloudformation", "wait"] and stack and not stack.endswith("-scaler") and "delete" in arguments[2]:
            return 0, "", ""
        return self._command(arguments, stdin, environ)

    def template(self, text: str) -> str:
        """A template as the emulator takes it."""
        return for_emulator(text)

    def _create_stack(self, arguments: Sequence[str], stdin: str, environ: Mapping[str, str]) -> Answer:
        place = arguments.index("--template-body") + 1
        source = Path(environ["PWD"]) / arguments[place].removeprefix("file://")
        changed = self.folder / source.name
        changed.write_text(self.template(source.read_text()))
        answer = self._command([*arguments[:place], f"file://{changed}", *arguments[place + 1 :]], stdin, environ)
        if source.name == "swarm.yaml" and answer[0] == 0:
            self.wait(self.swarm_formed())
            protect(self.embedded.session(), self.groups())
        return answer

    def _delete_stack(self, stack: str, arguments: Sequence[str], stdin: str, environ: Mapping[str, str]) -> Answer:
        if not stack.endswith("-scaler"):
            groups = self.groups()
            return (255, "", f"{groups} would never go: they are protected\n") if groups else (0, "", "")
        iam = self.embedded.session().client("iam")
        for role in iam.list_roles()["Roles"]:
            for policy in iam.list_attached_role_policies(RoleName=role["RoleName"])["AttachedPolicies"]:
                iam.detach_role_policy(RoleName=role["RoleName"], PolicyArn=policy["PolicyArn"])
        return self._command(arguments, stdin, environ)

    def groups(self) -> list[str]:
        """The names of the Auto Scaling groups."""
        found = self.embedded.session().client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
        return [one["AutoScalingGroupName"] for one in found]

    def follow(self, machines: Machines) -> None:
        """Instances of the stack's groups become machines."""
        roles: Any = {one: "manager" if "-ManagerAsg-" in one else "worker" for one in self.groups()}
        session = self.embedded.session(LAUNCHER_ACCESS_KEY)
        launcher = Launcher(session, roles, machines, BootKnobs(0.2), self.embedded.instance_changes)
        following = asyncio.create_task(launcher.run())
        self.exits.callback(following.cancel)

    # docker stack

    def stack_config(self, file: Path, environ: Mapping[str, str]) -> tuple[dict[str, Any], str]:
        """What a stack's file says with its variables filled in, or why it will not do."""
        code, said, errors = run([self.real_docker, "stack", "config", "-c", str(file)], environ)
        return (yaml.safe_load(said), "") if code == 0 else ({}, errors)

    @staticmethod
    def missing(config: Mapping[str, Any], kind: str, there: Iterator[str] | Sequence[str]) -> set[str]:
        """What a stack wants from outside, and nobody has made."""
        return {one["name"] for one in (config.get(kind) or {}).values() if one.get("external")} - set(there)

    # Exporters: what they measure has stand-ins, their services and labels are there

    def exporters(self, config: Mapping[str, Any], environ: Mapping[str, str], image: str) -> Answer:
        """The services of exporters.yml, with its labels and constraints."""
        for name, service in config["services"].items():
            deploy = service["deploy"]
            labels = [word for key, value in deploy["labels"].items() for word in ("--label", f"{key}={value}")]
            places = [f"--constraint={one}" for one in deploy.get("placement", {}).get("constraints", [])]
            words = ["--detach", "--quiet", "--no-resolve-image", "--mode", "global", "--name", f"exporter_{name}"]
            command = ["service", "create", *words, *places, *labels, image, "sleep", "1000000000"]
            code, out, errors = run([self.real_docker, *command], environ)
            if code:
                return code, out, errors
        return 0, "", ""

    def rules(self, service: str, environ: Mapping[str, str]) -> tuple[Rule, ...]:
        """What a service's labels come to."""
        code, out, errors = run([self.real_docker, "service", "inspect", service], environ)
        assert code == 0, errors
        [found] = json.loads(out)
        decision = decide([Service(service, found["Spec"]["Labels"], None)])
        assert decision.problems == ()
        return decision.rules

    # The rest

    def curl(self, arguments: Sequence[str], _stdin: str, environ: Mapping[str, str]) -> Answer:
        if arguments[-1].startswith("https://checkip"):
            return 0, "203.0.113.7\n", ""
        words = [re.sub(r"^http://[^/]+/scaler/", f"{self.url}/scaler/", one) for one in arguments]
        code, out, errors = run([self.real_curl, *words], environ)
        return code, f"{out}\n", errors

    def scp(self, arguments: Sequence[str], _stdin: str, environ: Mapping[str, str]) -> Answer:
        sources = [one for one in arguments if one == "env" or one.startswith("stacks/")]
        assert {"env", "stacks/scaler.yml"} <= set(sources)
        for source in sources:
            shutil.copy(Path(environ["PWD"]) / source, self.home)
        return 0, "", ""

    def ssh(self, _arguments: Sequence[str], _stdin: str, _environ: Mapping[str, str]) -> Answer:
        return 0, "", ""

    @contextmanager
    def _commands(self) -> Iterator[Path]:
        with on_path(self.folder / "bin", **{name: getattr(self, name) for name in COMMANDS}) as path:
            yield path
