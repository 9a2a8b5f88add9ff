"""Scaling nodes up."""

from typing import Any

import pytest

from shared.errors import Unavailable
from shared.records import State
from tests.behaviour.scenario import RESCHEDULED, Scenario, scenario

ASKED = "Scale nodes up on: aws, by: 1, type: worker"


async def test_a_node_comes_and_the_labelled_services_are_rescheduled() -> None:
    async with scenario() as s:
        s.swarm.create("demo", 6, labels=RESCHEDULED)
        s.swarm.create("other", 1)
        await s.started()
        record = await s.ended(s.up())
        changing = "Changing the number of worker nodes on aws from 1 to 2"
        assert (record.state, record.message) == (
            State.SUCCEEDED,
            f"{changing}; 2 worker nodes are up, demo rescheduled",
        )
        assert [step.name for step in record.steps] == ["plan", "apply", "wait", "reschedule"]
        assert all(step.ended_at is not None for step in record.steps)
        assert (record.nodes_before, record.nodes_after, record.by, record.notified) == (1, 2, 1, True)
        assert s.desired == [1, 2]
        ready = "2 worker nodes are up, demo rescheduled"
        assert s.told == [
            ("scale_nodes", "aws", "success", ASKED, changing),
            (
                *("scale_nodes", "reschedule", "pending", "Wait to reschedule"),
                "Waiting for worker nodes to scale from 1 to 2 for rescheduling",
            ),
            ("reschedule_service", "reschedule", "success", ready, ready),
        ]


def launched_by_hand(s: Scenario, changes: dict[str, Any]) -> None:
    """Write to the workers' group."""
    group = s.groups.groups["workers"]
    for name, value in changes.items():
        setattr(group, name, value)
    s.groups.follow("workers")


@pytest.mark.parametrize("told", [True, False])
async def test_at_the_maximum_nothing_changes_and_the_switch_says_who_hears(told: bool) -> None:
    async with scenario(workers=5, alert_node_max=told, scale_up_cooldown=600) as s:
        await s.started()
        summary = "worker nodes are already scaled to the maximum number of 5 nodes"
        for _ in range(2):
            record = await s.ended(s.up())
            assert (record.state, record.message, record.nodes_after) == (State.SKIPPED, summary, 5)
        await s.passes(3)
        assert set(s.told) == ({("scale_nodes", "aws", "success", ASKED, summary)} if told else set())
        assert s.desired == [5]


async def test_a_group_that_somebody_put_above_our_maximum_stays_there() -> None:
    async with scenario(workers=8) as s:
        await s.started()
        record = await s.ended(s.up())
        assert record.message == "worker nodes are already scaled to the maximum number of 8 nodes"
        assert s.desired == [8]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"suspended": {"Launch"}}, "The process Launch of Auto Scaling group workers is suspended"),
        ({"refreshing": True}, "An instance refresh of Auto Scaling group workers is running"),
        ({"desired": 2, "refusal": "No p5 capacity"}, "AWS could not launch the rest: No p5 capacity"),
        ({"unit": "weights", "max_size": 1}, "Auto Scaling group workers counts its capacity in weights"),
    ],
)
async def test_a_group_that_can_not_launch_gets_no_further_orders(changes: dict[str, Any], words: str) -> None:
    async with scenario() as s:
        await s.started()
        launched_by_hand(s, changes)
        await s.passes(1)
        record = await s.ended(s.up())
        assert record.state == State.FAILED
        assert words in record.message
        assert s.told == [("scale_nodes", "aws", "error", ASKED, record.message)]
        assert s.desired == [1]


