"""The lab as a whole: AWS, machines, monitoring, one ingest and two workers.

Set up on entering: three managers and a worker Ready, `demo` running, everything watched, a worker active. Raises
SetUpFailed. What is not a process of ours (namespaces, folders) is `sweep`'s to take away: a crash leaves nothing.
The counterpart of `infra.local.environment`, of which it uses all but the simulated Swarm.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, suppress
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, Final, Self

import aiohttp

from infra.lab import image, network, packages
from infra.lab.control import LabControl
from infra.lab.engine import EngineClient, EngineError
from infra.lab.formation import RealMachines
from infra.lab.monitoring import Monitoring
from infra.lab.places import DOCKER_SOCKET, MACHINES, MARKED
from infra.lab.processes import LabServices
from infra.lab.slack import Slack
from infra.lab.sweep import remember, sweep
from infra.local import children
from infra.local.aws import LAUNCHER_ACCESS_KEY, EmbeddedAws, deploy, deploy_swarm
from infra.local.boot_knobs import BootKnobs
from infra.local.folder import claimed, told
from infra.local.incidents import IncidentDesk
from infra.local.launcher import Launcher
from infra.local.loopback import free_ports, served
from infra.local.machines import Role
from infra.local.surroundings import OWN, boot_delay

REPLICAS: Final = 6
# Answers HTTP on its node's own address, on port 8000 + slot; ends at once when told to.
SERVE: Final = "trap 'exit 0' TERM; httpd -f -p $((8000 + SLOT)) & wait"
DEMO: Final[Mapping[str, Any]] = {
    "Name": "demo",
    "Labels": {"com.df.reschedule": "true"},
    "TaskTemplate": {
        "ContainerSpec": {"Image": image.IMAGE, "Command": ["sh", "-c", SERVE], "Env": ["SLOT={{.Task.Slot}}"]},
        "Networks": [{"Target": "host"}],
        "RestartPolicy": {"Condition": "any", "Delay": 10**9},
    },
    "Mode": {"Replicated": {"Replicas": REPLICAS}},
    "UpdateConfig": {"Parallelism": 2, "Monitor": 10**9, "Order": "stop-first"},
}
STACK: Final = "lab"
"""The Swarm's stack; the groups' names begin with `lab-ManagerAsg-` and `lab-NodeAsg-`."""
_NODES: Final[Mapping[Role, int]] = {"manager": 3, "worker": 1}
_WORKERS: Final = 2
_SET_UP_SECONDS: Final = 240.0
"""More than its parts may take: a machine's engine 60, its joining 90."""

_log = logging.getLogger(__name__)
Say = Callable[[str], None]


