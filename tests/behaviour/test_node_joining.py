"""A launch hook holds an instance: it serves once it is a node, and what never joins is let go as the setting says."""

import asyncio
from typing import Any

from shared.errors import Unavailable
from shared.records import Record, State
from tests.behaviour.happens import event, send, taken
from tests.behaviour.scenario import Scenario, scenario
from worker.ports.scaling import Phase


def hooked(s: Scenario, *, timeout: float = 300.0, told: bool = True) -> None:
    """The workers have our launch hook, and its events reach the queue."""
    s.groups.groups["workers"].holds.add("scaler-launch", timeout, "launch")

    def forward(body: dict[str, Any]) -> None:
        asyncio.get_running_loop().call_later(0.1, send, s, {**body, "time": s.clock.now().isoformat()})

    if told:
        s.groups.listen(forward)


def joinings(s: Scenario) -> list[Record]:
    return [record for record in s.journal.records.values() if record.action == "node-joining"]


def ends(s: Scenario) -> list[str]:
    return [how for _, _, how in s.groups.groups["workers"].holds.ended]


async def test_a_scale_up_whose_instances_pass_through_the_hook_works_as_before_and_completes_it() -> None:
    async with scenario() as s:
        hooked(s)
        await s.started()
        record = await s.ended(s.up(by=2))
        assert record.state == State.SUCCEEDED
        await s.until(lambda: ends(s) == ["CONTINUE"] * 2, within=20)
        await s.until(lambda: all(record.state == State.SUCCEEDED for record in joinings(s)))
        group = s.groups.groups["workers"]
        await s.until(lambda: [one.phase for one in group.staying] == [Phase.IN_SERVICE] * 3)


async def test_without_an_event_the_hold_is_found_all_the_same() -> None:
    async with scenario() as s:
        hooked(s, told=False)
        await s.started()
        assert (await s.ended(s.up())).state == State.SUCCEEDED
        await s.until(lambda: ends(s) == ["CONTINUE"], within=40)


async def test_what_boots_longer_than_the_hook_waits_is_kept_by_heartbeats() -> None:
    async with scenario(boot=200.0) as s:
        hooked(s, timeout=60)
        await s.started()
        assert (await s.ended(s.up(), within=300)).state == State.SUCCEEDED
        await s.until(lambda: ends(s) == ["CONTINUE"], within=20)


async def test_a_hold_that_is_over_gets_no_heartbeat_though_its_end_is_written_down_later() -> None:
    async with scenario() as s:
        hooked(s, told=False)
        process = await s.started()

        def lose(call: str) -> None:
            if call == "groups.complete done":
                process.ports.lose_answer("journal.save", *[Unavailable("no answer")] * 3)

        process.ports.watchers.append(lose)
        s.up()
        await s.until(lambda: bool(joinings(s)))
        assert (await s.ended(joinings(s)[0].id)).state == State.SUCCEEDED
        await s.passes(60)
        calls = process.ports.calls
        assert "groups.heartbeat" in calls
        written = calls.index("journal.save", calls.index("groups.complete"))
        assert "groups.heartbeat" not in calls[written:]


async def test_what_never_joins_is_abandoned_and_another_comes() -> None:
    async with scenario(workers=2) as s:
        hooked(s)
        await s.started(reschedule_timeout=100)
        s.launcher.never_joins = 1
        up = s.up()
        await s.until(lambda: ends(s)[:1] == ["ABANDON"], within=150)
        await s.ended(up, within=200)
        first = await s.ended(joinings(s)[0].id)
        assert (first.state, "it was abandoned, and AWS launches another" in first.message) == (State.FAILED, True)
        await s.until(lambda: ends(s) == ["ABANDON", "CONTINUE"], within=150)
        assert len(s.nodes()) == 3


async def test_what_never_joins_is_let_go_before_aws_does_so_though_the_timeout_is_longer() -> None:
    """Heartbeats keep a hold for 100 of its time-outs; what the hook does by default is not what was asked for."""
    async with scenario(workers=2) as s:
        hooked(s, timeout=30)
        await s.started(reschedule_timeout=4000)
        s.launcher.never_joins = 1
        up = s.up()
        await s.until(lambda: ends(s)[:1] == ["ABANDON"], within=3020)
        first = await s.ended(joinings(s)[0].id)
        assert "has not joined the Swarm within 2980 seconds; it was abandoned" in first.message
        await s.ended(up, within=200)


async def test_where_aws_takes_no_heartbeat_the_wait_ends_with_the_hold_and_nothing_is_abandoned() -> None:
    async with scenario(workers=2) as s:
        hooked(s, timeout=60)
        process = await s.started(reschedule_timeout=1000)
        s.launcher.never_joins = 1
        s.up()
        await s.until(lambda: bool(joinings(s)), within=20)
        process.ports.refuse("groups.heartbeat", *[Unavailable("AWS does not answer")] * 100)
        record = await s.ended(joinings(s)[0].id, within=120)
        assert (record.state, ends(s)) == (State.SKIPPED, ["timeout"])
        assert record.message.endswith("AWS does not hold it any more, for want of a heartbeat that AWS took")


async def test_a_down_whose_victim_is_abandoned_meanwhile_accuses_nobody_else() -> None:
    async with scenario(workers=2) as s:
        hooked(s)
        process = await s.started(reschedule_timeout=100)
        s.launcher.never_joins = 1
        up, down = s.up(), s.down()
        complete, tasks = process.ports.hold("groups.complete"), process.ports.hold("swarm.tasks")
        await s.until(lambda: {"groups.complete", "swarm.tasks"} <= set(process.ports.waiting), within=150)
        assert s.record(up).state is State.FAILED
        complete.set()
        await s.until(lambda: ends(s)[:1] == ["ABANDON"])
        tasks.set()
        record = await s.ended(down)
        (victim,) = record.plan["leaving"]
        assert record.state is State.FAILED
        assert f"{victim['name']} has not joined the Swarm and was abandoned meanwhile" in record.message


