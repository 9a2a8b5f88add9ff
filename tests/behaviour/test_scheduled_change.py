"""AWS plans something for a machine: people are told once, with the date."""

from typing import Any

import pytest

from shared.records import State
from tests.behaviour.happens import counted, event, send, taken
from tests.behaviour.scenario import Scenario, scenario


def retirement(s: Scenario, *instances: str, **detail: Any) -> dict[str, Any]:
    """An event about some instances."""
    entities = [{"entityValue": instance, "status": "PENDING"} for instance in instances]
    return event("health_retirement", s, affectedEntities=entities, **detail)


async def test_it_is_told_once_for_each_event_with_the_date() -> None:
    async with scenario(workers=2) as s:
        await s.started()
        arn = f"arn:aws:ec2:us-east-1:123456789012:instance/{s.workers[0]}"
        (name,) = await taken(s, retirement(s, arn, "i-0f0f0f0f0f0f0f0f0"))
        record = await s.ended(name)
        host = s.host(s.workers[0])
        assert (record.id, record.state) == ("health-1234abc01232a4012345678-1-1", State.SUCCEEDED)
        said = (
            f"AWS plans AWS_EC2_INSTANCE_RETIREMENT_SCHEDULED for {host} ({s.workers[0]}), at 2026-12-10T13:19:03.000Z"
        )
        assert record.message.startswith(said)
        assert await taken(s, retirement(s, s.workers[0])) == []
        (posted,) = s.alerts.posted
        assert (posted.alert.node, posted.alert.status) == (host, "pending")
        assert posted.alert.summary.startswith(said)


@pytest.mark.parametrize(
    "detail", [{"service": "RDS"}, {"eventTypeCategory": "issue"}, {"statusCode": "closed"}, {"backupEvent": "true"}]
)
async def test_what_is_no_news_about_a_machine_is_ignored(detail: dict[str, Any]) -> None:
    async with scenario() as s:
        await s.started()
        assert await taken(s, retirement(s, s.workers[0], **detail)) == []
        assert (counted(s, "health", "ignored"), s.inbox.dead) == (1, [])


async def test_somebody_elses_machines_are_somebody_elses() -> None:
    async with scenario() as s:
        await s.started()
        assert await taken(s, retirement(s, "i-0f0f0f0f0f0f0f0f0")) == []
        assert counted(s, "scheduled-change", "foreign") == 1


@pytest.mark.parametrize(
    ("detail", "reason"),
    [
        ({"affectedEntities": []}, "The event has no affectedEntities"),
        ({"communicationId": None}, "The event has no communicationId"),
        ({"startTime": "soon"}, "Incorrect startTime: soon"),
        ({"affectedEntities": [{"entityValue": "vol-1"}]}, "Incorrect entityValue: vol-1 (must be an instance's id)"),
    ],
)
async def test_one_that_lacks_what_it_needs_is_a_dead_letter(detail: dict[str, Any], reason: str) -> None:
    async with scenario() as s:
        await s.started()
        await taken(s, event("health_retirement", s, **detail))
        assert [letter.error for letter in s.inbox.dead] == [reason]


async def test_where_people_wish_so_the_node_is_replaced_once_for_each_event() -> None:
    async with scenario(workers=2) as s:
        await s.started(scheduled_change_action="replace")
        host = s.host(s.workers[0])
        (name, *_) = await taken(s, retirement(s, s.workers[0], "i-0f0f0f0f0f0f0f0f0"))
        told = await s.ended(name)
        replacement = f"{name}-{s.workers[0]}"
        assert told.message == (
            f"AWS plans AWS_EC2_INSTANCE_RETIREMENT_SCHEDULED for {host} ({s.workers[0]}), at "
            f"2026-12-10T13:19:03.000Z. Replaced by request {replacement}"
        )
        record = await s.ended(replacement)
        assert (record.action, record.state, record.node) == ("replace-node", State.SUCCEEDED, host)
        assert "AWS_EC2_INSTANCE_RETIREMENT_SCHEDULED" in (record.reason or "")
        assert s.workers[0] not in s.groups.groups["workers"].instances
        assert s.desired == [2]
        assert await taken(s, retirement(s, s.workers[0])) == []


async def test_an_event_that_waited_for_a_day_is_as_good_as_a_new_one() -> None:
    async with scenario(workers=2) as s:
        await s.started(scheduled_change_action="replace", request_max_age=60)
        (name, *_) = await taken(s, {**retirement(s, s.workers[0]), "time": "2026-01-01T00:00:00Z"})
        assert (await s.ended(f"{name}-{s.workers[0]}")).state == State.SUCCEEDED


async def test_while_scaling_is_paused_it_is_told_and_not_replaced() -> None:
    async with scenario(workers=2) as s:
        await s.started(scheduled_change_action="replace")
        assert (await s.ended(s.ask("pause"))).state == State.SUCCEEDED
        (name,) = await taken(s, retirement(s, s.workers[0]))
        record = await s.ended(name)
        assert "It is not replaced: Paused since " in record.message
        assert [each.action for each in s.journal.records.values()] == ["pause", "scheduled-change"]


async def test_a_worker_that_dies_right_after_it_has_asked_for_the_replacement_replaces_once() -> None:
    async with scenario(workers=2) as s:
        process = await s.started(scheduled_change_action="replace")
        replacement = f"health-1234abc01232a4012345678-1-1-{s.workers[0]}"

        def die(_call: str) -> None:
            if replacement in s.journal.records:
                process.ports.kill()

        process.ports.watchers.append(die)
        send(s, retirement(s, s.workers[0]))
        await s.until(lambda: replacement in s.journal.records)
        s.start(scheduled_change_action="replace")
        assert (await s.ended(replacement.removesuffix(f"-{s.workers[0]}"))).state == State.SUCCEEDED
        assert (await s.ended(replacement)).state == State.SUCCEEDED
        assert [s.groups.killed.count(s.workers[0]), *s.desired] == [0, 2]
