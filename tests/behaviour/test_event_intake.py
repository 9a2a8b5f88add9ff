"""What AWS sends by itself: which of it becomes a record, and what the rest costs."""

import json
from typing import Any

import pytest

from shared.errors import Unavailable
from shared.records import State
from tests.behaviour.happens import counted, event, notified, payload, send, taken
from tests.behaviour.scenario import scenario
from worker.intake.ours import FOREIGN_SECONDS, REMEMBERED
from worker.ports.scaling import Instance, Phase

FOREIGN = "i-0f0f0f0f0f0f0f0f0"


async def test_an_event_is_a_record_like_every_other() -> None:
    async with scenario(workers=2) as s:
        await s.started()
        (name,) = await taken(s, event("state_change", s, s.workers[0]))
        record = s.record(name)
        assert (record.action, record.source, record.type) == ("node-gone", "eventbridge", None)
        assert record.view()["instance"] == s.workers[0]
        assert record.view()["event"]["detail-type"] == "EC2 Instance State-change Notification"
        assert counted(s, "state-change", "taken") == 1


@pytest.mark.parametrize("time", ["2026-11-01T00:12:37Z", "2026-11-01T00:12:37.214Z", "2026-11-01T00:12:37+00:00"])
async def test_times_come_with_and_without_a_fraction(time: str) -> None:
    async with scenario() as s:
        await s.started()
        (name,) = await taken(s, event("state_change", s, s.workers[0], time=time))
        assert s.record(name).requested_at.isoformat().startswith("2026-11-01T00:12:37")


async def test_an_id_is_an_id_also_as_an_arn_and_in_an_sns_envelope() -> None:
    async with scenario() as s:
        await s.started()
        arn = f"arn:aws:ec2:us-east-1:123456789012:instance/{s.workers[0]}"
        (name,) = await taken(s, notified(event("state_change", s, arn)))
        assert s.record(name).request["instance"] == s.workers[0]
        assert s.record(name).source == "eventbridge"


async def test_the_same_event_is_the_same_record() -> None:
    async with scenario() as s:
        await s.started()
        body = event("state_change", s, s.workers[0])
        (name,) = await taken(s, body, body, notified(body))
        assert (await s.ended(name, within=1100)).action == "node-gone"
        assert await taken(s, body) == []


IGNORED: dict[str, Any] = {
    "an unknown detail type": {"source": "aws.ec2", "detail-type": "EC2 Fleet Error", "detail": {}},
    "an unknown source": {"source": "my.shop", "detail-type": "Order", "detail": {"action": "scale-nodes"}},
    "a detail type that is no text": {"source": 7, "detail-type": [], "detail": None},
    "a test notification": payload("test_notification"),
    "another notification of Auto Scaling": {"Event": "autoscaling:EC2_INSTANCE_LAUNCH", "Service": "AWS Auto Scaling"},
    "a state that ends nothing": {
        **payload("state_change"),
        "detail": {"instance-id": "i-0123456789abcdef0", "state": "running"},
    },
}


@pytest.mark.parametrize("sns", [False, True])
@pytest.mark.parametrize("body", IGNORED.values(), ids=IGNORED.keys())
async def test_an_event_is_nobodys_mistake(body: dict[str, Any], sns: bool) -> None:
    async with scenario() as s:
        process = await s.started()
        assert await taken(s, notified(body) if sns else body) == []
        assert (s.inbox.dead, s.told, process.ports.calls.count("journal.create")) == ([], [], 0)
        assert sum(counted(s, kind, "ignored") for kind in ("unknown", "test-notification", "state-change")) == 1


INCOMPLETE: dict[str, tuple[dict[str, Any], str]] = {
    "no detail": ({"detail": None}, "The event EC2 Instance State-change Notification has no detail"),
    "no instance": ({"detail": {"state": "terminated"}}, "The event has no instance-id"),
    "an instance that can be none": (
        {"detail": {"instance-id": "web", "state": "terminated"}},
        "Incorrect instance-id: web (must be an instance's id)",
    ),
    "no state": ({"detail": {"instance-id": "i-0123456789abcdef0"}}, "The event has no state"),
    "a time that can be none": (
        {"time": "yesterday"},
        "Incorrect time: yesterday (must be a moment like 2026-11-24T10:00:00Z)",
    ),
}


@pytest.mark.parametrize(("changed", "reason"), INCOMPLETE.values(), ids=INCOMPLETE.keys())
async def test_a_known_event_that_lacks_what_it_needs_is_a_dead_letter(changed: dict[str, Any], reason: str) -> None:
    async with scenario() as s:
        await s.started()
        assert await taken(s, {**payload("state_change"), **changed}) == []
        assert [letter.error for letter in s.inbox.dead] == [reason]


