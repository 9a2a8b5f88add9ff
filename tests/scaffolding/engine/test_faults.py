"""The API over real sockets: faults, engines of single nodes, streams, and a clean stop. Time is real here."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from infra.local.engine import ApiFault, SimulatedSwarm, SwarmConfig, serve
from tests.scaffolding.engine.lab import Lab, until

INSTANT = SwarmConfig(
    start_seconds=0,
    stop_seconds=0,
    down_detection_seconds=0.01,
    election_seconds=0.01,
    role_change_seconds=0.01,
)


@asynccontextmanager
async def client(socket: Path) -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.UnixConnector(str(socket))
    async with aiohttp.ClientSession("http://docker", connector=connector) as session:
        yield session


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    async with SimulatedSwarm(INSTANT) as swarm:
        yield Lab.with_nodes(swarm, managers=3, workers=2)


@pytest.fixture
async def api(lab: Lab, tmp_path: Path) -> AsyncIterator[aiohttp.ClientSession]:
    async with serve(lab.swarm, tmp_path / "docker.sock"), client(tmp_path / "docker.sock") as session:
        yield session


async def body(session: aiohttp.ClientSession, path: str) -> tuple[int, Any]:
    async with session.get(path) as answer:
        return answer.status, json.loads(await answer.text())


async def test_a_prefix_can_fail_while_the_rest_works(lab: Lab, api: aiohttp.ClientSession) -> None:
    lab.swarm.faults.api.append(ApiFault("/nodes", status=500, message="out of order"))
    assert await body(api, "/v1.41/nodes") == (500, {"message": "out of order"})
    assert (await body(api, "/v1.41/services"))[0] == HTTPStatus.OK
    lab.swarm.faults.clear()
    assert (await body(api, "/v1.41/nodes"))[0] == HTTPStatus.OK


async def test_a_fault_can_be_for_one_method_only(lab: Lab, api: aiohttp.ClientSession) -> None:
    lab.swarm.faults.api.append(ApiFault("/nodes", status=503, method="POST"))
    assert (await body(api, "/nodes"))[0] == HTTPStatus.OK
    async with api.post("/nodes/x/update?version=1", json={}) as answer:
        assert answer.status == HTTPStatus.SERVICE_UNAVAILABLE


async def test_the_whole_api_can_drop_connections(lab: Lab, api: aiohttp.ClientSession) -> None:
    lab.swarm.faults.api.append(ApiFault("/", drop=True))
    with pytest.raises(aiohttp.ClientError):
        await body(api, "/_ping")


async def test_a_slow_answer_is_late(lab: Lab, api: aiohttp.ClientSession) -> None:
    lab.swarm.faults.api.append(ApiFault("/info", delay=30))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await body(api, "/info")


async def test_a_worker_is_no_manager(lab: Lab, tmp_path: Path) -> None:
    socket = tmp_path / "worker.sock"
    async with serve(lab.swarm, socket, lab.workers[0]), client(socket) as api:
        status, answer = await body(api, "/nodes")
        assert status == HTTPStatus.SERVICE_UNAVAILABLE
        assert answer["message"].startswith("This node is not a swarm manager. Worker nodes can't be used")
        info = (await body(api, "/info"))[1]["Swarm"]
        assert (info["ControlAvailable"], info["NodeID"]) == (False, lab.workers[0])


async def test_the_socket_of_a_lost_machine_refuses_until_it_is_back(lab: Lab, tmp_path: Path) -> None:
    socket = tmp_path / "manager.sock"
    async with serve(lab.swarm, socket, lab.managers[0]), client(socket) as api:
        assert (await body(api, "/info"))[1]["Swarm"]["NodeID"] == lab.managers[0]
        lab.swarm.lose_node(lab.managers[0])
        await asyncio.sleep(0)
        with pytest.raises(aiohttp.ClientError):
            await body(api, "/info")
        lab.swarm.return_node(lab.managers[0])
        await until(socket.exists, step=0.005)
        assert (await body(api, "/info"))[0] == HTTPStatus.OK


async def test_a_removed_node_is_in_no_swarm(lab: Lab, tmp_path: Path) -> None:
    socket = tmp_path / "worker.sock"
    async with serve(lab.swarm, socket, lab.workers[0]), client(socket) as api:
        lab.swarm.control.remove_node(lab.workers[0], force=True)
        status, answer = await body(api, "/nodes")
        assert (status, answer["message"].count("docker swarm init")) == (503, 1)
        assert (await body(api, "/info"))[1]["Swarm"]["LocalNodeState"] == "inactive"


async def test_without_a_quorum_the_api_says_so_and_info_has_no_cluster(lab: Lab, api: aiohttp.ClientSession) -> None:
    cluster = (await body(api, "/info"))[1]["Swarm"]["Cluster"]["ID"]
    assert cluster
    for manager in lab.managers[:2]:
        lab.swarm.lose_node(manager)
    status, answer = await body(api, "/nodes")
    assert status == HTTPStatus.INTERNAL_SERVER_ERROR
    assert answer["message"].startswith("rpc error: code = Unknown desc = The swarm does not have a leader.")
    info = (await body(api, "/info"))[1]["Swarm"]
    assert info["Error"] == answer["message"]
    assert (info["ControlAvailable"], info["Cluster"]["ID"]) == (True, "")


async def test_the_main_socket_speaks_through_whoever_leads(lab: Lab, api: aiohttp.ClientSession) -> None:
    lab.swarm.lose_node(lab.managers[0])
    await until(lambda: lab.swarm.raft.leader)
    info = (await body(api, "/info"))[1]["Swarm"]
    assert info["NodeID"] == lab.swarm.raft.leader != lab.managers[0]


async def test_a_stop_ends_open_event_streams(lab: Lab, tmp_path: Path) -> None:
    socket = tmp_path / "docker.sock"
    async with client(socket) as api:
        async with serve(lab.swarm, socket):
            stream = await api.get("/events")
            lab.create()
            assert json.loads(await stream.content.readline())["Action"] == "create"
        with pytest.raises(aiohttp.ClientError):
            await stream.read()


async def test_unreadable_requests_are_bad_requests_in_json(api: aiohttp.ClientSession) -> None:
    bodies = [b"{", b"[]", b'{"TaskTemplate": 3}', b'{"Name": "x", "TaskTemplate": {}}']
    for sent in bodies:
        async with api.post("/services/create", data=sent) as answer:
            assert answer.status == HTTPStatus.BAD_REQUEST
            assert json.loads(await answer.text())["message"]
    assert (await body(api, "/no/such/route")) == (404, {"message": "page not found"})
