"""What the active worker writes for those who look: the status document and the heartbeat."""

from datetime import timedelta

import pytest

from shared.records import State
from shared.status import Heartbeat, NodeStatus, Status
from tests.behaviour.scenario import Scenario, scenario
from worker.dispatch.status_writer import HEARTBEAT_SECONDS, LOOK_SECONDS


def status(s: Scenario) -> Status:
    found = s.journal.status()
    assert found is not None
    return found


async def shown(s: Scenario) -> Status:
    """The first document that shows nodes."""
    await s.until(lambda: s.journal.status() is not None and bool(status(s).nodes))
    return status(s)


def node(s: Scenario, hostname: str) -> NodeStatus:
    return next(each for each in status(s).nodes if each.hostname == hostname)


def revision(s: Scenario) -> int:
    return s.journal.published[Status][1]


async def test_groups_nodes_and_who_is_active_stand_in_the_document() -> None:
    async with scenario(workers=2) as s:
        await s.started()
        await shown(s)
        await s.until(lambda: status(s).judged_at is not None)
        found = status(s)
        managers, workers = sorted(found.groups, key=lambda group: group.type)
        assert (workers.type, workers.desired, workers.instances, workers.ready) == ("worker", 2, 2, 2)
        assert (workers.min, workers.max, workers.max_from) == (0, 5, "DEFAULT_MAX_WORKER_NODES")
        assert (managers.type, managers.ready, len(found.nodes)) == ("manager", 3, 5)
        assert {each.removable for each in found.nodes if each.type == "worker"} == {"yes"}
        [reason] = {each.removable for each in found.nodes if each.type == "manager"}
        assert reason is not None
        assert reason != "yes"
        assert reason[0].code == "at-minimum"
        assert found.active is not None
        assert found.active.worker == "worker-1"


async def test_an_open_request_stands_there_with_its_step_and_what_it_waits_for() -> None:
    async with scenario(boot=30) as s:
        await s.started()
        await shown(s)
        request = s.up(reason="a sale", asked_by={"user": "ann"})
        await s.at(request, "wait")
        await s.until(lambda: any(each.step == "wait" for each in status(s).requests))
        [one] = status(s).requests
        assert (one.id, one.state, one.scale, one.by, one.reason) == (request, "running", "up", 1, "a sale")
        assert [step.name for step in one.steps] == ["plan", "apply", "wait"]
        assert one.waiting_for is not None
        assert one.waiting_for["what"] == "2 worker nodes to be Ready in the Swarm"
        await s.until(lambda: any(each.state == "not joined" for each in status(s).nodes))
        await s.ended(request)
        await s.until(lambda: not status(s).requests)
        await s.until(lambda: status(s).groups[0].ready == 2)


async def test_what_does_not_change_is_not_written_again_but_confirmed_each_minute() -> None:
    async with scenario() as s:
        await s.started()
        await s.until(lambda: s.journal.status() is not None and status(s).judged_at is not None)
        await s.passes(5)
        written, beats = revision(s), s.journal.published[Heartbeat][1]
        await s.passes(5 * HEARTBEAT_SECONDS)
        beat = s.journal.heartbeat()
        assert beat is not None
        assert revision(s) == written == beat.revision
        assert s.journal.published[Heartbeat][1] - beats == 5
        assert beat.at is not None
        assert s.clock.now() - beat.at <= timedelta(seconds=HEARTBEAT_SECONDS + LOOK_SECONDS)


async def test_an_idle_worker_looks_at_nothing_for_nine_minutes() -> None:
    async with scenario() as s:
        process = await s.started()
        await s.until(lambda: s.journal.status() is not None and status(s).judged_at is not None)
        await s.passes(5)
        process.ports.looks.clear()
        await s.passes(540)
        assert process.ports.looks == ["journal.publish"] * 9


async def test_a_node_that_is_drained_by_hand_shows_within_seconds() -> None:
    async with scenario(workers=2) as s:
        await s.started()
        await shown(s)
        name = s.nodes()[0].hostname
        await s.swarm.update_node(s.nodes()[0].id, availability="drain")
        await s.until(lambda: node(s, name).availability == "drain", within=3 * LOOK_SECONDS)


async def test_who_does_not_answer_is_named_with_since_when_and_forgotten_afterwards() -> None:
    async with scenario() as s:
        process = await s.started()
        await shown(s)
        process.ports.away = {"groups"}
        s.up()
        await s.until(lambda: bool(status(s).troubles), within=30)
        [trouble] = status(s).troubles
        assert trouble.what == "AWS"
        assert trouble.since is not None
        assert trouble.last_error
        process.ports.away = set()
        await s.until(lambda: not status(s).troubles, within=60)


async def test_an_alertmanager_that_does_not_answer_is_named() -> None:
    async with scenario(boot=30) as s:
        process = await s.started()
        await shown(s)
        process.ports.away = {"alerts"}
        s.up()
        await s.until(lambda: [each.what for each in status(s).troubles] == ["Alertmanager"], within=30)


async def test_a_table_that_takes_no_status_disturbs_nobody() -> None:
    async with scenario() as s:
        process = await s.started()
        process.ports.away = {"journal.publish"}
        assert (await s.ended(s.up())).state is State.SUCCEEDED
        await s.passes(30)
        assert process.active
        process.ports.away = set()
        await shown(s)


async def test_a_bug_in_it_costs_the_status_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("worker.dispatch.sightings.group_status", broken)
    monkeypatch.setattr("worker.dispatch.sightings.verdicts", broken)
    async with scenario() as s:
        process = await s.started()
        assert (await s.ended(s.up())).state is State.SUCCEEDED
        await s.passes(30)
        assert process.active


async def test_the_pause_stands_there_with_who_and_why_and_until_when() -> None:
    async with scenario() as s:
        await s.started()
        s.ask("pause", **{"for": 600, "reason": "a deployment", "asked_by": {"user": "ann"}})
        await s.until(lambda: s.journal.status() is not None and status(s).paused is not None)
        paused = status(s).paused
        assert paused is not None
        assert (paused.reason, paused.until is not None) == ("a deployment", True)
        await s.until(lambda: status(s).paused is None, within=620)


async def test_the_next_worker_goes_on_with_the_document() -> None:
    async with scenario() as s:
        first = await s.started()
        await shown(s)
        first.kill()
        await s.started()
        await s.until(lambda: status(s).active is not None and status(s).active.worker == "worker-2")  # type: ignore[union-attr]
        assert s.journal.published[Status][0] == 2


async def test_a_late_write_of_a_worker_that_was_taken_over_from_ends_its_leadership() -> None:
    async with scenario() as s:
        process = await s.started()
        await shown(s)
        s.journal.published[Status] = (9, 1, Status())
        await s.swarm.update_node(s.nodes()[0].id, availability="pause")
        await s.until(lambda: process.metrics.registry.get_sample_value("scaler_takeovers_total") != 1, within=10)
