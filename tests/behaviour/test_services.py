"""Replicas and rescheduling."""

import re
from datetime import timedelta

import pytest

from shared.records import State
from tests.behaviour.scenario import RESCHEDULED, Scenario, scenario

KEY = "RESCHEDULE_DATE"
LABELS = {"com.df.scaleMin": "2", "com.df.scaleMax": "5"}


def scale(s: Scenario, direction: str, **fields: object) -> str:
    """A scale of the service web."""
    return s.ask("scale-service", **{"service": "web", "scale": direction, **fields})


@pytest.mark.parametrize(
    ("replicas", "direction", "by", "after", "state", "summary", "told"),
    [
        (3, "up", 2, 5, "succeeded", "Scaling web from 3 to 5 replicas (min: 2, max: 5)", True),
        (4, "up", 9, 5, "succeeded", "Scaling web from 4 to 5 replicas (min: 2, max: 5)", True),
        (3, "down", 1, 2, "succeeded", "Scaling web from 3 to 2 replicas (min: 2, max: 5)", True),
        (5, "up", 1, 5, "skipped", "web is already scaled to the maximum number of 5 replicas", True),
        (7, "up", 1, 7, "skipped", "web is already scaled to the maximum number of 7 replicas", True),
        (2, "down", 1, 2, "skipped", "web is already descaled to the minimum number of 2 replicas", False),
    ],
)
async def test_a_service_is_scaled_within_its_bounds(
    replicas: int, direction: str, by: int, after: int, state: str, summary: str, told: bool
) -> None:
    async with scenario() as s:
        s.swarm.create("web", replicas, labels=LABELS)
        await s.started()
        record = await s.ended(scale(s, direction, by=by))
        assert (record.state, record.message, s.service("web").replicas) == (state, summary, after)
        said = [("scale_service", "web", "success", f"Scale service {direction}: web", summary)]
        assert s.told == (said if told else [])


@pytest.mark.parametrize(("direction", "switch"), [("up", "alert_scale_max"), ("down", "alert_scale_min")])
@pytest.mark.parametrize("on", [True, False])
async def test_a_bound_is_told_as_its_switch_says(direction: str, switch: str, on: bool) -> None:
    async with scenario(**{switch: on}) as s:
        s.swarm.create("web", 5 if direction == "up" else 2, labels=LABELS)
        await s.started()
        record = await s.ended(scale(s, direction))
        assert [one[4] for one in s.told] == ([record.message] if on else [])


async def test_what_can_not_be_scaled_says_so() -> None:
    async with scenario() as s:
        s.swarm.create("web", mode="global")
        await s.started()
        for request, message, name in (
            (scale(s, "up"), "web is a global service (can not be scaled)", "web"),
            (
                scale(s, "up", service="nobody"),
                "docker inspect failed in ScalerService: service nobody not found",
                "nobody",
            ),
        ):
            record = await s.ended(request)
            assert (record.state, record.message) == (State.FAILED, message)
            await s.until(lambda: bool(s.told))
            assert ("scale_service", name, "error", f"Scale service up: {name}", message) in s.told


async def test_labels_beat_defaults_and_the_request_beats_labels_and_bad_labels_warn() -> None:
    async with scenario(default_scale_service_up_by=1, default_max_replicas=9) as s:
        s.swarm.create("web", 1, labels={"com.df.scaleUpBy": "3", "com.df.scaleMax": "many"})
        await s.started()
        record = await s.ended(scale(s, "up"))
        assert (s.service("web").replicas, record.by) == (4, 3)
        assert record.warnings == (
            "Label com.df.scaleMax=many is not a whole number from 0 to 10000: 9 is used instead",
        )
        assert (await s.ended(scale(s, "up", by=2))).state == State.SUCCEEDED
        assert s.service("web").replicas == 6


