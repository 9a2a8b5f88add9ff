"""The Docker Engine API: routes, parameters, status codes.

Every route exists with and without a version prefix. What the simulated engine has none of (containers, images,
secrets, configs) is empty or not found; what it does not do (logs) is not implemented.
"""

from http import HTTPStatus

from aiohttp import web
from aiohttp.typedefs import Handler

from infra.local.engine import params
from infra.local.engine.answers import json_answer, json_text
from infra.local.engine.engine import Engine
from infra.local.engine.errors import EngineError
from infra.local.engine.event_streams import EventStreams
from infra.local.engine.filters import (
    NODE_FILTERS,
    SERVICE_FILTERS,
    TASK_FILTERS,
    filtered_nodes,
    filtered_services,
    filtered_tasks,
)
from infra.local.engine.middlewares import Middlewares
from infra.local.engine.swarm import SimulatedSwarm
from infra.local.engine.views import (
    cluster_view,
    network_view,
    node_view,
    service_view,
    task_json,
)

_STATUS_SINCE = (1, 41)


def make_app(swarm: SimulatedSwarm, node_id: str | None) -> web.Application:
    """The API of one engine."""
    api = Api(Engine(swarm, node_id))
    app = web.Application(middlewares=Middlewares(swarm.faults).all, client_max_size=4 * 1024**2)
    for method, path, handler in api.routes():
        for prefix in ("", r"/{version:v\d+\.\d+}"):
            app.router.add_route(method, prefix + path, handler)
    app.on_shutdown.append(api.streams.end)
    return app


