"""Events are best effort: what no event told is found at a take-over, and every 20 seconds."""

from shared.errors import Unavailable
from shared.records import State
from tests.behaviour.scenario import scenario
from tests.behaviour.test_node_leaving import ends, left, spread


async def test_a_machine_that_a_hook_holds_is_found_without_an_event() -> None:
    async with scenario(workers=3) as s:
        s.groups.groups["workers"].holds.add("scaler-terminate", 300)
        await spread(s)
        await s.started()
        s.groups.retire(s.workers[0])
        (record,) = await left(s, within=60)
        assert (record.state, record.source) == (State.SUCCEEDED, "autoscaling")
        assert ends(s) == [(s.workers[0], "CONTINUE")]


async def test_at_a_take_over_it_is_found_at_once() -> None:
    async with scenario(workers=3) as s:
        s.groups.groups["workers"].holds.add("scaler-terminate", 300)
        s.groups.retire(s.workers[0])
        await s.started()
        await s.until(lambda: bool(ends(s)), within=15)


async def test_somebody_elses_hook_holds_for_as_long_as_it_likes() -> None:
    async with scenario(workers=3) as s:
        s.groups.groups["workers"].holds.add("theirs", 100)
        await s.started()
        s.groups.retire(s.workers[0])
        await s.until(lambda: bool(ends(s)), within=120)
        assert ends(s) == [(s.workers[0], "timeout")]


async def test_a_hold_that_is_left_after_its_record_ended_is_completed_without_another_record() -> None:
    async with scenario(workers=3) as s:
        s.groups.groups["workers"].holds.add("scaler-terminate", 600)
        first = await s.started()
        s.groups.retire(s.workers[0])
        first.ports.lose_answer("groups.complete", Unavailable("lost"))
        (record,) = await left(s)
        first.kill()
        name = f"hold-workers-scaler-terminate-{s.workers[1]}"
        s.journal.records[name] = record.but(id=name, state=State.SUCCEEDED)
        s.groups.retire(s.workers[1])
        await s.started()
        await s.until(lambda: (s.workers[1], "CONTINUE") in ends(s), within=60)
        assert len([each for each in s.journal.records.values() if each.action == "node-leaving"]) == 2


async def test_the_node_of_a_terminated_machine_is_removed_without_an_event_and_without_a_scale() -> None:
    async with scenario(workers=2) as s:
        await s.started()
        s.groups.kill(s.workers[0])
        dead = s.node(s.workers[0]).id
        await s.until(lambda: dead not in s.swarm.cluster.nodes, within=120)
        (record,) = [each for each in s.journal.records.values() if each.action == "node-gone"]
        assert record.source == "swarm"


async def test_an_idle_look_costs_one_call_to_aws_and_none_to_docker() -> None:
    async with scenario() as s:
        process = await s.started()
        await s.passes(30)
        before = len(process.ports.calls)
        await s.passes(20)
        looked = [call for call in process.ports.calls[before:] if call.startswith(("groups", "swarm"))]
        assert looked == ["groups.members"]