async def test_progress_is_told_at_every_tick_and_the_timeout_names_who_never_joined() -> None:
    async with scenario(reschedule_timeout=100, reschedule_ticker_interval=30) as s:
        s.launcher.never_joins = 1
        await s.started()
        record = await s.ended(s.up())
        (missing,) = set(s.groups.groups["workers"].instances) - set(s.workers)
        host = s.groups.groups["workers"].instances[missing].private_dns_name.split(".")[0]
        timeout = "Timeout: waited 100 seconds for 2 worker nodes to activate"
        assert record.state == State.FAILED
        assert f"; {timeout}; never joined the Swarm: {missing} ({host})" in record.message
        assert [one[4] for one in s.told[2:5]] == [
            f"Waited {seconds} seconds for a total of 2 worker nodes to come online" for seconds in (30, 60, 90)
        ]
        assert {one[:4] for one in s.told[2:5]} == {
            ("reschedule_service", "reschedule", "pending", "Waiting for nodes to scale")
        }
        assert s.told[5][:4] == ("reschedule_service", "reschedule", "error", "Waiting for nodes to scale")
        assert s.told[5][4].startswith(timeout)
        assert s.desired == [1, 2]


@pytest.mark.parametrize("delay", [0.1, 4.0, 9.7])
async def test_a_launch_failure_is_told_once_within_fifteen_seconds_while_the_wait_goes_on(delay: float) -> None:
    async with scenario(reschedule_timeout=300) as s:
        process = await s.started()
        s.groups.times.launch = delay
        s.groups.groups["workers"].refusal = "We currently do not have sufficient capacity"
        request = s.up()
        await s.at(request, "wait")
        began = process.clock.now()
        await s.passes(delay - 0.3 if delay > 1 else 0)
        s.swarm.label(s.nodes()[0].id, anything="changed")
        await s.until(lambda: len(s.told) == 3)
        assert (process.clock.now() - began).total_seconds() <= delay + 15
        said = ("reschedule_service", "reschedule", "pending", "Waiting for nodes to scale")
        assert s.told[2][:4] == said
        assert s.told[2][4].startswith(
            "AWS could not launch one of 2 worker nodes: We currently do not have sufficient"
        )
        assert "set the desired capacity back" in s.told[2][4]
        await s.passes(50)
        assert len([one for one in s.told if "sufficient" in one[4]]) == 1
        assert "AWS could not launch an instance: We currently do not have sufficient" in s.record(request).message
        assert "set the desired capacity back" in s.record(request).message
        s.groups.groups["workers"].refusal = None
        assert (await s.ended(request)).state == State.SUCCEEDED


async def test_a_failure_that_comes_right_after_a_look_is_told_in_time_though_events_come_in_between() -> None:
    async with scenario(reschedule_timeout=300) as s:
        process = await s.started()
        s.groups.times.launch = 0.5
        s.groups.groups["workers"].refusal = "No capacity"
        request = s.up()
        await s.at(request, "wait")
        began = process.clock.now()
        await s.passes(9.5)
        s.swarm.label(s.nodes()[0].id, anything="changed")
        await s.until(lambda: len(s.told) == 3)
        assert (process.clock.now() - began).total_seconds() <= 15.5


async def test_desired_lowered_by_somebody_else_is_a_failure_once_describe_can_not_lag_any_more() -> None:
    async with scenario(boot=300.0) as s:
        await s.started()
        request = s.up()
        await s.at(request, "wait")
        await s.passes(5)
        launched_by_hand(s, {"desired": 1})
        record = await s.ended(request, within=45)
        assert record.state == State.FAILED
        assert "Somebody else lowered the desired capacity of workers to 1 while 2 worker nodes" in record.message


async def test_an_instance_that_never_joined_is_not_counted_and_named() -> None:
    async with scenario(workers=1, reschedule_timeout=60) as s:
        s.launcher.never_joins = 1
        await s.started()
        assert (await s.ended(s.up())).state == State.FAILED
        (stuck,) = set(s.groups.groups["workers"].instances) - set(s.workers)
        await s.passes(1)
        record = await s.ended(s.up())
        assert record.state == State.SUCCEEDED
        assert record.message.endswith(f"; not counted: {stuck} (never joined)")
        assert s.desired == [1, 2, 3]


