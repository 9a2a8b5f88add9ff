"""The embedded environment as a whole: AWS, a Swarm, Alertmanager's stand-in, one ingest and two workers.

    async with Environment(Path(".local")) as environment:
        environment.url                        # of ingest
        environment.variables                  # what `.local/env` says, for clients of it all
        environment.aws, environment.swarm     # to look at, and to set faults on; so are `receiver` and `boot`
        environment.services.workers[0].kill() # stays dead

AWS, Swarm and Alertmanager live in this process; ingest and workers are real processes, which see nothing but URLs and
a socket. Set up on entering: three managers and a worker Ready, `demo` running, ingest ready, a worker active. Raises
SetUpFailed, with the reason for a person. Several may live side by side, each with a folder of its own.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Self

import aiohttp

from infra.local import children
from infra.local.aws import (
    LAUNCHER_ACCESS_KEY,
    MANAGER_ASG,
    MANAGERS,
    WORKER_ASG,
    WORKERS,
    EmbeddedAws,
    create_groups,
    deploy,
    put_hooks,
)
from infra.local.boot_knobs import BootKnobs
from infra.local.control import Control
from infra.local.engine import SimulatedSwarm, serve
from infra.local.engine.model import NodeState
from infra.local.folder import claimed, told
from infra.local.incidents import IncidentDesk
from infra.local.launcher import Launcher
from infra.local.loopback import served
from infra.local.machines import Role, SimulatedMachines
from infra.local.receiver import Receiver
from infra.local.services import Services
from infra.local.surroundings import FOLDER, OWN, boot_delay

REPLICAS: Final = 6
DEMO: Final[Mapping[str, Any]] = {
    "Name": "demo",
    "Labels": {"com.df.reschedule": "true"},
    "TaskTemplate": {"ContainerSpec": {"Image": "demo:1"}},
    "Mode": {"Replicated": {"Replicas": REPLICAS}},
    "UpdateConfig": {"Parallelism": 1, "Monitor": 10**9, "Order": "stop-first"},
}
_GROUPS: Final[Mapping[str, Role]] = {MANAGER_ASG: "manager", WORKER_ASG: "worker"}
_GROUP_NAMES: Final[Mapping[Role, str]] = {role: group for group, role in _GROUPS.items()}
_LONGEST_SOCKET_PATH: Final = 100  # of the 107 bytes that Linux takes
_SET_UP_SECONDS: Final = 30.0
_SET_UP_SECONDS_A_NODE: Final = 0.1

Say = Callable[[str], None]
Greet = Callable[["Environment"], Awaitable[None]]


class Environment:
    """Enter it once, in the task that leaves it."""

    aws: EmbeddedAws
    services: Services

    def __init__(
        self,
        folder: Path = FOLDER,
        environ: Mapping[str, str] | None = None,
        *,
        workers: int = 2,
        nodes: int = WORKERS.desired,
        say: Say = lambda _line: None,
        greet: Greet | None = None,
    ) -> None:
        """`environ`: where the services' settings, ports and BOOT_DELAY come from; by default our own environment.

        `workers`: processes; `nodes`: machines of the worker group. `say` hears what is being set up, and which
        service has ended. `greet` is awaited when everything is ready and `env` does not say so yet: whoever waits for
        that file may end us in the moment in which it is there.
        """
        self.folder = folder.absolute()
        self.logs = self.folder / "logs"
        self.swarm = SimulatedSwarm()
        self.boot = BootKnobs(0.0)
        self.receiver = Receiver()
        self._environ: Mapping[str, str] = os.environ if environ is None else environ
        self._variables: dict[str, str] = {}
        self._workers = workers
        self._size = replace(WORKERS, high=max(WORKERS.high, 2 * nodes), desired=nodes)
        self._say = say
        self._greet = greet
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

    @property
    def url(self) -> str:
        """Where ingest listens."""
        return self.variables["INGEST_URL"]

    @property
    def docker_socket(self) -> str:
        """The path of the Docker socket."""
        return self._variables["DOCKER_HOST"].removeprefix("unix://")

    # Set-up, in this order; what was set up ends in the reverse one

    async def _set_up(self) -> None:
        delay = boot_delay(self._environ)
        self._claim_folder()
        self._say("AWS: the stack of scaler.yaml, and two Auto Scaling groups")
        await self._start_aws()
        workers = "one worker" if self._size.desired == 1 else f"{self._size.desired} workers"
        self._say(f"Docker Swarm: three managers, {workers}, and demo with {REPLICAS} replicas")
        await self._start_swarm()
        await self._follow_groups()
        await self._start_demo()
        self.boot.set(boot_delay_seconds=delay)
        self._say(f"One ingest, {self._workers} workers")
        await self._start_neighbours()
        await self._start_services()
        if self._greet is not None:
            await self._greet(self)
        self._exits.enter_context(told(self.folder, self.variables))

    def _claim_folder(self) -> None:
        self._exits.enter_context(claimed(self.folder))
        self.logs.mkdir(parents=True, exist_ok=True)

    async def _start_aws(self) -> None:
        self.aws = await asyncio.to_thread(lambda: EmbeddedAws().start())
        self._exits.push_async_callback(asyncio.to_thread, self.aws.stop)
        session = self.aws.session(LAUNCHER_ACCESS_KEY)
        outputs = await asyncio.to_thread(deploy, session)
        await asyncio.to_thread(create_groups, session, workers=self._size)
        await asyncio.to_thread(put_hooks, session)
        self._variables |= self.aws.environment | {
            "SQS_QUEUE_URL": outputs["QueueUrl"],
            "SQS_DLQ_URL": outputs["DeadLetterQueueUrl"],
            "DYNAMODB_TABLE": outputs["TableName"],
            "AWS_MANAGER_ASG": MANAGER_ASG,
            "AWS_WORKER_ASG": WORKER_ASG,
        }

    async def _start_swarm(self) -> None:
        await self._exits.enter_async_context(self.swarm)
        socket = self._socket_path()
        await self._exits.enter_async_context(serve(self.swarm, socket))
        self._variables["DOCKER_HOST"] = f"unix://{socket}"

    def _socket_path(self) -> Path:
        path = self.folder / "docker.sock"
        if len(os.fsencode(path)) > _LONGEST_SOCKET_PATH:
            path = Path(self._exits.enter_context(tempfile.TemporaryDirectory(prefix="scaler-"))) / path.name
        path.unlink(missing_ok=True)
        return path

    async def _follow_groups(self) -> None:
        session = self.aws.session(LAUNCHER_ACCESS_KEY)
        machines = SimulatedMachines(self.swarm)
        launcher = Launcher(session, _GROUPS, machines, self.boot, self.aws.instance_changes)
        await self._exits.enter_async_context(launcher.following())
        expected = MANAGERS.desired + self._size.desired
        await self._until(
            lambda: sum(node.state is NodeState.READY for node in self.swarm.nodes) == expected, "The Swarm"
        )

    async def _start_demo(self) -> None:
        self.swarm.control.create_service(dict(DEMO))
        await self._until(
            lambda: sum(len(self.swarm.running_on(node.id)) for node in self.swarm.nodes) == REPLICAS,
            "The service demo",
        )

    async def _start_neighbours(self) -> None:
        control = Control(self.boot, self.aws.knobs, self.swarm, self.receiver)
        self._variables["ALERTMANAGER_ADDRESS"] = await self._exits.enter_async_context(served(self.receiver.app()))
        incidents = IncidentDesk(self.aws.incidents, _GROUP_NAMES, control.instance_of)
        app = incidents.add_to(control.app())
        self._variables["CONTROL_URL"] = await self._exits.enter_async_context(served(app))

    async def _start_services(self) -> None:
        http = await self._exits.enter_async_context(aiohttp.ClientSession())
        own = {name: self._variables[name] for name in OWN}
        self.services = Services(http, self._environ, own, self.logs, self._say)
        self._exits.push_async_callback(self.services.stop)
        await self.services.start(self._workers)

    async def _until(self, holds: Callable[[], bool], what: str) -> None:
        async def probe() -> bool:
            return holds()

        longest = _SET_UP_SECONDS + _SET_UP_SECONDS_A_NODE * self._size.desired
        await children.until(probe, (), what, longest)
