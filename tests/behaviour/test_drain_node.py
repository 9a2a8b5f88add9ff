"""Draining one node that somebody names, and giving it back."""

from typing import Any

import pytest

from shared.records import State
from tests.behaviour.scenario import Scenario, scenario
from worker.ports.storage import Drained

STAYS = "It stays drained until it is given back (POST /v1/drain-node?node={0}&back=true)"


def drain(s: Scenario, node: str, **fields: Any) -> str:
    """Ask for it."""
    return s.ask("drain-node", node=node, **fields)


def availability(s: Scenario, instance: str) -> str:
    """Of an instance's node."""
    return s.node(instance).availability


async def busy(s: Scenario, replicas: int = 4) -> None:
    """Tasks on all workers."""
    s.swarm.create("demo", replicas, constraints=("node.role == worker",))
    await s.settled("demo", replicas)


@pytest.mark.parametrize("by", ["hostname", "node id", "instance id"])
@pytest.mark.parametrize("backend", ["aws", "none"])
async def test_a_named_node_is_emptied_and_stays_drained(by: str, backend: str) -> None:
    async with scenario(workers=2, node_scaler_backend=backend) as s:
        await busy(s)
        victim = s.workers[0]
        host, node_id = s.host(victim), s.launcher.nodes[victim]
        process = await s.started()
        named = {"hostname": host, "node id": node_id, "instance id": victim}[by]
        record = await s.ended(drain(s, named))
        assert record.state == State.SUCCEEDED, record.message
        assert record.message == f"{host} is drained: nothing runs there any more. {STAYS.format(host)}"
        assert (record.node, record.type, [step.name for step in record.steps]) == (host, "worker", ["plan", "drain"])
        assert availability(s, victim) == "drain"
        assert s.swarm.running_on(node_id) == []
        assert s.running("demo") == 4
        told = [posted.alert for posted in s.alerts.posted]
        assert [(one.alertname, one.service, one.status, one.node) for one in told] == [
            ("scale_nodes", "aws", "pending", host),
            ("scale_nodes", "aws", "success", host),
        ]
        assert {one.request for one in told} == {f"Drain node: {host}"}
        assert told[0].summary.startswith(f"Draining {host}: 2 tasks to move until 2026-")
        assert not [call for call in process.ports.calls if call.startswith("groups.") and backend == "none"]
        assert s.desired == [2]


async def test_what_a_request_has_drained_is_given_back_as_it_was() -> None:
    async with scenario(workers=2) as s:
        victim = s.workers[0]
        s.swarm.set_availability(s.launcher.nodes[victim], "pause")
        await s.started()
        first = drain(s, s.host(victim))
        assert (await s.ended(first)).state == State.SUCCEEDED
        record = await s.ended(drain(s, s.host(victim), back=True))
        assert record.state == State.SUCCEEDED, record.message
        assert f"paused again, as it was; it had been drained by request {first}" in record.message
        assert [step.name for step in record.steps] == ["plan", "restore"]
        assert availability(s, victim) == "pause"
        assert s.told[-1][2:4] == ("success", f"Give node back: {s.host(victim)}")
        assert s.journal.memories["worker"][1].drained == {}


async def test_a_node_that_a_person_drained_is_given_back_too_and_that_is_told() -> None:
    async with scenario(workers=2) as s:
        victim = s.workers[0]
        s.swarm.set_availability(s.launcher.nodes[victim], "drain")
        await s.started()
        record = await s.ended(drain(s, s.host(victim), back=True))
        assert record.state == State.SUCCEEDED
        assert "it had been drained by somebody else (`docker node update`)" in record.message
        assert availability(s, victim) == "active"


async def test_who_has_drained_a_node_is_known_to_the_next_worker() -> None:
    async with scenario(workers=2) as s:
        victim = s.workers[0]
        process = await s.started()
        first = drain(s, s.host(victim))
        await s.ended(first)
        process.kill()
        await s.started()
        assert s.journal.memories["worker"][1].drained == {s.launcher.nodes[victim]: Drained(first, "active")}
        record = await s.ended(drain(s, s.host(victim)))
        assert (record.state, record.message) == (
            State.SKIPPED,
            f"{s.host(victim)} is already drained, by request {first}",
        )
        record = await s.ended(drain(s, s.host(victim), back="true"))
        assert (record.state, availability(s, victim)) == (State.SUCCEEDED, "active")