async def test_two_requests_for_one_service_both_count() -> None:
    async with scenario() as s:
        s.swarm.create("web", 1)
        await s.started()
        requests = [scale(s, "up"), scale(s, "up"), scale(s, "down"), scale(s, "up")]
        messages = [(await s.ended(request)).message[:26] for request in requests]
        assert messages == [f"Scaling web from {a} to {b} re" for a, b in ((1, 2), (2, 3), (3, 2), (2, 3))]
        assert s.service("web").replicas == 3


async def test_a_service_is_scaled_at_once_while_nodes_are_awaited_and_another_service_is_stuck() -> None:
    async with scenario(boot=900.0) as s:
        s.swarm.create("web", 1)
        s.swarm.create("stuck", 1, labels=RESCHEDULED)
        await s.settled("stuck", 1)
        s.swarm.faults.unstoppable_services.add("stuck")
        await s.started()
        await s.at(s.up(), "wait")
        await s.at(s.ask("reschedule-service", service="stuck"), "reschedule")
        await s.passes(5)
        began = s.clock.now()
        assert (await s.ended(scale(s, "up"))).state == State.SUCCEEDED
        assert s.clock.now() - began < timedelta(seconds=1)


async def test_a_service_that_is_removed_while_it_is_being_scaled_fails_with_the_reason() -> None:
    async with scenario() as s:
        identity = s.swarm.create("web", 1)
        process = await s.started()
        held = process.ports.hold("swarm.update_service")
        request = scale(s, "up")
        await s.until(lambda: bool(process.ports.waiting))
        s.swarm.remove(identity)
        held.set()
        record = await s.ended(request)
        assert record.state == State.FAILED
        assert "not found" in record.message


# --- Rescheduling -----------------------------------------------------------------------------------------------


async def test_all_labelled_services_are_rescheduled() -> None:
    async with scenario() as s:
        for name in ("web", "api"):
            s.swarm.create(name, 2, labels=RESCHEDULED)
        s.swarm.create("other", 2)
        await s.settled("other", 2)
        await s.started()
        record = await s.ended(s.ask("reschedule-services"))
        assert (record.state, record.message) == (State.SUCCEEDED, "api, web rescheduled")
        assert s.told == [
            (
                *("reschedule_service", "reschedule", "success"),
                *("Rescheduling all labeled services", "api, web rescheduled"),
            )
        ]
        assert s.service("web").update_state == "completed"
        assert re.fullmatch(r"\d{8}T\d{6}", s.service("web").env[KEY])
        assert KEY not in s.service("other").env


async def test_one_service_is_rescheduled_if_it_is_labelled() -> None:
    async with scenario() as s:
        s.swarm.create("web", 1, labels=RESCHEDULED)
        s.swarm.create("off", 1, labels={"com.df.reschedule": "false"})
        s.swarm.create("bare", 1)
        await s.started()
        for name, state, message in (
            ("web", "succeeded", "Rescheduled service: web"),
            ("off", "failed", "off is not labeled with com.df.reschedule=true (com.df.reschedule=false)"),
            ("bare", "failed", "bare is not labeled with com.df.reschedule=true (no label)"),
        ):
            record = await s.ended(s.ask("reschedule-service", service=name))
            status = "success" if state == "succeeded" else "error"
            assert (record.state, record.message) == (state, message)
            assert s.told[-1] == (
                *("reschedule_service", "reschedule", status),
                *(f"Rescheduling service: {name}", message),
            )
        assert KEY not in s.service("off").env


