"""The drain and its several callers: who may be refused, who is named what was cut off, and whose node it is."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from shared.records import State
from tests.unit.desk import Desk, later
from worker.errors import GaveUp
from worker.flows.batches import Batches
from worker.flows.capacity import CapacityView
from worker.flows.drain import Drain, Terms, drain_asked_for
from worker.flows.flow import Context
from worker.flows.give_back import give_back
from worker.flows.rollout import Rescheduler
from worker.flows.shared_look import SharedLook
from worker.flows.wave import Wave
from worker.leadership.deadline import Deadline
from worker.requests.owners import inherited, taken_by
from worker.requests.plans import DepartingNode, DrainPlan
from worker.requests.request import OpenRequest

pytestmark = pytest.mark.looptime(idle_timeout=1)

CHOSEN = {"node": "asked for"}


class Leaving:
    """Two worker nodes, on one of which something runs that is to be drained."""

    def __init__(self, **variables: Any) -> None:
        self.desk = Desk(**variables)
        self.swarm = self.desk.swarm
        self.node, self.other = self.swarm.join("leaves"), self.swarm.join("stays")
        leadership = self.desk.leadership
        rescheduler = Rescheduler(leadership)
        requests = self.desk.requests
        batches = Batches(leadership, rescheduler, requests)
        self.context = Context(
            leadership,
            requests,
            CapacityView(leadership),
            rescheduler,
            batches,
            Wave(leadership, requests),
            SharedLook(leadership),
        )

    def departing(self, **facts: Any) -> DepartingNode:
        return DepartingNode(instance_id="i-1", name="leaves", node_id=self.node, **facts)

    def open(self, name: str, plan: DrainPlan) -> OpenRequest:
        """A request that has begun to drain the node."""
        request = self.desk.put(name, plan=plan.document(), state=State.RUNNING, started_at=later(0), step="drain")
        self.desk.requests.take(request.record)
        taken = next(each for each in self.desk.requests.queued if each.id == name)
        self.desk.requests.begin(taken)
        return taken

    def plan(self, **facts: Any) -> DrainPlan:
        return DrainPlan().but(nodes=(self.departing(),), chosen=CHOSEN, **facts)

    def forced(self, seconds: float) -> Terms:
        return Terms(Deadline(asyncio.get_running_loop().time(), seconds), forced=True)

    @property
    def availability(self) -> str:
        return self.swarm.cluster.nodes[self.node].availability

    async def runs(self, name: str, where: str, **wishes: Any) -> None:
        self.swarm.create(name, 1, constraints=(f"node.id == {where}",), **wishes)
        await asyncio.sleep(1)
        assert self.swarm.running_on(where)


async def test_a_drain_that_somebody_asked_for_is_refused_when_what_runs_there_finds_no_place() -> None:
    s = Leaving(drain_timeout=20)
    await s.runs("pinned", s.node)
    with pytest.raises(GaveUp, match=r"did not move within 20 seconds .*pinned\.1"):
        await drain_asked_for(s.context, s.open("r", s.plan())).run()


async def test_a_forced_one_names_it_at_its_deadline() -> None:
    s = Leaving()
    await s.runs("pinned", s.node)
    began = asyncio.get_running_loop().time()
    cut_off = await Drain(s.context, s.open("r", s.plan()), s.forced(15.0)).run()
    assert ["pinned.1" in problem.task for problem in cut_off] == [True]
    assert asyncio.get_running_loop().time() - began == pytest.approx(15.0, abs=1.0)
    assert s.availability == "drain"


async def test_a_forced_one_that_moves_everything_names_nothing_and_returns_before_its_deadline() -> None:
    s = Leaving()
    s.swarm.create("web", 4, constraints=("node.role == worker",))
    await asyncio.sleep(1)
    began = asyncio.get_running_loop().time()
    assert list(await Drain(s.context, s.open("r", s.plan()), s.forced(100.0)).run()) == []
    assert asyncio.get_running_loop().time() - began < 20
    assert len(s.swarm.running_on(s.other)) == 4


async def test_a_job_and_a_person_stop_a_drain_that_was_asked_for_but_no_forced_one() -> None:
    s = Leaving()
    await s.runs("job", s.node, mode="replicated-job", restarts=False)
    with pytest.raises(GaveUp, match="would be cut off"):
        await drain_asked_for(s.context, s.open("asked", s.plan())).run()
    s.swarm.set_availability(s.node, "active")
    drain = asyncio.ensure_future(Drain(s.context, s.open("forced", s.plan(forced=True)), s.forced(10.0)).run())
    await asyncio.sleep(3)
    s.swarm.set_availability(s.node, "pause")
    await drain


async def test_services_are_moved_by_an_update_only_until_the_moment_for_it() -> None:
    s = Leaving()
    s.swarm.times.update_begin_seconds = 1000.0
    await s.runs("web", s.node, start_first=True)
    terms = s.forced(60.0)
    request = s.open("r", s.plan())
    move_by = replace(terms.deadline, timeout=20.0)
    drain = asyncio.ensure_future(Drain(s.context, request, Terms(terms.deadline, forced=True, move_by=move_by)).run())
    await asyncio.sleep(15)
    assert s.availability == "pause"
    await asyncio.sleep(10)
    assert s.availability == "drain"
    await drain


# --- Whose node it is -------------------------------------------------------------------------------------------


async def test_a_forced_departure_takes_a_node_over_and_the_other_request_touches_it_no_more() -> None:
    s = Leaving()
    s.swarm.create("web", 2, constraints=("node.role == worker",))
    await asyncio.sleep(1)
    s.swarm.faults.unstoppable_services.add("web")
    asked = s.open("asked", s.plan())
    drain = asyncio.ensure_future(drain_asked_for(s.context, asked).run())
    await asyncio.sleep(5)
    assert s.availability == "drain"
    forced = s.open("forced", s.plan(forced=True))
    assert taken_by(s.desk.requests, asked, s.departing()) == "forced"
    assert taken_by(s.desk.requests, forced, s.departing()) is None
    with pytest.raises(GaveUp, match="leaves by itself meanwhile, which request forced sees to"):
        await drain
    await give_back(s.context, asked, DrainPlan.parse(asked.record.plan))
    assert s.availability == "drain"


async def test_a_node_that_nobody_else_has_is_given_back() -> None:
    s = Leaving()
    asked = s.open("asked", s.plan())
    await drain_asked_for(s.context, asked).run()
    assert s.availability == "drain"
    await give_back(s.context, asked, DrainPlan.parse(asked.record.plan))
    assert s.availability == "active"


async def test_who_takes_a_node_over_inherits_what_it_was_before_anyone_touched_it() -> None:
    s = Leaving()
    now = DepartingNode(name="leaves", node_id=s.node, availability="drain", manager=False)
    assert inherited(s.desk.requests, now) == now
    was = s.departing(availability="pause", manager=True)
    s.open("asked", DrainPlan().but(nodes=(was,), chosen=CHOSEN))
    assert inherited(s.desk.requests, now) == was