async def test_a_node_that_is_in_use_is_not_given_back() -> None:
    async with scenario(workers=2) as s:
        await s.started()
        record = await s.ended(drain(s, s.host(s.workers[0]), back=True))
        assert (record.state, record.message) == (State.SKIPPED, f"{s.host(s.workers[0])} is already in use")
        s.swarm.set_availability(s.launcher.nodes[s.workers[0]], "pause")
        record = await s.ended(drain(s, s.host(s.workers[0]), back=True))
        assert (record.state, availability(s, s.workers[0])) == (State.SKIPPED, "pause")


# --- Refusals ---------------------------------------------------------------------------------------------------


async def protect(s: Scenario) -> None:
    s.swarm.label(s.launcher.nodes[s.workers[0]], com_df_scaler_protect="true")


async def fill(s: Scenario) -> None:
    s.swarm.create("big", 2, cpus=3 * 10**9, constraints=("node.role == worker",))
    await s.settled("big", 2)


async def work(s: Scenario) -> None:
    here = (f"node.id == {s.launcher.nodes[s.workers[0]]}",)
    s.swarm.create("job", 1, mode="replicated-job", restarts=False, constraints=here)
    await s.passes(2)


async def run_once(s: Scenario) -> None:
    s.swarm.create("once", 1, restarts=False, constraints=(f"node.id == {s.launcher.nodes[s.workers[0]]}",))
    await s.passes(2)


async def write_volume(s: Scenario) -> None:
    here = (f"node.id == {s.launcher.nodes[s.workers[0]]}",)
    s.swarm.create("store", 1, local_volumes=("data",), constraints=here)
    await s.settled("store", 1)


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (protect, "com.df.scaler.protect=true"),
        (fill, "big"),
        (work, "job"),
        (run_once, "once"),
        (write_volume, "store"),
    ],
)
async def test_a_node_that_must_not_be_drained_is_refused_untouched(prepare: Any, words: str) -> None:
    async with scenario(workers=2) as s:
        await prepare(s)
        process = await s.started()
        host = s.host(s.workers[0])
        record = await s.ended(drain(s, host))
        assert record.state == State.FAILED
        assert record.message.startswith(f"{host} was not drained: ")
        assert words in record.message
        assert "swarm.update_node" not in process.ports.calls
        assert [(told.status, told.node) for told in (posted.alert for posted in s.alerts.posted)] == [("error", host)]


async def test_the_last_manager_is_refused() -> None:
    async with scenario(managers=1) as s:
        await s.started()
        record = await s.ended(drain(s, s.host(s.managers[0])))
        assert (record.state, "last Ready manager" in record.message) == (State.FAILED, True)


async def test_a_name_that_nobody_has_and_one_that_two_have_are_refused_with_those_that_could_be_meant() -> None:
    async with scenario(workers=2) as s:
        hosts = [s.host(each) for each in s.workers]
        twins = [s.swarm.join("twin"), s.swarm.join("twin")]
        await s.started()
        record = await s.ended(drain(s, hosts[0][:-1]))
        assert (record.state, hosts[0] in record.message) == (State.FAILED, True)
        record = await s.ended(drain(s, "twin"))
        assert record.state == State.FAILED
        assert all(node in record.message for node in twins)
        assert {node.availability for node in s.nodes()} == {"active"}
        assert (await s.ended(drain(s, twins[0]))).state == State.SUCCEEDED


async def test_an_instance_that_never_joined_has_nothing_to_drain() -> None:
    async with scenario(workers=1) as s:
        s.launcher.never_joins = 1
        await s.groups.set_desired("workers", 2)
        await s.passes(3)
        (missing,) = {each.id for each in s.groups.groups["workers"].staying} - {s.workers[0]}
        await s.started()
        record = await s.ended(drain(s, missing))
        assert (record.state, f"{missing} has not joined" in record.message) == (State.FAILED, True)


