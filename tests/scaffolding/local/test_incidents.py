"""What AWS does by itself, asked for over HTTP, as a person types it: it happens, or the reason is said."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from aiohttp import web

from infra.local.aws import EmbeddedAws, Size, create_group, create_network
from infra.local.control import _told
from infra.local.fault import call_of
from infra.local.incidents import IncidentDesk
from infra.local.loopback import served
from tests.scaffolding.local.conftest import Http

STEP = 101.0
GROUP = "own-NodeAsg"


@pytest.fixture(scope="module")
def aws() -> Iterator[EmbeddedAws]:
    with EmbeddedAws() as aws:
        slow = ("pending", "proceed", "terminating", "health_check")
        aws.knobs.set(**{f"{name}_seconds": 100.0 for name in slow})
        create_group(aws.session(), GROUP, Size(0, 4, 2), create_network(aws.session()))
        aws.skip(STEP)
        yield aws


class Desk:
    """The routes, and the command that asks them."""

    def __init__(self, http: Http, aws: EmbeddedAws) -> None:
        self._http = http
        self._aws = aws
        self.url = ""

    def states(self) -> dict[str, str]:
        groups = self._aws.session().client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
        return {one["InstanceId"]: one["LifecycleState"] for one in groups[0]["Instances"]}

    def machine_state(self, instance: str) -> str:
        found = self._aws.session().client("ec2").describe_instances(InstanceIds=[instance])
        return str(found["Reservations"][0]["Instances"][0]["State"]["Name"])

    async def typed(self, *words: str) -> tuple[int, Any]:
        method, path, body = call_of(words[0], words[1:])
        return await self._http.ask(method, f"{self.url}{path}", body)

    async def ask(self, path: str, body: Any = None) -> tuple[int, Any]:
        return await self._http.ask("POST", f"{self.url}{path}", body)


@pytest.fixture
async def desk(http: Http, aws: EmbeddedAws) -> AsyncIterator[Desk]:
    desk = Desk(http, aws)
    names = {"ip-10-0-3-1": next(iter(desk.states()))}
    incidents = IncidentDesk(aws.incidents, {"worker": GROUP}, lambda name: names.get(name, name))
    async with served(incidents.add_to(web.Application(middlewares=[_told]))) as desk.url:
        yield desk


async def test_a_node_is_taken_as_a_spot_instance_after_the_notice(desk: Desk, aws: EmbeddedAws) -> None:
    node = next(iter(desk.states()))
    status, event = await desk.typed("interrupt", "ip-10-0-3-1", "20")
    assert (status, event["detail"]) == (200, {"instance-id": node, "instance-action": "terminate"})
    aws.skip(19)
    assert desk.machine_state(node) == "running"
    aws.skip(2)
    assert desk.machine_state(node) == "shutting-down"
    aws.skip(5 * STEP)
    assert sorted(desk.states().values()) == ["InService"] * 2


async def test_the_notice_is_two_minutes_unless_said(desk: Desk, aws: EmbeddedAws) -> None:
    node = next(iter(desk.states()))
    assert (await desk.typed("interrupt", node))[0] == 200
    aws.skip(118)
    assert desk.machine_state(node) == "running"
    aws.skip(3)
    assert desk.machine_state(node) == "shutting-down"
    aws.skip(5 * STEP)


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (["recommend-rebalance", "ip-10-0-3-1"], "EC2 Instance Rebalance Recommendation"),
        (["retire", "ip-10-0-3-1"], "AWS Health Event"),
        (["retire", "ip-10-0-3-1", "0.5"], "AWS Health Event"),
    ],
)
async def test_what_is_only_told_changes_nothing(desk: Desk, words: list[str], kind: str) -> None:
    before = desk.states()
    status, event = await desk.typed(*words)
    assert (status, event["detail-type"]) == (200, kind)
    assert desk.states() == before


async def test_a_group_is_refreshed_and_its_zones_are_evened_out(desk: Desk, aws: EmbeddedAws) -> None:
    assert await desk.typed("rebalance-zones") == (200, {"moved": False})
    before = set(desk.states())
    status, answer = await desk.typed("refresh")
    assert (status, list(answer)) == (200, ["refresh"])
    again = await desk.typed("refresh", "worker", "Wait")
    assert (again[0], "already in progress" in again[1]["error"]) == (400, True)
    aws.skip(5 * STEP)
    assert not before & set(desk.states())


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/instances/ip-10-0-9-9/interrupt", {}, "there is no living instance ip-10-0-9-9"),
        (
            "/instances/ip-10-0-3-1/explode",
            {},
            "there is no explode; there are: interrupt, recommend-rebalance, retire",
        ),
        ("/instances/ip-10-0-3-1/interrupt", {"notice_seconds": -1}, "notice_seconds: "),
        ("/instances/ip-10-0-3-1/interrupt", {"notice": 1}, "notice: there is no such setting"),
        ("/instances/ip-10-0-3-1/retire", [], "give a JSON object"),
        ("/groups/manager/refresh", {}, "there is no group manager; there are: own-NodeAsg"),
        ("/groups/worker/refresh", {"protected": "Keep"}, "protected: "),
    ],
)
async def test_what_cannot_be_is_refused_with_a_reason(desk: Desk, path: str, body: Any, said: str) -> None:
    status, answer = await desk.ask(path, body)
    assert (status, said in answer["error"]) == (400, True), answer