async def test_who_takes_over_after_the_abandonment_says_that_it_was_abandoned() -> None:
    async with scenario(workers=2) as s:
        hooked(s)
        first = await s.started(reschedule_timeout=100)
        s.launcher.never_joins = 1
        s.up()
        await s.until(lambda: bool(joinings(s)), within=20)
        held = first.ports.hold("groups.complete", after=True)
        await s.until(lambda: ends(s)[:1] == ["ABANDON"], within=150)
        first.ports.kill()
        held.set()
        await s.started(reschedule_timeout=100)
        record = await s.ended(joinings(s)[0].id)
        assert (record.state, "it was abandoned, and AWS launches another" in record.message) == (State.FAILED, True)


async def test_a_release_that_comes_too_late_is_not_said_to_have_been_made() -> None:
    async with scenario(workers=2) as s:
        hooked(s, timeout=60)
        process = await s.started(reschedule_timeout=100)
        s.launcher.never_joins = 1
        s.up()
        await s.until(lambda: any(record.step == "wait" for record in joinings(s)), within=20)
        process.ports.away.add("groups.complete")
        await s.until(lambda: any(record.step == "release" for record in joinings(s)), within=120)
        await s.until(lambda: ends(s) == ["timeout"], within=120)
        process.ports.away.clear()
        record = await s.ended(joinings(s)[0].id)
        assert "AWS had let it go before, as the default of its hook says" in record.message


async def test_the_setting_keeps_what_never_joins() -> None:
    async with scenario(workers=2) as s:
        hooked(s)
        await s.started(reschedule_timeout=100, launch_hook_result="CONTINUE")
        s.launcher.never_joins = 1
        s.up()
        await s.until(lambda: ends(s) == ["CONTINUE"], within=150)


async def test_after_two_in_a_row_the_next_is_kept_and_ups_are_refused_with_the_reason() -> None:
    async with scenario(workers=2) as s:
        hooked(s)
        await s.started(reschedule_timeout=100)
        s.launcher.never_joins = 3
        s.up()
        await s.until(lambda: ends(s) == ["ABANDON", "ABANDON", "CONTINUE"], within=500)
        kept = await s.ended(joinings(s)[-1].id)
        assert "2 before it did not join either" in kept.message
        refused = await s.ended(s.up())
        assert (refused.state, "never joined the Swarm and were abandoned" in refused.message) == (State.FAILED, True)


async def test_of_many_that_come_together_and_never_join_no_more_than_two_are_abandoned() -> None:
    async with scenario(workers=2) as s:
        hooked(s)
        await s.started(reschedule_timeout=100)
        s.launcher.never_joins = 5
        s.up(by=3)
        await s.until(lambda: len(ends(s)) == 5, within=500)  # the two that AWS launched for the abandoned ones, too
        assert ends(s) == ["ABANDON", "ABANDON", "CONTINUE", "CONTINUE", "CONTINUE"]


async def test_another_worker_knows_how_many_were_abandoned_until_one_has_joined() -> None:
    async with scenario(workers=2) as s:
        hooked(s)
        first = await s.started(reschedule_timeout=100)
        s.launcher.never_joins = 3
        s.up()
        await s.until(lambda: ends(s) == ["ABANDON", "ABANDON", "CONTINUE"], within=500)
        first.ports.kill()
        await s.started(reschedule_timeout=100)
        refused = await s.ended(s.up())
        assert (refused.state, "never joined the Swarm and were abandoned" in refused.message) == (State.FAILED, True)
        s.groups.groups["workers"].desired += 1
        s.groups.follow("workers")
        await s.until(lambda: ends(s)[3:] == ["CONTINUE"], within=200)
        await s.at(s.up(), "wait")


async def test_while_docker_does_not_answer_or_scaling_is_paused_nothing_is_abandoned() -> None:
    async with scenario(workers=2) as s:
        hooked(s)
        process = await s.started(reschedule_timeout=100)
        s.launcher.never_joins = 1
        s.up()
        await s.until(lambda: bool(joinings(s)))
        process.ports.away.add("swarm.nodes")
        await s.passes(10)
        process.ports.away.clear()
        await s.until(lambda: ends(s) == ["CONTINUE"], within=200)
        assert "Docker did not answer throughout" in (await s.ended(joinings(s)[0].id)).message
        await s.ended(s.ask("pause"))
        s.launcher.never_joins = 1
        s.groups.groups["workers"].desired += 1
        s.groups.follow("workers")
        await s.until(lambda: ends(s) == ["CONTINUE"] * 2, within=200)


async def test_an_instance_that_some_node_says_it_is_is_never_abandoned() -> None:
    async with scenario(workers=2) as s:
        hooked(s)
        await s.started(reschedule_timeout=100)
        s.launcher.never_joins = 1
        s.up()
        await s.until(lambda: bool(joinings(s)))
        instance = str(joinings(s)[0].request["instance"])
        s.swarm.lose(s.swarm.join("its-engine-died", engine_labels={"instance_id": instance}))
        await s.until(lambda: ends(s) == ["CONTINUE"], within=200)


async def test_an_instance_on_its_way_into_a_warm_pool_goes_on_at_once() -> None:
    async with scenario() as s:
        await s.started()
        body = event("launch_hook", s, s.workers[0], AutoScalingGroupName="workers", Destination="WarmPool")
        (name,) = await taken(s, body)
        assert (await s.ended(name)).message == f"{s.workers[0]} may enter the warm pool"