async def test_a_node_that_a_person_drained_counts_as_up() -> None:
    async with scenario(workers=2) as s:
        drained = s.node(s.workers[0])
        s.swarm.set_availability(drained.id, "drain")
        await s.started()
        record = await s.ended(s.up())
        assert record.state == State.SUCCEEDED
        assert "3 worker nodes are up, No services to reschedule" in record.message
        assert record.message.endswith(f"not counted: {drained.hostname} (drained)")


async def test_where_no_node_matches_ready_nodes_are_counted() -> None:
    async with scenario() as s:
        s.launcher.never_joins = 1
        for node in s.nodes():
            s.swarm.disguise(node.id, f"other-{node.id}")
        await s.started()
        await s.passes(2000)
        request = s.up()
        await s.at(request, "wait")
        await s.passes(20)
        s.swarm.join("somebody")
        record = await s.ended(request)
        assert record.state == State.SUCCEEDED
        assert "2 worker nodes are up" in record.message


async def test_the_labels_of_the_alerts_service_beat_the_defaults_and_an_unknown_service_has_none() -> None:
    async with scenario(boot=1.0) as s:
        labels = {"com.df.scaleWorkerNodeUpBy": "2", "com.df.scaleWorkerNodeMax": "3"}
        s.swarm.create("web", 1, labels=labels)
        s.swarm.create("bad", 1, labels={"com.df.scaleWorkerNodeMax": "-1"})
        await s.started()
        record = await s.ended(s.up(service="web"))
        assert (record.by, record.nodes_after) == (2, 3)
        assert s.told[0][3] == "Scale nodes up on: aws, by: 2, type: worker"
        assert (await s.ended(s.up(service="web"))).state == State.SKIPPED
        assert (await s.ended(s.up(service="nobody"))).nodes_after == 4
        record = await s.ended(s.up(service="bad"))
        assert record.nodes_after == 5
        assert record.warnings[0].startswith("Label com.df.scaleWorkerNodeMax=-1 is not a whole number")


async def test_a_group_that_does_not_protect_its_instances_is_warned_about() -> None:
    async with scenario(protects_new=False) as s:
        await s.started()
        record = await s.ended(s.up())
        assert record.state == State.SUCCEEDED
        assert "does not protect new instances from scale-in" in record.warnings[0]


async def test_a_cool_down_is_per_direction_and_begins_when_the_change_has_ended() -> None:
    async with scenario(scale_up_cooldown=60) as s:
        await s.started()
        await s.ended(s.up())
        record = await s.ended(s.up())
        assert record.state == State.SKIPPED
        assert record.message.startswith("Cool-down: the last scale up of worker nodes ended")
        assert (await s.ended(s.down())).state == State.SUCCEEDED
        await s.passes(60)
        assert (await s.ended(s.up())).state == State.SUCCEEDED
        assert s.desired == [1, 2, 1, 2]


async def test_a_request_that_waited_too_long_for_its_turn_is_stale() -> None:
    async with scenario(boot=100.0, request_max_age=60) as s:
        await s.started()
        up = s.up()
        await s.at(up, "wait")
        record = await s.ended(s.down(), within=200)
        assert (await s.ended(up)).state == State.SUCCEEDED
        assert record.state == State.SKIPPED
        assert record.message.startswith("Stale: the request is ")
        assert s.desired == [1, 2]


async def test_a_burst_is_one_scale_with_one_rescheduling_and_a_record_each() -> None:
    times = []
    for burst in (1, 4):
        async with scenario(boot=20.0) as s:
            s.swarm.create("demo", 6, labels=RESCHEDULED)
            await s.started()
            began = s.clock.now()
            requests = [s.up() for _ in range(burst)]
            records = [await s.ended(request) for request in requests]
            times.append((s.clock.now() - began).total_seconds())
            assert [record.state for record in records] == [State.SUCCEEDED] * burst
            assert [record.nodes_after for record in records] == list(range(2, 2 + burst))
            assert s.swarm.rollouts[s.service("demo").id] == 2
            assert s.desired == [1, 1 + burst]
    assert times[1] <= 1.2 * times[0]