async def test_what_is_not_meant_to_run_for_ever_is_passed_over_with_the_reason() -> None:
    async with scenario() as s:
        s.swarm.create("backup", 1, mode="replicated-job", restarts=False, labels=RESCHEDULED)
        s.swarm.create("idle", 0, labels=RESCHEDULED)
        s.swarm.create("once", 1, restarts=False, labels=RESCHEDULED)
        s.swarm.create("web", 1, labels=RESCHEDULED)
        await s.settled("backup", 1)
        await s.started()
        passed = (
            "passed over: backup (a job: it would begin anew), idle (it has no replicas), "
            "once (its tasks are to run once (restart condition none))"
        )
        record = await s.ended(s.ask("reschedule-services"))
        assert (record.state, record.message) == (State.SUCCEEDED, f"web rescheduled; {passed}")
        assert s.told[-1][4] == record.message
        record = await s.ended(s.up())
        assert record.message.endswith(f"2 worker nodes are up, web rescheduled; {passed}")
        assert not {KEY} & (s.service("backup").env.keys() | s.service("once").env.keys())
        record = await s.ended(s.ask("reschedule-service", service="backup"))
        refused = "backup is not rescheduled: a job: it would begin anew"
        assert (record.state, record.message) == (State.FAILED, refused)


async def test_no_labelled_service_is_no_failure() -> None:
    async with scenario() as s:
        await s.started()
        record = await s.ended(s.ask("reschedule-services"))
        assert (record.state, record.message) == (State.SUCCEEDED, "No services to reschedule")
        assert s.told[-1][4] == "No services to reschedule"


async def test_a_paused_update_fails_by_name_and_reason_and_the_others_succeed() -> None:
    async with scenario() as s:
        for name in ("bad", "web"):
            s.swarm.create(name, 1, labels=RESCHEDULED)
        await s.settled("bad", 1)
        s.swarm.faults.failing_services.add("bad")
        await s.started()
        record = await s.ended(s.ask("reschedule-services"))
        assert record.state == State.FAILED
        assert re.fullmatch(
            r"bad failed to reschedule \(web succeeded\): "
            r"bad: its update is paused: update paused due to failure or early termination of task task-\d+",
            record.message,
        )
        assert s.told[-1][2:] == ("error", "Rescheduling all labeled services", record.message)


@pytest.mark.parametrize("found", ["init", "20990101T000000", "20261101T120500", "", "zzz"])
async def test_the_value_found_never_keeps_a_service_from_being_rescheduled(found: str) -> None:
    async with scenario() as s:
        s.swarm.create("web", 2, labels=RESCHEDULED, env={KEY: found})
        await s.settled("web", 2)
        await s.started()
        record = await s.ended(s.ask("reschedule-services"))
        assert (record.state, record.message) == (State.SUCCEEDED, "web rescheduled")
        service = s.service("web")
        assert service.update_state == "completed"
        assert service.env[KEY] == record.plan["reschedule"]["stamp"] != found
        assert s.swarm.rollouts[service.id] == 2
        assert found.startswith(("init", "2099", "zzz")) or service.env[KEY] > found


async def test_a_service_that_is_removed_meanwhile_is_not_said_to_be_rescheduled() -> None:
    async with scenario() as s:
        gone = s.swarm.create("gone", 1, labels=RESCHEDULED)
        s.swarm.create("web", 1, labels=RESCHEDULED)
        process = await s.started()
        held = process.ports.hold("swarm.update_service")
        request = s.ask("reschedule-services")
        await s.until(lambda: len(process.ports.waiting) == 2)
        s.swarm.remove(gone)
        held.set()
        record = await s.ended(request)
        assert (record.state, record.message) == (State.SUCCEEDED, "web rescheduled")


async def test_an_update_that_never_ends_fails_after_the_longest_wait() -> None:
    async with scenario(reschedule_timeout=50) as s:
        s.swarm.create("web", 1, labels=RESCHEDULED)
        await s.settled("web", 1)
        s.swarm.faults.unstoppable_services.add("web")
        await s.started()
        record = await s.ended(s.ask("reschedule-services"))
        assert record.message == "web failed to reschedule: web: its update has not ended within 50 seconds"


async def test_a_person_who_scales_by_hand_is_not_in_the_way() -> None:
    async with scenario() as s:
        s.swarm.create("web", 2)
        await s.started()
        await s.ended(scale(s, "up"))
        s.swarm.scale("web", 1)
        record = await s.ended(scale(s, "up"))
        assert record.message == "Scaling web from 1 to 2 replicas (min: 1, max: 5)"
