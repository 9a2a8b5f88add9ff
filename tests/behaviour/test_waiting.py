"""What an open request waits for stands in its record: what, since when, until when, behind whom, the last error."""

import re
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from shared.clock import parse_rfc3339
from shared.records import State
from tests.behaviour.scenario import RESCHEDULED, Scenario, scenario

WORKERS = ("node.role == worker",)


def waits(s: Scenario, request: str) -> dict[str, Any]:
    return dict(s.record(request).waiting_for or {})


def saves(s: Scenario, request: str) -> int:
    return s.record(request).revision


async def test_a_scale_up_waits_for_its_nodes_until_the_time_out_from_the_first_moment_of_the_wait() -> None:
    async with scenario(boot=30, reschedule_timeout=100) as s:
        await s.started()
        request = s.up()
        record = await s.at(request, "wait")
        assert waits(s, request) == {
            "what": "2 worker nodes to be Ready in the Swarm",
            "since": waits(s, request)["since"],
            "until": waits(s, request)["until"],
            "behind": None,
            "last_error": None,
        }
        since, until = (parse_rfc3339(waits(s, request)[name]) for name in ("since", "until"))
        assert until - since == timedelta(seconds=100)
        assert since <= record.steps[-1].started_at + timedelta(seconds=1)
        await s.passes(20)
        assert saves(s, request) <= record.revision + 1
        ended = await s.ended(request)
        assert (ended.state, ended.waiting_for) == (State.SUCCEEDED, None)


async def test_who_is_queued_says_behind_whom_and_the_one_before_it_is_told_once() -> None:
    async with scenario(workers=3, boot=30) as s:
        s.swarm.create("demo", 2, constraints=WORKERS)
        await s.settled("demo", 2)
        process = await s.started()
        gate = process.ports.hold("groups.terminate")
        first = s.down()
        await s.until(lambda: bool(process.ports.waiting))
        second, third = s.down(id="second"), s.down(id="third")
        await s.passes(8)
        assert [waits(s, each)["behind"] for each in (second, third)] == [first, "second"]
        assert waits(s, third)["what"] == "its turn"
        written = [saves(s, each) for each in (second, third)]
        await s.passes(20)
        assert [saves(s, each) for each in (second, third)] == written
        gate.set()
        assert (await s.ended(first)).waiting_for is None
        assert (await s.ended(third)).waiting_for is None


async def test_requests_about_one_service_say_behind_whom_they_are() -> None:
    async with scenario() as s:
        s.swarm.create("web", 1, labels=RESCHEDULED)
        await s.settled("web", 1)
        s.swarm.faults.unstoppable_services.add("web")
        await s.started()
        first = s.ask("reschedule-service", service="web", id="first")
        await s.at(first, "reschedule")
        second = s.ask("scale-service", service="web", scale="up", id="second")
        await s.passes(8)
        assert waits(s, first)["what"] == "web to be updated"
        assert waits(s, second)["behind"] == first


async def test_a_drain_waits_for_what_ran_there_until_its_time_is_over() -> None:
    async with scenario(workers=2, drain_timeout=40) as s:
        s.swarm.create("demo", 4, constraints=WORKERS)
        await s.settled("demo", 4)
        s.swarm.faults.unstoppable_services.add("demo")
        await s.started()
        request = s.down()
        await s.at(request, "drain")
        await s.passes(10)
        (name,) = (node["name"] for node in s.record(request).plan["leaving"])
        what, _, advice = waits(s, request)["what"].partition("; ")
        assert what == f"what ran on {name} to run elsewhere"
        assert parse_rfc3339(waits(s, request)["since"]) == s.record(request).steps[-1].started_at
        assert re.fullmatch(r"demo\.\d .*, demo\.\d .* was told to stop and has not: look at its container .*", advice)
        written = saves(s, request)
        await s.passes(20)
        assert saves(s, request) == written, "while nothing moves there is nothing new to say"
        until = parse_rfc3339(waits(s, request)["until"])
        assert timedelta(seconds=5) < until - s.clock.now() < timedelta(seconds=15)
        assert (await s.ended(request)).waiting_for is None


@pytest.mark.parametrize("scale", ["up", "down"])
async def test_while_aws_does_not_answer_the_record_says_so_and_people_are_told_once_after_a_minute(scale: str) -> None:
    async with scenario(workers=2) as s:
        process = await s.started()
        process.ports.away.add("groups")
        request = s.up() if scale == "up" else s.down()
        await s.passes(12)
        assert waits(s, request)["what"] == "AWS to answer"
        assert "groups.describe: no answer" in waits(s, request)["last_error"]
        assert s.told == []
        written = saves(s, request)
        await s.passes(120)
        told = ("scale_nodes", "aws", "pending", f"Scale nodes {scale} on: aws, by: 1, type: worker")
        assert [line[:4] for line in s.told] == [told]
        assert "Waiting for AWS to answer for 6" in s.told[0][4]
        assert "groups.describe: no answer" in s.told[0][4]
        assert saves(s, request) <= written + 1
        process.ports.away.clear()
        record = await s.ended(request)
        assert (record.state, record.waiting_for) == (State.SUCCEEDED, None)