# --- Trouble ----------------------------------------------------------------------------------------------------


async def test_tasks_that_do_not_move_in_time_give_the_node_back_and_are_named() -> None:
    async with scenario(workers=2, drain_timeout=20) as s:
        await busy(s)
        s.swarm.faults.unstoppable_services.add("demo")
        await s.started()
        record = await s.ended(drain(s, s.host(s.workers[0])))
        assert record.state == State.FAILED
        assert "did not move within 20 seconds (DRAIN_TIMEOUT): demo." in record.message
        assert [step.name for step in record.steps] == ["plan", "drain", "undo"]
        assert availability(s, s.workers[0]) == "active"
        assert "worker" not in s.journal.memories or s.journal.memories["worker"][1].drained == {}


async def test_a_person_who_wants_the_node_back_ends_the_drain() -> None:
    async with scenario(workers=2) as s:
        await busy(s)
        s.swarm.faults.unstoppable_services.add("demo")
        await s.started()
        request = drain(s, s.host(s.workers[0]))
        await s.until(lambda: availability(s, s.workers[0]) == "drain")
        s.swarm.set_availability(s.launcher.nodes[s.workers[0]], "active")
        record = await s.ended(request)
        assert (record.state, "made" in record.message) == (State.FAILED, True)
        assert availability(s, s.workers[0]) == "active"


async def test_aws_and_docker_that_do_not_answer_are_waited_for() -> None:
    async with scenario(workers=2) as s:
        process = await s.started()
        process.ports.away.add("groups")
        request = drain(s, s.host(s.workers[0]))
        await s.at(request, "plan")
        await s.passes(10)
        assert not s.record(request).state.ended
        process.ports.away.clear()
        assert (await s.ended(request)).state == State.SUCCEEDED


async def test_a_request_that_is_too_old_is_stale_and_one_key_counts_once() -> None:
    async with scenario(workers=2) as s:
        await s.started()
        record = await s.ended(drain(s, s.host(s.workers[0]), requested_at="2026-10-31T00:00:00Z"))
        assert (record.state, record.message.startswith("Stale")) == (State.SKIPPED, True)
        first, again = (drain(s, s.host(s.workers[0]), idempotency_key="k") for _ in range(2))
        ends = {(await s.ended(each)).state for each in (first, again)}
        assert ends == {State.SUCCEEDED, State.SKIPPED}


MOMENTS = [
    ("swarm.update_node", False),
    ("swarm.update_node", True),
    ("journal.remember", False),
    ("journal.remember", True),
]


@pytest.mark.parametrize("back", [False, True])
@pytest.mark.parametrize(("call", "after"), MOMENTS)
async def test_a_worker_that_dies_at_any_step_is_succeeded_by_one_that_ends_it(
    call: str, after: bool, back: bool
) -> None:
    async with scenario(workers=2) as s:
        await busy(s)
        victim = s.workers[0]
        process = await s.started()
        if back:
            await s.ended(drain(s, s.host(victim)))
        process.ports.hold(call, after=after)
        request = drain(s, s.host(victim), back=back)
        await s.until(lambda: bool(process.ports.waiting))
        process.kill()
        await s.started()
        record = await s.ended(request)
        assert record.state == State.SUCCEEDED, record.message
        assert availability(s, victim) == ("active" if back else "drain")
        assert bool(s.journal.memories["worker"][1].drained) is not back
        assert s.running("demo") == 4


async def test_a_scale_waits_for_a_drain_and_a_drain_for_a_scale() -> None:
    async with scenario(workers=2, boot=30.0) as s:
        await busy(s)
        await s.started()
        up = s.up()
        request = drain(s, s.host(s.workers[0]))
        await s.at(up, "wait")
        await s.until(lambda: s.record(request).waiting_for is not None)
        assert (s.record(request).waiting_for or {})["behind"] == up
        assert (await s.ended(request)).state == State.SUCCEEDED
        assert s.record(up).state == State.SUCCEEDED
