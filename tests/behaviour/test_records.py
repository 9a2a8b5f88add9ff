"""What records say of a request besides its message: who asked, by what it was limited, what it has changed."""

import pytest

from shared.errors import Refused
from shared.records import State
from tests.behaviour.scenario import RESCHEDULED, scenario

WORKERS = ("node.role == worker",)


async def test_who_asked_and_why_stand_in_the_record() -> None:
    async with scenario() as s:
        await s.started()
        record = await s.ended(s.up(asked_by={"alerts": ["busy"], "receiver": "scale"}, reason="CPU over 80%"))
        assert (record.asked_by, record.reason) == ({"alerts": ["busy"], "receiver": "scale"}, "CPU over 80%")


@pytest.mark.parametrize(
    ("sizes", "labels", "limit"),
    [
        ((0, 10), {}, "the maximum of 5 (DEFAULT_MAX_WORKER_NODES)"),
        ((0, 4), {}, "the maximum of 4 (MaxSize of workers)"),
        ((0, 10), {"com.df.scaleWorkerNodeMax": "4"}, "the maximum of 4 (label com.df.scaleWorkerNodeMax)"),
        ((0, 10), {"com.df.scaleWorkerNodeMax": "lots"}, "the maximum of 5 (DEFAULT_MAX_WORKER_NODES)"),
    ],
)
async def test_an_up_that_a_bound_cuts_short_says_so_and_which(
    sizes: tuple[int, int], labels: dict[str, str], limit: str
) -> None:
    async with scenario(workers=3, sizes=sizes) as s:
        s.swarm.create("busy", 1, labels=labels)
        await s.started()
        record = await s.ended(s.up(by=20, service="busy"))
        number = int(limit.split()[3])
        changing = f"Changing the number of worker nodes on aws from 3 to {number}"
        assert record.limited_by == limit
        assert record.message == (
            f"{changing}; limited to {limit}, 20 more were asked for; {number} worker nodes are up, "
            "No services to reschedule"
        )
        assert s.told[0][-1] == changing


async def test_a_down_that_a_bound_cuts_short_says_so_and_the_last_one_left_is_one_node() -> None:
    async with scenario(workers=3, default_min_worker_nodes=1) as s:
        await s.started()
        record = await s.ended(s.down(by=7))
        limit = "the minimum of 1 (DEFAULT_MIN_WORKER_NODES)"
        assert (record.state, record.limited_by) == (State.SUCCEEDED, limit)
        assert f"from 3 to 1; limited to {limit}, 7 fewer were asked for; 1 worker node is up, " in record.message
        again = await s.ended(s.down())
        assert again.message == "worker nodes are already descaled to the minimum number of 1 node"
        assert again.limited_by == limit


async def test_what_is_within_the_bounds_was_limited_by_nothing() -> None:
    async with scenario(workers=3) as s:
        s.swarm.create("web", 3)
        await s.started()
        for request in (s.up(by=2), s.ask("scale-service", service="web", scale="up", by=2)):
            assert (await s.ended(request)).limited_by is None


@pytest.mark.parametrize(
    ("replicas", "scale", "by", "after", "limit"),
    [
        (3, "up", 9, 5, "the maximum of 5 (DEFAULT_MAX_REPLICAS)"),
        (6, "up", 1, 6, "the maximum of 5 (DEFAULT_MAX_REPLICAS)"),
        (6, "down", 1, 5, None),
        (9, "down", 1, 8, None),
        (6, "down", 7, 1, "the minimum of 1 (DEFAULT_MIN_REPLICAS)"),
    ],
)
async def test_replicas_that_somebody_put_above_the_maximum_stay_or_go_down_by_their_step(
    replicas: int, scale: str, by: int, after: int, limit: str | None
) -> None:
    async with scenario() as s:
        s.swarm.create("web", replicas)
        await s.started()
        record = await s.ended(s.ask("scale-service", service="web", scale=scale, by=by))
        assert (record.limited_by, s.service("web").replicas) == (limit, after)
        if after == replicas:
            assert record.message == f"web is already scaled to the maximum number of {replicas} replicas"


async def test_a_drain_whose_tasks_find_no_place_is_told_to_make_room() -> None:
    async with scenario(workers=2, drain_timeout=20) as s:
        s.swarm.create("demo", 2, constraints=WORKERS)
        await s.settled("demo", 2)
        process = await s.started()
        gate = process.ports.hold("swarm.update_node")
        request = s.down()
        await s.until(lambda: bool(process.ports.waiting))
        leaving = s.record(request).plan["leaving"][0]["node_id"]
        (stays,) = (node for node in s.nodes() if node.id != leaving)
        await s.swarm.update_node(stays.id, availability="pause")
        gate.set()
        record = await s.ended(request)
        assert (record.state, record.nodes_before, record.nodes_after) == (State.FAILED, 2, 2)
        assert "make room for these tasks, then repeat the request" in record.message
        assert "told to stop" not in record.message


async def test_an_up_that_aws_refuses_has_changed_nothing() -> None:
    async with scenario(workers=2) as s:
        process = await s.started()
        process.ports.refuse("groups.set_desired", Refused("not authorized"))
        record = await s.ended(s.up())
        assert (record.state, record.nodes_before, record.nodes_after) == (State.FAILED, 2, 2)


async def test_a_down_that_was_done_by_half_tells_what_aws_said_last() -> None:
    async with scenario(workers=4) as s:
        s.swarm.create("demo", 1, labels=RESCHEDULED)
        process = await s.started()
        gate = process.ports.hold("groups.terminate", after=True)
        request = s.down(by=2)
        await s.until(lambda: bool(process.ports.waiting))
        process.ports.refuse("groups.terminate", Refused("enough"))
        gate.set()
        record = await s.ended(request)
        assert (record.state, record.nodes_before, record.nodes_after) == (State.FAILED, 4, 3), record.message
        assert s.desired[-1] == 3
