"""Faults from outside: each reaches its part, wrong ones are refused with a reason, and a person can type them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from infra.local.aws.knobs import Knobs
from infra.local.boot_knobs import BootKnobs
from infra.local.control import Control
from infra.local.engine import SimulatedSwarm, SwarmConfig
from infra.local.engine.model import NodeState, TaskState
from infra.local.fault import _COMMANDS, Mistyped, call_of, control_url
from infra.local.loopback import served
from infra.local.receiver import Receiver
from tests.scaffolding.local.conftest import Http

QUICK = SwarmConfig(start_seconds=0.01, stop_seconds=0.01, down_detection_seconds=0.01, election_seconds=0.01)


class Desk:
    def __init__(self, http: Http, swarm: SimulatedSwarm) -> None:
        self.boot = BootKnobs()
        self.aws = Knobs()
        self.swarm = swarm
        self.receiver = Receiver()
        self.control = Control(self.boot, self.aws, swarm, self.receiver)
        self._http = http
        self.url = ""

    async def patch(self, part: str, body: Any) -> tuple[int, Any]:
        return await self._http.ask("PATCH", f"{self.url}/faults/{part}", body)

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        return await self._http.ask(method, f"{self.url}{path}", body)

    async def typed(self, *words: str) -> tuple[int, Any]:
        """As the command would send it."""
        return await self.ask(*call_of(words[0], words[1:]))


@pytest.fixture
async def desk(http: Http) -> AsyncIterator[Desk]:
    async with SimulatedSwarm(QUICK) as swarm:
        swarm.add_node("ip-10-0-1-1", role="manager")
        swarm.add_node("ip-10-0-3-1")
        desk = Desk(http, swarm)
        async with served(desk.control.app()) as desk.url:
            yield desk


async def until(holds: Any) -> None:
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)


async def test_the_present_state_is_shown(desk: Desk) -> None:
    status, state = await desk.ask("GET", "/faults")
    assert status == 200
    assert state["boot"]["boot_delay_seconds"] == 3.0
    assert state["aws"] == Knobs().snapshot()
    assert state["docker"]["api"] == []
    assert state["alertmanager"] == {"fault": "none"}


@pytest.mark.parametrize(
    ("words", "part", "setting", "value"),
    [
        (["boot-delay", "20"], "boot", "boot_delay_seconds", 20.0),
        (["never-join", "2"], "boot", "never_join_next", 2),
        (["refuse-launches", "Insufficient"], "aws", "refuse_launches", {"*": "Insufficient"}),
        (
            ["refuse-launches", "Insufficient", "local-NodeAsg"],
            "aws",
            "refuse_launches",
            {"local-NodeAsg": "Insufficient"},
        ),
        (["kill-launches", "Client.X"], "aws", "kill_launches", {"*": "Client.X"}),
        (["lag", "20"], "aws", "describe_lag_seconds", 20.0),
        (["aws-slow", "0.5", "sqs"], "aws", "latency_seconds", {"sqs": 0.5}),
        (["aws-throttle"], "aws", "errors", {"*": "throttle"}),
        (["aws-down", "dynamodb"], "aws", "down", ["dynamodb"]),
        (["stuck", "demo"], "docker", "unstoppable_services", ["demo"]),
        (["stuck", "ip-10-0-3-1"], "docker", "unstoppable_nodes", ["ip-10-0-3-1"]),
        (["freeze", "demo"], "docker", "frozen_updates", ["demo"]),
        (["alertmanager", "hang"], "alertmanager", "fault", "hang"),
        (["set", "boot", '{"next_boot_delays": [1, 60]}'], "boot", "next_boot_delays", [1.0, 60.0]),
        (
            ["set", "aws", '{"errors": {"sqs": {"code": "x", "times": 2}}}'],
            "aws",
            "errors",
            {"sqs": {"code": "x", "times": 2}},
        ),
    ],
)
async def test_a_fault_that_is_typed_reaches_its_part_and_clear_ends_it(
    desk: Desk, words: list[str], part: str, setting: str, value: Any
) -> None:
    status, answer = await desk.typed(*words)
    assert status == 200
    assert answer[setting] == value
    assert (await desk.typed("show"))[1][part][setting] == value
    cleared = (await desk.typed("clear"))[1]
    if words[0] != "boot-delay":
        assert cleared[part][setting] != value


@pytest.mark.parametrize("off", [["refuse-launches", "off"], ["aws-throttle", "off"], ["aws-down", "off"]])
async def test_off_takes_a_fault_of_aws_away(desk: Desk, off: list[str]) -> None:
    await desk.typed(off[0], "on")
    await desk.typed(*off)
    assert desk.aws.snapshot() == Knobs().snapshot()


async def test_the_docker_api_slow_failing_and_well(desk: Desk) -> None:
    await desk.typed("docker-slow", "2", "/nodes")
    found = desk.swarm.faults.api_fault("GET", "/nodes/json")
    assert found is not None
    assert found.delay == 2.0
    await desk.typed("docker-fail")
    assert desk.swarm.faults.api[0].status == 500
    await desk.typed("docker-down")
    assert desk.swarm.faults.api[0].drop
    await desk.typed("docker-ok")
    assert desk.swarm.faults.api == []


async def test_a_task_that_will_not_stop_stops_when_it_may(desk: Desk) -> None:
    spec = {"Name": "demo", "TaskTemplate": {"ContainerSpec": {"Image": "x"}}, "Mode": {"Replicated": {"Replicas": 1}}}
    desk.swarm.control.create_service(spec)
    await until(lambda: desk.swarm.store.tasks)
    [task] = desk.swarm.store.tasks.values()
    await until(lambda: task.state is TaskState.RUNNING)
    await desk.typed("stuck", "demo")
    service = desk.swarm.control.service("demo")
    body = {**spec, "Mode": {"Replicated": {"Replicas": 0}}}
    desk.swarm.control.update_service("demo", service.meta.version, body, rollback=False)
    await until(lambda: not task.wanted)
    await desk.patch("docker", {"unstoppable_services": ["demo", "other"]})
    assert not task.ended
    await desk.typed("unstick")
    await until(lambda: task.ended)


async def test_a_node_is_lost_and_returns(desk: Desk) -> None:
    node_id = next(node.id for node in desk.swarm.nodes if node.machine.hostname == "ip-10-0-3-1")
    status, answer = await desk.typed("lose", "ip-10-0-3-1")
    assert (status, answer) == (200, {"node": "ip-10-0-3-1", "alive": False})
    await until(lambda: desk.swarm.store.nodes[node_id].state is NodeState.DOWN)
    assert (await desk.typed("return", "ip-10-0-3-1"))[1]["alive"]
    await until(lambda: desk.swarm.store.nodes[node_id].state is NodeState.READY)


async def test_a_swarm_without_a_leader_can_be_mended(desk: Desk) -> None:
    await desk.typed("lose", "ip-10-0-1-1")
    await until(lambda: desk.swarm.raft.leader is None)
    assert (await desk.typed("return", "ip-10-0-1-1"))[0] == 200
    await until(lambda: desk.swarm.raft.leader is not None)


@pytest.mark.parametrize(
    ("part", "body", "complaint"),
    [
        ("boot", {"boot_dealy": 1}, "boot_dealy: there is no such setting (settings: boot_delay_seconds"),
        ("boot", {"boot_delay_seconds": -1}, "boot_delay_seconds"),
        ("boot", {"boot_delay_seconds": "soon"}, "boot_delay_seconds"),
        ("boot", {"never_join_next": 1.5}, "never_join_next"),
        ("aws", {"down": 3}, "down"),
        ("aws", {"latency_seconds": {"sqs": "x"}}, "latency_seconds"),
        ("docker", {"api": [{"prefix": "nodes"}]}, "prefix"),
        ("docker", {"api": [{"status": 200}]}, "status"),
        ("docker", {"unstoppable_nodes": ["ip-1"]}, "there is no node ip-1; there are: ip-10-0-1-1, ip-10-0-3-1"),
        ("alertmanager", {"fault": "sulk"}, "'none', 'hang' or 'fail'"),
        ("alertmanager", [], "JSON object"),
        ("slack", {}, "there is no part slack; there are: boot, aws, docker, alertmanager"),
    ],
)
async def test_a_fault_that_there_is_not_is_refused_with_a_reason(
    desk: Desk, part: str, body: Any, complaint: str
) -> None:
    before = desk.control.state()
    status, answer = await desk.patch(part, body)
    assert status == 400
    assert complaint in answer["error"]
    assert desk.control.state() == before


async def test_unknown_paths_nodes_and_bodies_are_answered_in_json(desk: Desk, http: Http) -> None:
    assert (await desk.ask("GET", "/fault"))[0] == 404
    assert (await desk.ask("POST", "/nodes/ip-1/lose"))[0] == 400
    status, answer = await http.ask("PATCH", f"{desk.url}/faults/boot", data=b"{")
    assert status == 400
    assert "no JSON" in answer["error"]


@pytest.mark.parametrize(
    "words", [["sulk"], ["boot-delay"], ["boot-delay", "soon"], ["set", "boot", "{"], ["show", "x"]]
)
def test_a_mistyped_command_says_what_there_is(words: list[str]) -> None:
    with pytest.raises(Mistyped):
        call_of(words[0], words[1:])


def test_the_help_names_every_command() -> None:
    from infra.local import fault

    assert all(command in (fault.__doc__ or "") for command in _COMMANDS)


def test_the_command_finds_the_environment(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="make up"):
        control_url({}, tmp_path / "env")
    assert control_url({"CONTROL_URL": "http://there"}, tmp_path / "env") == "http://there"
    (tmp_path / "env").write_text("export A=1\nexport CONTROL_URL=http://here\n")
    assert control_url({"CONTROL_URL": "http://there"}, tmp_path / "env") == "http://here"