async def test_a_request_that_a_rule_makes_of_an_event_is_the_request() -> None:
    async with scenario() as s:
        await s.started()
        body = {
            "action": "scale-nodes",
            "scale": "up",
            "type": "worker",
            "detail-type": "Scheduled Event",
            "source": "x",
        }
        (name,) = await taken(s, body)
        assert (await s.ended(name)).state == State.SUCCEEDED


async def test_nobody_can_ask_for_what_only_happens() -> None:
    async with scenario() as s:
        await s.started()
        assert await taken(s, {"action": "node-gone", "instance": s.workers[0], "state": "terminated"}) == []
        assert s.inbox.dead[0].error is not None
        assert s.inbox.dead[0].error.startswith("Unknown action: node-gone")


async def test_somebody_elses_instances_cost_one_look_for_all_and_no_write() -> None:
    async with scenario() as s:
        send(s, *(event("state_change", s, f"i-{number:017x}f") for number in range(1, 11)))
        process = await s.started()
        await s.until(lambda: not s.inbox.waiting)
        calls = process.ports.calls
        # The lookout has looked at the groups, too, as it does every 20 s.
        assert (calls.count("groups.members"), calls.count("journal.create"), calls.count("inbox.discard")) == (2, 0, 1)
        assert (counted(s, "state-change", "foreign"), s.inbox.dead) == (10, [])


async def test_ten_thousand_of_them_keep_neither_the_queue_nor_memory() -> None:
    async with scenario() as s:
        process = await s.started()
        before = s.clock.now()
        send(s, *(event("state_change", s, f"i-{number:016x}f") for number in range(10_000)))
        good = s.ask("reschedule-services")
        await s.until(lambda: not s.inbox.waiting)
        assert (s.clock.now() - before).total_seconds() < 60
        assert (await s.ended(good)).state == State.SUCCEEDED
        calls = process.ports.calls
        assert (calls.count("journal.create"), calls.count("inbox.delete")) == (1, 1)
        assert calls.count("groups.members") <= calls.count("inbox.receive") + 1
        assert counted(s, "state-change", "foreign") == 10_000


async def test_events_that_waited_are_served_by_one_look() -> None:
    async with scenario() as s:
        process = await s.started()
        held = process.ports.hold("inbox.receive", after=True)
        send(s, *(event("state_change", s, f"i-{number:016x}f") for number in range(REMEMBERED + 100)))
        await s.passes(10)
        held.set()
        await s.until(lambda: not s.inbox.waiting)
        assert process.ports.calls.count("groups.members") == 1 + 1  # one is the lookout's


async def test_an_instance_that_is_attached_later_counts_from_then_on() -> None:
    async with scenario() as s:
        await s.started()
        assert await taken(s, event("state_change", s, FOREIGN)) == []
        group = s.groups.groups["workers"]
        group.instances[FOREIGN] = Instance(FOREIGN, Phase.IN_SERVICE, protected=True)
        s.groups.follow("workers")
        await s.passes(FOREIGN_SECONDS)
        assert len(await taken(s, event("state_change", s, FOREIGN))) == 1


async def test_a_nodes_label_makes_an_instance_ours() -> None:
    async with scenario() as s:
        s.swarm.join("elsewhere", "worker", engine_labels={"instance_id": FOREIGN})
        await s.started()
        assert len(await taken(s, event("state_change", s, FOREIGN))) == 1


async def test_while_the_groups_cannot_be_seen_nothing_is_lost() -> None:
    async with scenario() as s:
        process = await s.started()
        process.ports.refuse("groups.members", Unavailable("away"))
        (name,) = await taken(s, event("state_change", s, FOREIGN))
        record = await s.ended(name)
        assert (record.state, record.message) == (
            State.SKIPPED,
            f"{FOREIGN} is no node of the Swarm: there is nothing to remove",
        )


async def test_events_that_could_not_be_deleted_come_again() -> None:
    async with scenario() as s:
        process = await s.started()
        process.ports.refuse("inbox.discard", Unavailable("away"))
        send(s, event("state_change", s, FOREIGN))
        await s.until(lambda: not s.inbox.waiting)
        assert process.ports.calls.count("inbox.discard") == 2


async def test_poison_among_events_is_a_dead_letter_and_stops_nothing() -> None:
    async with scenario() as s:
        await s.started()
        bodies = [json.dumps(event("state_change", s, FOREIGN)), "{", json.dumps({"action": "reschedule-services"})]
        for body in bodies:
            s.inbox.send(body)
        await s.until(lambda: not s.inbox.waiting)
        assert [letter.body for letter in s.inbox.dead] == ["{"]
        await s.until(lambda: any(each.action == "reschedule-services" for each in s.journal.records.values()))