async def test_an_outage_in_the_middle_of_a_wait_is_shown_and_then_the_wait_again() -> None:
    async with scenario(boot=200) as s:
        process = await s.started()
        request = s.up()
        await s.at(request, "wait")
        process.ports.away.add("groups")
        await s.passes(100)
        assert waits(s, request)["what"] == "AWS to answer"
        process.ports.away.clear()
        await s.passes(40)
        assert waits(s, request)["what"] == "2 worker nodes to be Ready in the Swarm"
        goes_on = f"No longer waiting for AWS to answer: request {request} goes on"
        assert [line[:3] for line in s.told if line[4] == goes_on] == [("scale_nodes", "aws", "success")]
        assert (await s.ended(request, within=300)).state == State.SUCCEEDED


async def test_while_docker_does_not_answer_the_record_says_so_and_people_are_told_once_and_when_it_goes_on() -> None:
    async with scenario(boot=5) as s:
        s.swarm.create("web", 1)
        process = await s.started()
        gate = process.ports.hold("groups.set_desired")
        request = s.up()
        await s.until(lambda: bool(process.ports.waiting))
        process.ports.away.add("swarm")
        gate.set()
        await s.passes(20)
        assert (waits(s, request)["what"], waits(s, request)["last_error"][:7]) == ("Docker to answer", "Docker:")
        await s.passes(100)
        assert not process.active
        (told,) = (line for line in s.told if "Docker" in line[4])
        assert told[:3] == ("scale_nodes", "aws", "pending")
        assert "Waiting for Docker to answer for 60 seconds" in told[4]
        process.ports.away.clear()
        assert (await s.ended(request, within=300)).state == State.SUCCEEDED
        await s.passes(30)


async def test_nothing_is_told_of_a_docker_that_is_away_where_another_worker_serves_the_request() -> None:
    async with scenario(boot=60) as s:
        process = await s.started()
        s.start()
        request = s.up()
        await s.at(request, "wait")
        process.ports.away.add("swarm")
        assert (await s.ended(request)).state == State.SUCCEEDED
        await s.passes(100)
        assert not [line for line in s.told if "Docker" in line[4]]


async def test_a_rescheduling_that_docker_keeps_waiting_says_so() -> None:
    async with scenario() as s:
        s.swarm.create("web", 1, labels=RESCHEDULED)
        await s.settled("web", 1)
        process = await s.started()
        process.ports.away.add("swarm.update_service")
        request = s.ask("reschedule-service", service="web")
        await s.at(request, "reschedule")
        await s.passes(10)
        assert waits(s, request)["what"] == "Docker to answer"
        await s.passes(70)
        assert [line[:4] for line in s.told] == [
            ("reschedule_service", "reschedule", "pending", "Rescheduling service: web")
        ]
        process.ports.away.clear()
        assert (await s.ended(request)).state == State.SUCCEEDED


async def test_notices_that_were_taken_are_not_told_again_after_a_take_over() -> None:
    async with scenario(boot=60) as s:
        process = await s.started()
        request = s.up()
        await s.at(request, "wait")
        await s.until(lambda: len(s.told) == 2)
        await s.passes(10)
        assert s.record(request).notices == ()
        process.kill()
        s.start()
        await s.ended(request)
        assert [line[2] for line in s.told] == ["success", "pending", "success"]


async def test_a_take_over_keeps_since_when_it_waits() -> None:
    async with scenario(boot=60) as s:
        process = await s.started()
        request = s.up()
        await s.at(request, "wait")
        before = waits(s, request)
        process.kill()
        successor = s.start()
        await s.until(lambda: successor.active)
        await s.passes(10)
        assert waits(s, request)["what"] == before["what"]
        assert abs(parse_rfc3339(waits(s, request)["since"]) - parse_rfc3339(before["since"])) < timedelta(seconds=1)


async def test_a_request_that_waits_for_aws_to_describe_our_last_change_says_so() -> None:
    async with scenario(workers=3) as s:
        s.groups.times.describe_lag = 20.0
        await s.started()
        await s.ended(s.down())
        request = s.down()
        await s.at(request, "plan")
        await s.passes(7)
        assert waits(s, request)["what"] == "AWS to describe workers as it was changed last"
        assert (await s.ended(request)).state == State.SUCCEEDED


async def test_a_demand_that_is_answered_at_once_costs_no_write_for_its_waits() -> None:
    revisions = []
    for away in (True, False):
        async with scenario(workers=5) as s:
            process = await s.started()
            if away:
                process.ports.away.add("alerts")
            record = await s.ended(s.ask("scale-nodes", scale="up", type="worker"))
            revisions.append(record.revision)
            assert (record.state, record.waiting_for) == (State.SKIPPED, None)
    assert revisions[0] == revisions[1]


async def test_steps_are_logged_at_info_with_one_scheme_of_keys_and_a_failed_end_at_error() -> None:
    with capture_logs() as logs:
        async with scenario(boot=500, reschedule_timeout=30) as s:
            await s.started()
            request = s.up()
            assert (await s.ended(request)).state == State.FAILED
    steps = [line for line in logs if line["event"] == "step_entered"]
    assert [line["step"] for line in steps] == ["plan", "apply", "wait"]
    assert all({"request", "step", "waiting_for", "deadline"} <= line.keys() for line in steps)
    assert {(line["request"], line["log_level"]) for line in steps} == {(request, "info")}
    assert (steps[-1]["waiting_for"], bool(steps[-1]["deadline"])) == ("2 worker nodes to be Ready in the Swarm", True)
    (end,) = (line for line in logs if line["event"] == "request_ended")
    assert (end["request"], end["log_level"]) == (request, "error")