@pytest.mark.parametrize(("burst", "gap", "shared"), [(4, 0.5, True), (4, 0.9, False), (8, 0.5, False)])
async def test_nodes_of_a_burst_share_a_rescheduling_if_neither_the_gaps_nor_the_whole_are_long(
    burst: int, gap: float, shared: bool
) -> None:
    async with scenario(boot=5.0, default_max_worker_nodes=9) as s:
        s.swarm.create("demo", 1, labels=RESCHEDULED)
        await s.started()
        requests = []
        for _ in range(burst):
            requests.append(s.up())
            await s.at(requests[-1], "wait")
            await s.passes(gap)
        for request in requests:
            assert (await s.ended(request)).state == State.SUCCEEDED
        assert (s.swarm.rollouts[s.service("demo").id] == 2) is shared


async def test_opposite_and_unlike_requests_wait_their_turn() -> None:
    async with scenario(boot=30.0) as s:
        await s.started()
        first = s.up()
        await s.at(first, "wait")
        down, second, manager = s.down(), s.up(), s.up(type="manager")
        await s.passes(10)
        assert [s.record(one).state for one in (down, second, manager)] == [State.QUEUED] * 3
        for request in (first, down, second, manager):
            assert (await s.ended(request)).state == State.SUCCEEDED
        assert s.desired == [1, 2, 1, 2]


async def test_the_value_of_a_rescheduling_is_later_than_what_it_finds() -> None:
    async with scenario() as s:
        s.swarm.create("demo", 1, labels=RESCHEDULED, env={"RESCHEDULE_DATE": "20261101T130000"})
        await s.started()
        await s.ended(s.up())
        assert s.service("demo").env["RESCHEDULE_DATE"] == "20261101T130001"


async def test_a_service_that_fails_to_reschedule_is_named_and_the_nodes_stay() -> None:
    async with scenario() as s:
        s.swarm.create("demo", 1, labels=RESCHEDULED)
        await s.settled("demo", 1)
        s.swarm.faults.failing_services.add("demo")
        await s.started()
        record = await s.ended(s.up())
        assert record.state == State.FAILED
        assert "2 worker nodes are up, demo failed to reschedule: demo: its update is paused: " in record.message
        assert s.told[-1][:3] == ("reschedule_service", "reschedule", "error")
        assert s.desired == [1, 2]


@pytest.mark.parametrize("lag", [0.0, 5.0, 20.0])
async def test_an_up_right_after_a_down_is_done_however_late_describe_is(lag: float) -> None:
    async with scenario(workers=3) as s:
        await s.started()
        s.groups.times.describe_lag = lag
        assert (await s.ended(s.down())).nodes_after == 2
        record = await s.ended(s.up())
        assert (record.state, record.nodes_before, record.nodes_after) == (State.SUCCEEDED, 2, 3), record.message
        assert s.desired == [3, 2, 3]


@pytest.mark.parametrize("told", [True, False])
async def test_an_up_right_after_a_down_begins_from_what_that_left_though_somebody_had_raised_the_group_unseen(
    told: bool,
) -> None:
    async with scenario(workers=3) as s:
        process = await s.started()
        group = s.groups.groups["workers"]
        group.tells_capacity = told
        gate = process.ports.hold("groups.terminate")
        down = s.down()
        await s.until(lambda: bool(process.ports.waiting))
        s.groups.times.describe_lag = 20.0
        await s.groups.set_desired("workers", 4)
        gate.set()
        ended = await s.ended(down)
        assert not told or ended.nodes_after == 3
        assert "; 2 worker nodes are up, " in ended.message  # the third one boots
        record = await s.ended(s.up())
        assert (record.state, record.nodes_before, record.nodes_after) == (State.SUCCEEDED, 3, 4), record.message
        assert s.desired == [3, 4, 3, 4]


