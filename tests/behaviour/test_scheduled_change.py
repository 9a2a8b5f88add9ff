"""AWS plans something for a machine: people are told once, with the date."""

from typing import Any

import pytest

from shared.records import State
from tests.behaviour.happens import counted, event, taken
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


async def test_a_rebalance_recommendation_is_counted_and_no_more() -> None:
    async with scenario() as s:
        await s.started()
        assert await taken(s, event("rebalance", s, s.workers[0])) == []
        assert counted(s, "rebalance", "ignored") == 1
