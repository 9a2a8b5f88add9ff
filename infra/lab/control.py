"""What happens to the lab from outside, over HTTP on loopback; with the paths of `infra.local.control`
where both have it.

``GET /machines``                                   every machine: who, where, its socket, whether it has power
``POST /nodes/NAME/{lose|return|cut|mend}``         power and network of a machine
``GET /faults``, ``DELETE /faults``                 what goes wrong in booting and in AWS; nothing any more
``PATCH /faults/{boot|aws}``                        change some of it
``PUT /thresholds``                                 `{"above": 0.005, "below": 0}`: when Prometheus's rules fire
``GET /workers``, ``POST /workers``                 the worker processes; one more, on a living manager's socket
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from aiohttp import web

from infra.lab.engine import EngineError
from infra.lab.formation import RealMachines
from infra.lab.monitoring import Monitoring
from infra.lab.processes import LabServices
from infra.local.aws.knobs import Knobs
from infra.local.boot_knobs import BootKnobs
from infra.local.children import Child, SetUpFailed


class LabControl:
    """The server's side; `app` is to be served."""

    def __init__(
        self, machines: RealMachines, boot: BootKnobs, aws: Knobs, monitoring: Monitoring, services: LabServices
    ) -> None:
        self._machines = machines
        self._boot = boot
        self._aws = aws
        self._monitoring = monitoring
        self._services = services
        self._powers: Final[Mapping[str, Callable[[str], Awaitable[None]]]] = {
            "lose": machines.lose,
            "return": machines.bring_back,
            "cut": machines.cut,
            "mend": machines.mend,
        }

    def app(self) -> web.Application:
        """The routes."""
        app = web.Application(middlewares=[_told])
        app.router.add_get("/machines", self._show_machines)
        app.router.add_post("/nodes/{name}/{what:lose|return|cut|mend}", self._power)
        app.router.add_get("/faults", self._show_faults)
        app.router.add_delete("/faults", self._clear)
        app.router.add_patch("/faults/{part:boot|aws}", self._patch)
        app.router.add_put("/thresholds", self._set_thresholds)
        app.router.add_get("/workers", self._show_workers)
        app.router.add_post("/workers", self._add_worker)
        return app

    def machines(self) -> list[dict[str, Any]]:
        """Every machine, as JSON."""
        return [
            {
                "name": one.name,
                "role": one.role,
                "instance_id": one.instance.instance_id,
                "address": one.address,
                "alive": one.alive,
                "socket": str(one.socket),
            }
            for one in self._machines.by_name.values()
        ]

    def instance_of(self, name: str) -> str:
        """The instance id of a machine, by its name; what is no machine's is given back."""
        machine = self._machines.by_name.get(name)
        return machine.instance.instance_id if machine else name

    async def _show_machines(self, _request: web.Request) -> web.Response:
        return web.json_response(self.machines())

    async def _power(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in self._machines.by_name:
            raise web.HTTPBadRequest(reason=f"no machine {name}; there are: {', '.join(self._machines.by_name)}")
        await self._powers[request.match_info["what"]](name)
        return web.json_response(self.machines())

    async def _show_faults(self, _request: web.Request) -> web.Response:
        return web.json_response({"boot": self._boot.snapshot(), "aws": self._aws.snapshot()})

    async def _clear(self, request: web.Request) -> web.Response:
        self._boot.clear()
        self._aws.reset()
        return await self._show_faults(request)

    async def _patch(self, request: web.Request) -> web.Response:
        change = json.loads(await request.read())
        knobs: BootKnobs | Knobs = self._boot if request.match_info["part"] == "boot" else self._aws
        knobs.set(**change)
        return await self._show_faults(request)

    async def _set_thresholds(self, request: web.Request) -> web.Response:
        wanted = {name: float(value) for name, value in json.loads(await request.read()).items()}
        await self._monitoring.set_thresholds(**wanted)
        return web.json_response(wanted)

    async def _add_worker(self, _request: web.Request) -> web.Response:
        return web.json_response(self._worker(await self._services.start_worker()))

    async def _show_workers(self, _request: web.Request) -> web.Response:
        return web.json_response([self._worker(worker) for worker in self._services.workers])

    def _worker(self, worker: Child) -> dict[str, Any]:
        socket = self._services.by_worker[worker.name]
        return {"pid": worker.pid, "url": worker.url, "alive": worker.alive, "socket": str(socket)}


@web.middleware
async def _told(request: web.Request, handler: Callable[[web.Request], Awaitable[Any]]) -> web.StreamResponse:
    """What is wrong with a request, as JSON."""
    try:
        response: web.StreamResponse = await handler(request)
    except (ValueError, TypeError) as error:
        return web.json_response({"error": str(error)}, status=400)
    except (EngineError, SetUpFailed) as error:
        return web.json_response({"error": str(error)}, status=500)
    except web.HTTPException as error:
        return web.json_response({"error": error.reason}, status=error.status)
    return response