async def test_a_lost_answer_of_the_raise_is_no_second_raise() -> None:
    async with scenario() as s:
        process = await s.started()
        process.ports.lose_answer("groups.set_desired", Unavailable("lost"))
        assert (await s.ended(s.up())).state == State.SUCCEEDED
        assert s.desired == [1, 2]


@pytest.mark.parametrize("taken_over", [False, True])
@pytest.mark.parametrize("way", ["up", "down"])
async def test_a_description_that_goes_back_is_no_base_for_the_next_plan(way: str, taken_over: bool) -> None:
    async with scenario(workers=3, boot=1.0) as s:
        first = await s.started()
        second = s.start()
        assert (await s.ended(s.ask("scale-nodes", scale=way, type="worker"))).state == State.SUCCEEDED
        s.groups.times.describe_lag = 20.0
        if taken_over:
            await first.stop()
            await s.until(lambda: second.active)
        record = await s.ended(s.ask("scale-nodes", scale=way, type="worker"))
        one = 1 if way == "up" else -1
        assert (record.state, record.nodes_before, record.nodes_after) == (State.SUCCEEDED, 3 + one, 3 + 2 * one)
        assert s.desired == [3, 3 + one, 3 + 2 * one]


async def test_a_description_of_before_somebody_lowered_the_group_is_no_raise_that_is_done() -> None:
    async with scenario(workers=3, boot=1.0) as s:
        process = await s.started()
        await s.groups.set_desired("workers", 2)
        gate = process.ports.hold("groups.refreshing")  # asked for beside all else, which the plan reads meanwhile
        request = s.up()
        await s.at(request, "plan")
        writing = process.ports.hold("journal.save")  # of the target
        gate.set()
        await s.until(lambda: "journal.save" in process.ports.waiting)
        s.groups.times.describe_lag = 20.0
        await s.passes(2)  # so the raise is preceded by another look
        writing.set()
        record = await s.ended(request)
        assert (record.state, record.nodes_before, record.nodes_after) == (State.SUCCEEDED, 2, 3), record.message
        assert s.desired == [3, 2, 3]


async def test_what_somebody_else_sets_later_is_the_base_also_right_after_a_change_of_ours() -> None:
    async with scenario(boot=1.0) as s:
        await s.started()
        await s.ended(s.up())
        launched_by_hand(s, {"desired": 4})
        record = await s.ended(s.up())
        assert (record.nodes_before, record.nodes_after) == (4, 5)


async def test_twenty_different_ups_at_once_end_at_the_bound_each_with_a_true_outcome() -> None:
    async with scenario(boot=20.0) as s:
        s.swarm.create("demo", 6, labels=RESCHEDULED)
        await s.started()
        records = [await s.ended(request) for request in [s.up() for _ in range(20)]]
        done = [record for record in records if record.state == State.SUCCEEDED]
        assert sorted(record.nodes_after or 0 for record in done) == [2, 3, 4, 5]
        assert all(f"{record.nodes_after} worker nodes are up, demo rescheduled" in record.message for record in done)
        rest = {(record.state, record.message) for record in records if record not in done}
        assert rest == {(State.SKIPPED, "worker nodes are already scaled to the maximum number of 5 nodes")}
        assert s.desired == [1, 5]  # one raise for all of them


async def test_a_node_of_another_account_is_not_taken_for_the_one_that_is_awaited() -> None:
    async with scenario(workers=0, boot=60.0) as s:
        await s.started()
        request = s.up()
        await s.at(request, "wait")
        s.swarm.join("ip-172-31-0-9", engine_labels={"instance_id": "i-0f0e16a0000000001"})
        await s.passes(30)
        assert s.record(request).step == "wait"
        record = await s.ended(request)
        assert record.state is State.SUCCEEDED
        assert "1 worker node is up" in record.message
        assert len(s.nodes()) == 2
