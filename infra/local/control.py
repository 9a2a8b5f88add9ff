"""Faults from outside, over HTTP on loopback: what goes wrong now, and what is to.

``GET /faults``                    everything, as JSON
``PATCH /faults/PART``             change some of a part's settings; the answer is the part as it is then
``DELETE /faults``                 nothing goes wrong any more (the boot delay stays)
``POST /nodes/NAME/lose``          the node's machine dies
``POST /nodes/NAME/return``        and boots again

The parts: `boot` (machines), `aws`, `docker`, `alertmanager`. Wrong input: 400, and what is wrong with it. What each
fault does is the business of whose fault it is, what AWS does by itself that of `incidents`;
`python -m infra.local.fault` types all this for a person.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, Literal, TypeVar

from aiohttp import web
from pydantic import Field, ValidationError

from infra.local.aws.knobs import AwsSettings, Knobs
from infra.local.boot_knobs import BootKnobs, BootSettings
from infra.local.engine import ApiFault, SimulatedSwarm
from infra.local.receiver import Fault, Receiver
from infra.local.settings import Seconds, Settings


class BadFault(ValueError):
    """A fault that there is not, or that cannot be so; the text is for a person."""


Checked = TypeVar("Checked", bound=Settings)


class ApiRule(Settings):
    """Calls of the Docker API whose path starts so: late, with an error, or cut off."""

    prefix: Annotated[str, Field(pattern="^/")] = "/"
    delay: Seconds = 0.0
    status: Literal[0] | Annotated[int, Field(ge=400, le=599)] = 0
    message: str = "injected fault"
    drop: bool = False
    method: Literal["", "GET", "HEAD", "POST", "DELETE"] = ""


class DockerChange(Settings):
    """What the Swarm does wrong: see `engine.faults`. Nodes by name or id."""

    api: list[ApiRule] = Field(default_factory=list)
    unstoppable_services: list[str] = Field(default_factory=list)
    unstoppable_nodes: list[str] = Field(default_factory=list)
    frozen_updates: list[str] = Field(default_factory=list)
    missing_images: list[str] = Field(default_factory=list)


class AlertmanagerChange(Settings):
    """What its stand-in does wrong."""

    fault: Fault = "none"


class Control:
    """The server's side; `app` is to be served on the Swarm's event loop."""

    def __init__(self, boot: BootKnobs, aws: Knobs, swarm: SimulatedSwarm, receiver: Receiver) -> None:
        self._boot = boot
        self._aws = aws
        self._swarm = swarm
        self._receiver = receiver
        self._parts: Final[Mapping[str, Callable[[Any], None]]] = {
            "boot": lambda change: boot.set(**checked(BootSettings, change).named()),
            "aws": lambda change: aws.set(**checked(AwsSettings, change).named()),
            "docker": self.set_docker,
            "alertmanager": self.set_alertmanager,
        }

    def app(self) -> web.Application:
        """The routes."""
        app = web.Application(middlewares=[_told])
        app.router.add_get("/faults", self._show)
        app.router.add_delete("/faults", self._clear)
        app.router.add_patch("/faults/{part}", self._patch)
        app.router.add_post("/nodes/{name}/{what:lose|return}", self._power)
        return app

    def state(self) -> dict[str, Any]:
        """All faults, as JSON."""
        faults = self._swarm.faults
        return {
            "boot": self._boot.snapshot(),
            "aws": self._aws.snapshot(),
            "docker": {
                "api": [dataclasses.asdict(fault) for fault in faults.api],
                "unstoppable_services": sorted(faults.unstoppable_services),
                "unstoppable_nodes": sorted(map(self._node_name, faults.unstoppable_nodes)),
                "frozen_updates": sorted(faults.frozen_updates),
                "missing_images": sorted(faults.missing_images),
            },
            "alertmanager": {"fault": self._receiver.fault},
        }

    def set_docker(self, change: object) -> None:
        """What no fault holds back any more goes on at once. Raises BadFault."""
        named, faults = checked(DockerChange, change).named(), self._swarm.faults
        if "unstoppable_nodes" in named:
            named["unstoppable_nodes"] = [self._node_id(name) for name in named["unstoppable_nodes"]]
        if "api" in named:
            named["api"] = [ApiFault(**rule) for rule in named["api"]]
        for name, value in named.items():
            setattr(faults, name, value if name == "api" else set(value))
        faults.recheck()

    def set_alertmanager(self, change: object) -> None:
        """Whether it answers."""
        self._receiver.fault = checked(AlertmanagerChange, change).named().get("fault", self._receiver.fault)

    def clear(self) -> None:
        """No fault any more."""
        self._boot.clear()
        self._aws.reset()
        self._swarm.faults.clear()
        self._receiver.fault = "none"

    async def _show(self, _request: web.Request) -> web.Response:
        return web.json_response(self.state())

    async def _clear(self, _request: web.Request) -> web.Response:
        self.clear()
        return web.json_response(self.state())

    async def _patch(self, request: web.Request) -> web.Response:
        part = request.match_info["part"]
        if part not in self._parts:
            raise BadFault(f"there is no part {part}; there are: {', '.join(self._parts)}")
        try:
            change = json.loads(await request.read())
        except ValueError as error:
            raise BadFault(f"no JSON: {error}") from error
        self._parts[part](change)
        return web.json_response(self.state()[part])

    async def _power(self, request: web.Request) -> web.Response:
        node_id = self._node_id(request.match_info["name"])
        if request.match_info["what"] == "lose":
            self._swarm.lose_node(node_id)
        else:
            self._swarm.return_node(node_id)
        return web.json_response({"node": self._node_name(node_id), "alive": self._swarm.membership.is_alive(node_id)})

    def instance_of(self, name: str) -> str:
        """The instance id of a node, by its name or id; what is no node's is given back."""
        nodes = [node for node in self._swarm.nodes if name in (node.machine.hostname, node.id)]
        return nodes[-1].machine.engine_labels.get("instance_id", name) if nodes else name

    def _node_id(self, name: str) -> str:
        """By name or id, whether the Swarm has a leader or not. Where names come back, the newest node counts."""
        named = [node.id for node in self._swarm.nodes if name in (node.machine.hostname, node.id)]
        if not named:
            known = ", ".join(node.machine.hostname for node in self._swarm.nodes)
            raise BadFault(f"there is no node {name}; there are: {known}")
        return named[-1]

    def _node_name(self, node_id: str) -> str:
        node = self._swarm.store.nodes.get(node_id)
        return node.machine.hostname if node else node_id


def checked(model: type[Checked], change: object) -> Checked:
    """What a body asks for. Raises BadFault."""
    if not isinstance(change, dict):
        raise BadFault("give a JSON object of settings")
    try:
        return model.model_validate(change)
    except ValidationError as error:
        known = ", ".join(model.model_fields)
        problems = [_problem(problem) for problem in error.errors()]
        raise BadFault(f"{'; '.join(dict.fromkeys(problems))} (settings: {known})") from error


def _problem(error: Any) -> str:
    place = ".".join(str(part) for part in error["loc"])
    return f"{place}: {'there is no such setting' if error['type'] == 'extra_forbidden' else error['msg']}"


@web.middleware
async def _told(request: web.Request, handler: Callable[[web.Request], Any]) -> web.StreamResponse:
    """What is wrong with a request, as JSON."""
    try:
        response: web.StreamResponse = await handler(request)
    except BadFault as error:
        return web.json_response({"error": str(error)}, status=400)
    except web.HTTPException as error:
        return web.json_response({"error": error.reason}, status=error.status)
    return response