class Api:
    """Handlers of one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._swarm = engine.swarm
        self._control = engine.swarm.control
        self.streams = EventStreams(engine.swarm.events, engine.swarm.clock)

    def routes(self) -> list[tuple[str, str, Handler]]:
        return [
            ("GET", "/_ping", self._ping),  # aiohttp answers HEAD as well
            ("GET", "/version", self._version),
            ("GET", "/info", self._info),
            ("GET", "/events", self.streams.serve),
            ("GET", "/swarm", self._managed(self._inspect_swarm)),
            ("GET", "/nodes", self._managed(self._list_nodes)),
            ("GET", "/nodes/{name}", self._managed(self._inspect_node)),
            ("POST", "/nodes/{name}/update", self._managed(self._update_node)),
            ("DELETE", "/nodes/{name}", self._managed(self._remove_node)),
            ("GET", "/services", self._managed(self._list_services)),
            ("POST", "/services/create", self._managed(self._create_service)),
            ("GET", "/services/{name}", self._managed(self._inspect_service)),
            ("POST", "/services/{name}/update", self._managed(self._update_service)),
            ("DELETE", "/services/{name}", self._managed(self._remove_service)),
            ("GET", "/services/{name}/logs", self._not_implemented),
            ("GET", "/tasks", self._managed(self._list_tasks)),
            ("GET", "/tasks/{name}", self._managed(self._inspect_task)),
            ("GET", "/tasks/{name}/logs", self._not_implemented),
            ("GET", "/networks", self._list_networks),
            ("POST", "/networks/create", self._create_network),
            ("GET", "/networks/{name}", self._inspect_network),
            ("DELETE", "/networks/{name}", self._remove_network),
            *self._absent_routes(),
        ]

    def _absent_routes(self) -> list[tuple[str, str, Handler]]:
        """Of what there is none here."""
        return [
            ("GET", "/containers/json", self._nothing),
            ("GET", "/images/json", self._nothing),
            ("GET", "/secrets", self._nothing),
            ("GET", "/configs", self._nothing),
            ("GET", "/plugins", self._nothing),
            ("GET", "/containers/{name}/json", self._no_container),
            ("GET", "/images/{name:.+}/json", self._no_image),
            ("GET", "/distribution/{name:.+}/json", self._no_distribution),
        ]

    def _managed(self, handler: Handler) -> Handler:
        """Only while this engine can see and change the Swarm."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            self._engine.need_control()
            return await handler(request)

        return guarded

    # The engine

    async def _ping(self, _: web.Request) -> web.Response:
        headers = {"Swarm": self._engine.swarm_header, "Cache-Control": "no-cache", "Builder-Version": "2"}
        return web.Response(text="OK", headers=headers)

    async def _version(self, _: web.Request) -> web.Response:
        return json_answer(self._engine.version())

    async def _info(self, _: web.Request) -> web.Response:
        return json_answer(self._engine.info())

    async def _inspect_swarm(self, _: web.Request) -> web.Response:
        swarm = self._swarm
        view = cluster_view(swarm.cluster_id, swarm.created_ns, swarm.config.task_history_limit)
        tokens = {"Worker": "SWMTKN-1-simulated-worker", "Manager": "SWMTKN-1-simulated-manager"}
        return json_answer({**view, "JoinTokens": tokens})

    async def _nothing(self, _: web.Request) -> web.Response:
        return json_answer([])

    async def _not_implemented(self, _: web.Request) -> web.Response:
        raise EngineError(HTTPStatus.NOT_IMPLEMENTED, "the simulated engine has no logs")

    async def _no_container(self, request: web.Request) -> web.Response:
        raise EngineError(HTTPStatus.NOT_FOUND, f"No such container: {request.match_info['name']}")

    async def _no_image(self, request: web.Request) -> web.Response:
        raise EngineError(HTTPStatus.NOT_FOUND, f"No such image: {request.match_info['name']}")

    async def _no_distribution(self, request: web.Request) -> web.Response:
        denied = f"manifest unknown: {request.match_info['name']} is in no registry"
        raise EngineError(HTTPStatus.NOT_FOUND, denied)

    # Nodes

    async def _list_nodes(self, request: web.Request) -> web.Response:
        nodes = filtered_nodes(self._swarm.store, params.filters(request, NODE_FILTERS))
        return json_answer([node_view(node, self._swarm.raft) for node in nodes])

    async def _inspect_node(self, request: web.Request) -> web.Response:
        node = self._control.node(request.match_info["name"])
        return json_answer(node_view(node, self._swarm.raft))

    async def _update_node(self, request: web.Request) -> web.Response:
        version = params.object_version(request, "node")
        self._control.update_node(request.match_info["name"], version, await params.body(request))
        return web.Response()

    async def _remove_node(self, request: web.Request) -> web.Response:
        self._control.remove_node(request.match_info["name"], force=params.flag(request, "force"))
        return web.Response()

    # Services

    async def _list_services(self, request: web.Request) -> web.Response:
        services = filtered_services(self._swarm.store, params.filters(request, SERVICE_FILTERS))
        status = params.flag(request, "status") and params.api_version(request) >= _STATUS_SINCE
        store = self._swarm.store
        return json_answer([service_view(each, store, with_status=status, insert_defaults=False) for each in services])

    async def _inspect_service(self, request: web.Request) -> web.Response:
        service = self._control.service(request.match_info["name"])
        defaults = params.flag(request, "insertDefaults")
        return json_answer(service_view(service, self._swarm.store, with_status=False, insert_defaults=defaults))

    async def _create_service(self, request: web.Request) -> web.Response:
        service = self._control.create_service(await params.body(request))
        return json_answer({"ID": service.id, "Warnings": None}, HTTPStatus.CREATED)

    async def _update_service(self, request: web.Request) -> web.Response:
        version = params.object_version(request, "service")
        rollback = request.query.get("rollback") == "previous"
        name = request.match_info["name"]
        self._control.update_service(name, version, await params.body(request), rollback=rollback)
        return json_answer({"Warnings": None})

    async def _remove_service(self, request: web.Request) -> web.Response:
        self._control.remove_service(request.match_info["name"])
        return web.Response()

    # Tasks

    async def _list_tasks(self, request: web.Request) -> web.Response:
        filters = params.filters(request, TASK_FILTERS)
        tasks = filtered_tasks(self._swarm.store, self._control, filters)
        return json_text(f"[{','.join(map(task_json, tasks))}]")

    async def _inspect_task(self, request: web.Request) -> web.Response:
        return json_text(task_json(self._control.task(request.match_info["name"])))

    # Networks

    async def _list_networks(self, request: web.Request) -> web.Response:
        filters = params.filters(request, None)
        networks = [
            network_view(network)
            for network in self._swarm.networks
            if filters.admits_prefix("name", network.name)
            and filters.admits_prefix("id", network.id)
            and filters.admits_labels("label", network.body.get("Labels") or {})
        ]
        return json_answer(networks)

    async def _inspect_network(self, request: web.Request) -> web.Response:
        return json_answer(network_view(self._swarm.networks.find(request.match_info["name"])))

    async def _create_network(self, request: web.Request) -> web.Response:
        network = self._swarm.networks.create(await params.body(request))
        return json_answer({"Id": network.id, "Warning": ""}, HTTPStatus.CREATED)

    async def _remove_network(self, request: web.Request) -> web.Response:
        self._swarm.networks.remove(request.match_info["name"])
        return web.Response(status=HTTPStatus.NO_CONTENT)
