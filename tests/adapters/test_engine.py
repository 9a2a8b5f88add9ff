"""How the Docker adapter behaves towards an engine that is slow, contrary, or gone: over a stub of the API."""

import asyncio
import json
import threading
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import NotFound, Refused, Unavailable
from tests.adapters.conftest import CALL
from tests.waiting import eventually, tries
from worker.adapters.engine import THREADS
from worker.adapters.json_array import elements
from worker.adapters.swarm import ATTEMPTS, DockerSwarm
from worker.adapters.swarm_json import tasks_of
from worker.ports.swarm_changes import ServiceChange

SHORT = timedelta(seconds=0.6)
SERVICE: dict[str, Any] = {
    "ID": "abc",
    "Version": {"Index": 7},
    "Spec": {
        "Name": "web",
        "Labels": {"a": "b"},
        "Unknown": {"kept": [None, 1]},
        "TaskTemplate": {
            "ContainerSpec": {"Image": "x", "Env": ["A=1", "DATE=old", "DATE=older"], "Null": None},
            "ForceUpdate": 3,
            "LogDriver": {"Name": "none"},
        },
        "Mode": {"Replicated": {"Replicas": 1}},
        "UpdateConfig": {"Order": "start-first"},
    },
}
NODE: dict[str, Any] = {
    "ID": "n1",
    "Version": {"Index": 3},
    "Spec": {"Name": "given", "Labels": {"a": "b"}, "Role": "worker", "Availability": "active", "Unknown": 1},
}

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Stub:
    """An engine that answers as it is told, and remembers what it was asked."""

    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    version: str = "1.41"
    present: int = 0
    most: int = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Any request."""
        self.asked.append(f"{request.method} {request.path_qs}")
        if request.can_read_body:
            self.bodies.append(json.loads(await request.text()))
        if request.path == "/version":
            return web.json_response({"ApiVersion": self.version})
        self.present += 1
        self.most = max(self.most, self.present)
        try:
            return await self.answers[self._key(request)](request)
        finally:
            self.present -= 1

    def _key(self, request: web.Request) -> str:
        path = request.path.removeprefix(f"/v{self.version}")
        return f"{request.method} {path}"

    def says(self, key: str, value: Any, status: int = 200) -> None:
        """Answer with JSON."""

        async def answer(_: web.Request) -> web.StreamResponse:
            return web.json_response(value, status=status)

        self.answers[key] = answer

    def hangs(self, key: str) -> asyncio.Event:
        """Answer only when the event is set."""
        go_on = asyncio.Event()

        async def answer(_: web.Request) -> web.StreamResponse:
            await go_on.wait()
            return web.json_response([])

        self.answers[key] = answer
        return go_on

    def conflicts(self, key: str, times: int) -> None:
        """Answer "out of sequence" so many times, then do it."""
        left = iter(range(times))

        async def answer(_: web.Request) -> web.StreamResponse:
            if next(left, None) is None:
                return web.json_response({"Warnings": None})
            words = "rpc error: code = Unknown desc = update out of sequence"
            return web.json_response({"message": words}, status=500)

        self.answers[key] = answer


@pytest_asyncio.fixture
async def stub() -> Stub:
    """Not listening yet."""
    return Stub()


@pytest_asyncio.fixture
async def socket(stub: Stub, tmp_path: Path) -> AsyncIterator[Path]:
    """Where the stub listens."""
    path = tmp_path / "docker.sock"
    runner = await serve(stub, path)
    yield path
    await runner.cleanup()


@pytest_asyncio.fixture
async def swarm(socket: Path) -> AsyncIterator[DockerSwarm]:
    """The adapter over the stub, on a unix socket."""
    async with DockerSwarm(f"unix://{socket}", CALL) as swarm:
        yield swarm


@pytest_asyncio.fixture
async def hasty(socket: Path) -> AsyncIterator[DockerSwarm]:
    """The same with a short time-out, for calls that are to run into it."""
    async with DockerSwarm(f"unix://{socket}", SHORT) as swarm:
        yield swarm


async def serve(stub: Stub, path: Path) -> web.AppRunner:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", stub.handle)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.UnixSite(runner, str(path)).start()
    return runner


def changing(**change: Any) -> ServiceChange:
    return ServiceChange(request_id="request-1", **change)


class TestUpdates:
    async def test_a_service_is_sent_back_as_it_came_but_for_the_change(self, stub: Stub, swarm: DockerSwarm) -> None:
        stub.says("GET /services/abc", SERVICE)
        stub.says("POST /services/abc/update", {})
        change = changing(replicas=4, env=("DATE", "new"), force=True)
        await swarm.update_service("abc", change)
        expected = json.loads(json.dumps(SERVICE["Spec"]))
        expected["Labels"][change.label] = "request-1"
        expected["Mode"]["Replicated"]["Replicas"] = 4
        expected["TaskTemplate"]["ContainerSpec"]["Env"] = ["A=1", "DATE=new"]
        expected["TaskTemplate"]["ForceUpdate"] = 4
        assert stub.bodies == [expected]

    async def test_the_update_names_the_version_read_and_keeps_the_registry_auth(
        self, stub: Stub, swarm: DockerSwarm
    ) -> None:
        stub.says("GET /services/abc", SERVICE)
        stub.says("POST /services/abc/update", {})
        await swarm.update_service("abc", changing(replicas=4))
        assert stub.asked[-1] == "POST /v1.41/services/abc/update?version=7&registryAuthFrom=spec"

    async def test_missing_and_null_parts_of_a_spec_are_made(self, stub: Stub, swarm: DockerSwarm) -> None:
        bare = {"Name": "web", "Labels": None, "TaskTemplate": {"ContainerSpec": {"Env": None}}, "Mode": {}}
        stub.says("GET /services/abc", {**SERVICE, "Spec": bare})
        stub.says("POST /services/abc/update", {})
        await swarm.update_service("abc", changing(env=("DATE", "new"), force=True))
        (sent,) = stub.bodies
        assert sent["TaskTemplate"] == {"ContainerSpec": {"Env": ["DATE=new"]}, "ForceUpdate": 1}

    async def test_a_node_is_sent_back_as_it_came_but_for_the_change(self, stub: Stub, swarm: DockerSwarm) -> None:
        stub.says("GET /nodes/n1", NODE)
        stub.says("POST /nodes/n1/update", {})
        await swarm.update_node("n1", availability="drain", role="manager")
        assert stub.bodies == [{**NODE["Spec"], "Availability": "drain", "Role": "manager"}]
        assert stub.asked[-1] == "POST /v1.41/nodes/n1/update?version=3"

    async def test_nothing_is_sent_where_it_is_so_already(self, stub: Stub, swarm: DockerSwarm) -> None:
        done = {**SERVICE["Spec"], "Labels": {changing(replicas=1).label: "request-1"}}
        stub.says("GET /nodes/n1", NODE)
        stub.says("GET /services/abc", {**SERVICE, "Spec": done})
        await swarm.update_node("n1", availability="active", role="worker")
        await swarm.update_service("abc", changing(replicas=9))
        assert not [asked for asked in stub.asked if asked.startswith("POST")]

    async def test_out_of_sequence_is_read_and_sent_again(self, stub: Stub, swarm: DockerSwarm) -> None:
        stub.says("GET /services/abc", SERVICE)
        stub.conflicts("POST /services/abc/update", ATTEMPTS - 1)
        await swarm.update_service("abc", changing(replicas=4))
        kinds = [asked.split()[0] for asked in stub.asked if "/services/" in asked]
        assert kinds == ["GET", "POST"] * ATTEMPTS

    async def test_out_of_sequence_without_end_is_unavailable(self, stub: Stub, swarm: DockerSwarm) -> None:
        stub.says("GET /nodes/n1", NODE)
        stub.conflicts("POST /nodes/n1/update", 100)
        with pytest.raises(Unavailable, match="out of sequence"):
            await swarm.update_node("n1", availability="drain")
        assert len(stub.bodies) == ATTEMPTS


class TestAnswers:
    @pytest.mark.parametrize(
        ("status", "error"),
        [
            (400, Refused),
            (403, Refused),
            (409, Refused),
            (301, Refused),
            (404, NotFound),
            (408, Unavailable),
            (429, Unavailable),
            (500, Unavailable),
            (503, Unavailable),
        ],
    )
    async def test_a_no_is_told_in_the_engines_words(
        self, stub: Stub, swarm: DockerSwarm, status: int, error: type[Exception]
    ) -> None:
        stub.says("GET /services/abc", {"message": "the engine's words"}, status)
        with pytest.raises(error, match="the engine's words") as told:
            await swarm.service("abc")
        assert type(told.value) is error

    @pytest.mark.parametrize(
        ("swarm_info", "words"),
        [
            ({"LocalNodeState": "inactive", "NodeID": ""}, "inactive"),
            ({"LocalNodeState": "active", "NodeID": "n1", "ControlAvailable": False}, "not a manager"),
            (
                {
                    "LocalNodeState": "active",
                    "NodeID": "n1",
                    "ControlAvailable": True,
                    "Cluster": {"ID": ""},
                    "Error": "rpc error: the swarm does not have a leader",
                },
                "does not have a leader",
            ),
            (None, "unknown"),
        ],
    )
    async def test_an_engine_that_can_not_serve_says_why(
        self, stub: Stub, swarm: DockerSwarm, swarm_info: Any, words: str
    ) -> None:
        stub.says("GET /info", {"Swarm": swarm_info})
        with pytest.raises(Unavailable, match=words):
            await swarm.identity()

    @pytest.mark.parametrize("text", ["", "[", '[{"ID": "a"}', '[{"ID": "a"}, {"ID"', "<html>"])
    async def test_half_a_list_or_no_list_is_unavailable(self, stub: Stub, swarm: DockerSwarm, text: str) -> None:
        async def answer(_: web.Request) -> web.StreamResponse:
            return web.Response(text=text, content_type="application/json")

        stub.answers["GET /nodes"] = answer
        with pytest.raises(Unavailable):
            await swarm.nodes()

    @pytest.mark.parametrize("text", ["[]", "null", "[]\n", " [ ] "])
    async def test_an_empty_list_is_empty(self, stub: Stub, swarm: DockerSwarm, text: str) -> None:
        async def answer(_: web.Request) -> web.StreamResponse:
            return web.Response(text=text, content_type="application/json")

        stub.answers["GET /nodes"] = answer
        assert await swarm.nodes() == []

    async def test_an_answer_that_breaks_off_is_unavailable(self, stub: Stub, swarm: DockerSwarm) -> None:
        async def answer(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            await response.write(b'[{"ID": "a"},')
            assert request.transport is not None
            request.transport.abort()
            return response

        stub.answers["GET /nodes"] = answer
        with pytest.raises(Unavailable):
            await swarm.nodes()


class TestTime:
    async def test_a_call_has_one_time_out_and_its_thread_ends(self, stub: Stub, hasty: DockerSwarm) -> None:
        stub.hangs("GET /nodes")
        loop, short = asyncio.get_running_loop(), SHORT.total_seconds()
        for one in tries():
            began = loop.time()
            with pytest.raises(Unavailable) as told:
                await hasty.nodes()
            answered = loop.time() - began
            await hasty.idle()
            idle = loop.time() - began
            with one:
                assert "no answer in time" in str(told.value)
                assert answered < 2 * short
                assert idle < 3 * short
        stub.says("GET /nodes", [])
        for one in tries():
            with one:
                assert await hasty.nodes() == []

    async def test_a_slow_stream_does_not_outlast_the_call(self, stub: Stub, hasty: DockerSwarm) -> None:
        async def answer(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            while True:
                await response.write(b'{"ID": "a"},'.rjust(70_000))
                await asyncio.sleep(0.1)

        stub.answers["GET /tasks"] = answer
        with pytest.raises(Unavailable):
            await hasty.tasks()
        await hasty.idle()

    async def test_a_cancelled_update_sends_nothing_more(self, stub: Stub, swarm: DockerSwarm) -> None:
        inspected, go_on = asyncio.Event(), asyncio.Event()

        async def answer(_: web.Request) -> web.StreamResponse:
            inspected.set()
            await go_on.wait()
            return web.json_response(NODE)

        stub.answers["GET /nodes/n1"] = answer
        stub.says("POST /nodes/n1/update", {})
        update = asyncio.create_task(swarm.update_node("n1", availability="drain"))
        await inspected.wait()
        update.cancel()
        with pytest.raises(asyncio.CancelledError):
            await update
        go_on.set()
        await swarm.idle()
        assert stub.bodies == []

    async def test_only_so_many_calls_run_at_once_and_the_rest_wait_for_their_turn(
        self, stub: Stub, swarm: DockerSwarm
    ) -> None:
        go_on = stub.hangs("GET /nodes")
        calls = [asyncio.create_task(swarm.nodes()) for _ in range(4 * THREADS)]
        await eventually(lambda: asyncio.sleep(0, stub.present), lambda present: present >= THREADS)
        await asyncio.sleep(0.1)  # long enough for one more to come, were it let in
        go_on.set()
        await asyncio.gather(*calls)
        assert stub.most == THREADS

    async def test_a_call_that_was_cancelled_before_its_turn_never_runs(self, stub: Stub, swarm: DockerSwarm) -> None:
        go_on = stub.hangs("GET /nodes")
        stub.says("GET /services", [])
        holding = [asyncio.create_task(swarm.nodes()) for _ in range(THREADS)]
        await eventually(lambda: asyncio.sleep(0, stub.present), lambda present: present == THREADS)
        waiting = asyncio.create_task(swarm.services())
        await asyncio.sleep(0)
        waiting.cancel()
        go_on.set()
        await asyncio.gather(*holding)
        await swarm.idle()
        assert not [asked for asked in stub.asked if "/services" in asked]


class TestComingAndGoing:
    async def test_each_thread_negotiates_the_version_once_and_again_after_the_engine_was_away(
        self, stub: Stub, tmp_path: Path
    ) -> None:
        path = tmp_path / "docker.sock"
        stub.says("GET /nodes", [])
        async with DockerSwarm(f"unix://{path}", CALL) as swarm:
            runner = await serve(stub, path)
            for _ in range(3 * THREADS):
                await swarm.nodes()
            assert stub.asked.count("GET /version") <= THREADS
            await runner.cleanup()
            with pytest.raises(Unavailable):
                await swarm.nodes()
            stub.version, stub.asked = "1.52", []
            runner = await serve(stub, path)
            await asyncio.gather(*(swarm.nodes() for _ in range(3 * THREADS)))
            assert all(asked.startswith(("GET /v1.52/nodes", "GET /version")) for asked in stub.asked)
        await runner.cleanup()

    @pytest.mark.parametrize("scheme", ["tcp", "http"])
    async def test_an_engine_behind_a_tcp_proxy(self, stub: Stub, scheme: str) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", stub.handle)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        stub.says("GET /nodes", [])
        stub.answers["GET /events"] = endless
        _, port = runner.addresses[0]
        async with DockerSwarm(f"{scheme}://127.0.0.1:{port}", CALL) as swarm:
            assert await swarm.nodes() == []
            async with swarm.changes() as changes:
                await anext(changes)
        await runner.cleanup()

    @pytest.mark.parametrize("host", ["tcp://127.0.0.1:1", "ftp://nowhere", "nonsense"])
    async def test_an_address_where_nothing_is_or_can_be_is_unavailable(self, host: str) -> None:
        async with DockerSwarm(host, CALL) as swarm:
            with pytest.raises(Unavailable):
                await swarm.nodes()
            with pytest.raises(Unavailable):
                async with swarm.changes():
                    pass

    async def test_nothing_is_left_when_it_is_closed(self, stub: Stub, tmp_path: Path) -> None:
        threads, files = threading.active_count(), psutil.Process().num_fds()
        path = tmp_path / "docker.sock"
        runner = await serve(stub, path)
        stub.says("GET /nodes", [])
        stub.answers["GET /events"] = endless
        async with DockerSwarm(f"unix://{path}", CALL) as swarm:
            await asyncio.gather(*(swarm.nodes() for _ in range(10)))
            for _ in range(5):
                async with swarm.changes() as changes:
                    await anext(changes)
        await runner.cleanup()
        own = [thread.name for thread in threading.enumerate() if thread.name.startswith("docker")]
        assert own == []
        assert threading.active_count() <= threads + 1  # asyncio's own, that closed it
        await eventually(lambda: asyncio.sleep(0, psutil.Process().num_fds()), lambda now: now <= files)

    async def test_events_need_no_thread(self, stub: Stub, swarm: DockerSwarm) -> None:
        stub.answers["GET /events"] = endless
        threads = threading.active_count()
        async with swarm.changes() as changes:
            await anext(changes)
            assert threading.active_count() == threads
        await eventually(lambda: asyncio.sleep(0, stub.present), lambda present: present == 0)

    async def test_a_subscription_that_hangs_is_unavailable(self, stub: Stub, hasty: DockerSwarm) -> None:
        stub.hangs("GET /events")
        with pytest.raises(Unavailable):
            async with hasty.changes():
                pass
        await eventually(lambda: asyncio.sleep(0, stub.present), lambda present: present == 0)

    async def test_a_subscription_that_is_refused_is_unavailable(self, stub: Stub, swarm: DockerSwarm) -> None:
        stub.says("GET /events", {"message": "This node is not a swarm manager."}, 503)
        with pytest.raises(Unavailable, match="not a swarm manager"):
            async with swarm.changes():
                pass

    async def test_the_subscription_asks_for_nodes_and_services_only_and_overlaps_the_past(
        self, stub: Stub, swarm: DockerSwarm
    ) -> None:
        filters: list[str] = []

        async def answer(request: web.Request) -> web.StreamResponse:
            filters.append(request.query["filters"])
            assert int(request.query["since"]) > 0
            return await endless(request)

        stub.answers["GET /events"] = answer
        async with swarm.changes() as changes:
            await anext(changes)
        assert json.loads(filters[0]) == {"type": ["node", "service"], "scope": ["swarm"]}


async def endless(request: web.Request) -> web.StreamResponse:
    """One event, and then silence."""
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b'{"Type": "node"}\n')
    await asyncio.Event().wait()
    return response


class TestLists:
    @settings(deadline=None, max_examples=40)
    @given(
        st.lists(
            st.dictionaries(st.text(), st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=5))
        ),
        st.integers(min_value=1, max_value=40),
        st.booleans(),
    )
    def test_elements_come_out_whole_however_the_text_is_cut(
        self, values: list[dict[str, Any]], size: int, ascii_only: bool
    ) -> None:
        text = json.dumps(values, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
        assert list(elements(pieces(text, size))) == values

    def test_a_task_takes_little_memory_while_and_after_a_list_is_read(self) -> None:
        """A worker may hold 20,000 of them."""
        tracemalloc.start()
        try:
            tasks = tasks_of(elements(many_tasks(5_000)))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert len(tasks) == 5_000
        assert len({id(task.env) for task in tasks}) == 20
        assert peak / len(tasks) < 600  # bytes


def pieces(text: bytes, size: int) -> Iterator[bytes]:
    return (text[start : start + size] for start in range(0, len(text), size))


def many_tasks(count: int) -> Iterator[bytes]:
    """About 2 KB each, as an engine sends them."""
    yield b"["
    for number in range(count):
        task = {
            "ID": f"{number:025}",
            "ServiceID": f"service-{number % 20:017}",
            "NodeID": f"node-{number % 1000:020}",
            "Slot": number // 20 + 1,
            "Spec": {"ContainerSpec": {"Env": [f"SERVICE={number % 20}"], "Labels": {"padding": "x" * 1600}}},
            "Status": {"State": "running", "Err": ""},
            "DesiredState": "running",
        }
        yield (b"," if number else b"") + json.dumps(task).encode()
    yield b"]\n"