class Lab:
    """Enter it once, in the task that leaves it."""

    aws: EmbeddedAws
    machines: RealMachines
    monitoring: Monitoring
    services: LabServices

    def __init__(self, folder: Path, environ: Mapping[str, str], say: Say = lambda _line: None) -> None:
        """`folder`: where `env` and the logs are written."""
        self.folder = folder.absolute()
        self.logs = self.folder / "lab" / "logs"
        self.boot = BootKnobs(0.0)
        self.slack = Slack(lambda text: _log.info("slack: %s", text))
        self._environ = environ
        self._say = say
        self._variables: dict[str, str] = {}
        self._exits = AsyncExitStack()

    async def __aenter__(self) -> Self:
        try:
            await self._set_up()
        except BaseException:
            await self._exits.aclose()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._exits.aclose()

    @property
    def variables(self) -> dict[str, str]:
        """What `.local/env` says."""
        return self.services.variables | self._variables

    # Set-up, in this order; what was set up ends in the reverse one

    async def _set_up(self) -> None:
        delay = boot_delay(self._environ)
        self._claim_folder()
        await packages.install(self._say)
        await sweep()
        self._exits.push_async_callback(sweep)
        self._http = await self._exits.enter_async_context(aiohttp.ClientSession())
        block = await network.free_block()
        self._remember(block)
        self._say("AWS: the stacks of swarm.yaml, with both Auto Scaling groups, and of scaler.yaml")
        await self._start_aws(block)
        self._say("Docker Swarm: three managers, one worker")
        await self._start_machines(block)
        self._say(f"demo with {REPLICAS} replicas; Prometheus, Alertmanager; one ingest, {_WORKERS} workers")
        await self._start_slack()
        await asyncio.gather(self._start_demo(), self._start_services())
        await self._watch()
        await self._start_control()
        self.boot.set(boot_delay_seconds=delay)
        self._exits.enter_context(told(self.folder, self.variables))

    def _claim_folder(self) -> None:
        self._exits.enter_context(claimed(self.folder))
        self.logs.mkdir(parents=True, exist_ok=True)

    def _remember(self, block: IPv4Network) -> None:
        filtered = network.FILTERED.read_text() if network.FILTERED.exists() else None
        env, logs = str(self.folder / "env"), str(self.logs)
        remember(pid=os.getpid(), filtered=filtered, env=env, logs=logs, block=str(block))

    async def _start_aws(self, block: IPv4Network) -> None:
        self.aws = await asyncio.to_thread(lambda: EmbeddedAws().start())
        self._exits.push_async_callback(asyncio.to_thread, self.aws.stop)
        outputs = await asyncio.to_thread(self._create_stacks, block)
        self._variables |= self.aws.environment | {
            "SQS_QUEUE_URL": outputs["QueueUrl"],
            "SQS_DLQ_URL": outputs["DeadLetterQueueUrl"],
            "DYNAMODB_TABLE": outputs["TableName"],
            "AWS_MANAGER_ASG": outputs["ManagerAsgName"],
            "AWS_WORKER_ASG": outputs["WorkerAsgName"],
        }

    def _create_stacks(self, block: IPv4Network) -> dict[str, str]:
        """The outputs of both."""
        session = self.aws.session(LAUNCHER_ACCESS_KEY)
        swarm = deploy_swarm(session, STACK, str(block), _NODES["manager"], _NODES["worker"], hooks=True)
        scaler = deploy(
            session,
            manager_asg=swarm["ManagerAsgName"],
            worker_asg=swarm["WorkerAsgName"],
            manager_role=swarm["ManagerRoleName"],
        )
        return swarm | scaler

    async def _start_machines(self, block: IPv4Network) -> None:
        MACHINES.mkdir(parents=True, exist_ok=True)
        await network.open_bridge(block)
        rootfs = await image.rootfs(packages.busybox())
        self.machines = RealMachines(block, rootfs, self.logs, self._machines_changed)
        self._exits.push_async_callback(self.machines.close)
        self._variables["DOCKER_HOST"] = f"unix://{DOCKER_SOCKET}"
        session = self.aws.session(LAUNCHER_ACCESS_KEY)
        groups: dict[str, Role] = {self._variables[f"AWS_{role.upper()}_ASG"]: role for role in _NODES}
        launcher = Launcher(session, groups, self.machines, self.boot, self.aws.instance_changes)
        await self._exits.enter_async_context(launcher.following())
        await self._until(lambda: self._ready_nodes(sum(_NODES.values())), "The Swarm")

    async def _ready_nodes(self, expected: int) -> bool:
        nodes = await self._ask("/nodes") or []
        return len([node for node in nodes if node["Status"]["State"] == "ready"]) == expected

    async def _start_demo(self) -> None:
        async with EngineClient(DOCKER_SOCKET) as engine:
            await engine.call("POST", "/services/create", json=dict(DEMO))
        await self._until(self._demo_runs, "The service demo")

    async def _demo_runs(self) -> bool:
        tasks = await self._ask('/tasks?filters={"service":["demo"],"desired-state":["running"]}') or []
        return len([task for task in tasks if task["Status"]["State"] == "running"]) == REPLICAS

    async def _start_slack(self) -> None:
        self._slack_url = f"{await self._exits.enter_async_context(served(self.slack.app()))}/slack"
        ports = free_ports()
        pair = next(ports), next(ports)
        self.monitoring = Monitoring(self.folder / "lab" / "monitoring", self.logs, pair, self._http)
        more = {"PROMETHEUS_URL": self.monitoring.prometheus, "SLACK_URL": self._slack_url}
        self._variables |= {"ALERTMANAGER_ADDRESS": self.monitoring.alertmanager, **more}

    async def _start_services(self) -> None:
        own = {name: self._variables[name] for name in OWN}
        settings = {**self._environ, **MARKED}
        self.services = LabServices(self._http, settings, own, self.logs, self._say_end)
        self.services.sockets = self._worker_socket
        self._exits.push_async_callback(self.services.stop)
        await self.services.start(_WORKERS)

    async def _watch(self) -> None:
        self.monitoring.watch(self.machines.by_name.values())
        self._exits.push_async_callback(self.monitoring.stop)
        await self.monitoring.start(self.services.ingest.url or "", self._slack_url, self.services.authorization)
        await self._until(
            lambda: self.monitoring.sees(self.machines.by_name.values()), "Prometheus's view of all nodes"
        )

    async def _start_control(self) -> None:
        control = LabControl(self.machines, self.boot, self.aws.knobs, self.monitoring, self.services)
        groups = {role: self._variables[f"AWS_{role.upper()}_ASG"] for role in _NODES}
        app = IncidentDesk(self.aws.incidents, groups, control.instance_of).add_to(control.app())
        self._variables["CONTROL_URL"] = await self._exits.enter_async_context(served(app))

    def _worker_socket(self, number: int) -> Path:
        """Of one manager after the other."""
        managers = self.machines.managers
        return next(itertools.islice(itertools.cycle(managers), number - 1, None)).socket

    def _machines_changed(self) -> None:
        if hasattr(self, "monitoring"):
            self.monitoring.watch(self.machines.by_name.values())

    def _say_end(self, what: str) -> None:
        _log.info("service-ended: %s", what)

    async def _ask(self, path: str) -> Any:
        with suppress(EngineError):
            async with EngineClient(DOCKER_SOCKET) as engine:
                return await engine.call("GET", path)
        return None

    async def _until(self, holds: children.Probe, what: str) -> None:
        await children.until(holds, (), what, _SET_UP_SECONDS)
