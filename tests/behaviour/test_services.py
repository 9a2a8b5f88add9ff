"""Replicas and rescheduling."""

import re
from datetime import timedelta

import pytest

from shared.records import State
from tests.behaviour.world import RESCHEDULED, World, world

KEY = "RESCHEDULE_DATE"
LABELS = {"com.df.scaleMin": "2", "com.df.scaleMax": "5"}


def scale(w: World, direction: str, **fields: object) -> str:
    """A scale of the service web."""
    return w.ask("scale-service", **{"service": "web", "scale": direction, **fields})


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
    async with world() as w:
        w.swarm.create("web", replicas, labels=LABELS)
        await w.started()
        record = await w.ended(scale(w, direction, by=by))
        assert (record.state, record.message, w.service("web").replicas) == (state, summary, after)
        said = [("scale_service", "web", "success", f"Scale service {direction}: web", summary)]
        assert w.told == (said if told else [])


@pytest.mark.parametrize(("direction", "switch"), [("up", "alert_scale_max"), ("down", "alert_scale_min")])
@pytest.mark.parametrize("on", [True, False])
async def test_a_bound_is_told_as_its_switch_says(direction: str, switch: str, on: bool) -> None:
    async with world(**{switch: on}) as w:
        w.swarm.create("web", 5 if direction == "up" else 2, labels=LABELS)
        await w.started()
        record = await w.ended(scale(w, direction))
        assert [one[4] for one in w.told] == ([record.message] if on else [])


async def test_what_can_not_be_scaled_says_so() -> None:
    async with world() as w:
        w.swarm.create("web", mode="global")
        await w.started()
        for request, message, name in (
            (scale(w, "up"), "web is a global service (can not be scaled)", "web"),
            (
                scale(w, "up", service="nobody"),
                "docker inspect failed in ScalerService: service nobody not found",
                "nobody",
            ),
        ):
            record = await w.ended(request)
            assert (record.state, record.message) == (State.FAILED, message)
            await w.until(lambda: bool(w.told))
            assert ("scale_service", name, "error", f"Scale service up: {name}", message) in w.told


async def test_labels_beat_defaults_and_the_request_beats_labels_and_bad_labels_warn() -> None:
    async with world(default_scale_service_up_by=1, default_max_replicas=9) as w:
        w.swarm.create("web", 1, labels={"com.df.scaleUpBy": "3", "com.df.scaleMax": "many"})
        await w.started()
        record = await w.ended(scale(w, "up"))
        assert (w.service("web").replicas, record.by) == (4, 3)
        assert record.warnings == (
            "Label com.df.scaleMax=many is not a whole number from 0 to 10000: 9 is used instead",
        )
        assert (await w.ended(scale(w, "up", by=2))).state == State.SUCCEEDED
        assert w.service("web").replicas == 6


async def test_two_requests_for_one_service_both_count() -> None:
    async with world() as w:
        w.swarm.create("web", 1)
        await w.started()
        requests = [scale(w, "up"), scale(w, "up"), scale(w, "down"), scale(w, "up")]
        messages = [(await w.ended(request)).message[:26] for request in requests]
        assert messages == [f"Scaling web from {a} to {b} re" for a, b in ((1, 2), (2, 3), (3, 2), (2, 3))]
        assert w.service("web").replicas == 3


async def test_a_service_is_scaled_at_once_while_nodes_are_awaited_and_another_service_is_stuck() -> None:
    async with world(boot=900.0) as w:
        w.swarm.create("web", 1)
        w.swarm.create("stuck", 1, labels=RESCHEDULED)
        await w.settled("stuck", 1)
        w.swarm.faults.unstoppable_services.add("stuck")
        await w.started()
        await w.at(w.up(), "wait")
        await w.at(w.ask("reschedule-service", service="stuck"), "reschedule")
        await w.passes(5)
        began = w.clock.now()
        assert (await w.ended(scale(w, "up"))).state == State.SUCCEEDED
        assert w.clock.now() - began < timedelta(seconds=1)


async def test_a_service_that_is_removed_while_it_is_being_scaled_fails_with_the_reason() -> None:
    async with world() as w:
        identity = w.swarm.create("web", 1)
        process = await w.started()
        held = process.stage.hold("swarm.update_service")
        request = scale(w, "up")
        await w.until(lambda: bool(process.stage.waiting))
        w.swarm.remove(identity)
        held.set()
        record = await w.ended(request)
        assert record.state == State.FAILED
        assert "not found" in record.message


# --- Rescheduling -----------------------------------------------------------------------------------------------


async def test_all_labelled_services_are_rescheduled() -> None:
    async with world() as w:
        for name in ("web", "api"):
            w.swarm.create(name, 2, labels=RESCHEDULED)
        w.swarm.create("other", 2)
        await w.settled("other", 2)
        await w.started()
        record = await w.ended(w.ask("reschedule-services"))
        assert (record.state, record.message) == (State.SUCCEEDED, "api, web rescheduled")
        assert w.told == [
            (
                *("reschedule_service", "reschedule", "success"),
                *("Rescheduling all labeled services", "api, web rescheduled"),
            )
        ]
        assert w.service("web").update_state == "completed"
        assert re.fullmatch(r"\d{8}T\d{6}", w.service("web").env[KEY])
        assert KEY not in w.service("other").env


async def test_one_service_is_rescheduled_if_it_is_labelled() -> None:
    async with world() as w:
        w.swarm.create("web", 1, labels=RESCHEDULED)
        w.swarm.create("off", 1, labels={"com.df.reschedule": "false"})
        w.swarm.create("bare", 1)
        await w.started()
        for name, state, message in (
            ("web", "succeeded", "Rescheduled service: web"),
            ("off", "failed", "off is not labeled with com.df.reschedule=true (com.df.reschedule=false)"),
            ("bare", "failed", "bare is not labeled with com.df.reschedule=true (no label)"),
        ):
            record = await w.ended(w.ask("reschedule-service", service=name))
            status = "success" if state == "succeeded" else "error"
            assert (record.state, record.message) == (state, message)
            assert w.told[-1] == (
                *("reschedule_service", "reschedule", status),
                *(f"Rescheduling service: {name}", message),
            )
        assert KEY not in w.service("off").env


async def test_no_labelled_service_is_no_failure() -> None:
    async with world() as w:
        await w.started()
        record = await w.ended(w.ask("reschedule-services"))
        assert (record.state, record.message) == (State.SUCCEEDED, "No services to reschedule")
        assert w.told[-1][4] == "No services to reschedule"


async def test_a_paused_update_fails_by_name_and_reason_and_the_others_succeed() -> None:
    async with world() as w:
        for name in ("bad", "web"):
            w.swarm.create(name, 1, labels=RESCHEDULED)
        await w.settled("bad", 1)
        w.swarm.faults.failing_services.add("bad")
        await w.started()
        record = await w.ended(w.ask("reschedule-services"))
        assert record.state == State.FAILED
        assert re.fullmatch(
            r"bad failed to reschedule \(web succeeded\): "
            r"bad: its update is paused: update paused due to failure or early termination of task task-\d+",
            record.message,
        )
        assert w.told[-1][2:] == ("error", "Rescheduling all labeled services", record.message)


@pytest.mark.parametrize("found", ["init", "20990101T000000", "20261101T120500", "", "zzz"])
async def test_the_value_found_never_keeps_a_service_from_being_rescheduled(found: str) -> None:
    async with world() as w:
        w.swarm.create("web", 2, labels=RESCHEDULED, env={KEY: found})
        await w.settled("web", 2)
        await w.started()
        record = await w.ended(w.ask("reschedule-services"))
        assert (record.state, record.message) == (State.SUCCEEDED, "web rescheduled")
        service = w.service("web")
        assert service.update_state == "completed"
        assert service.env[KEY] == record.plan["reschedule"]["stamp"] != found
        assert w.swarm.rollouts[service.id] == 2
        assert found.startswith(("init", "2099", "zzz")) or service.env[KEY] > found


async def test_a_service_that_is_removed_meanwhile_is_not_said_to_be_rescheduled() -> None:
    async with world() as w:
        gone = w.swarm.create("gone", 1, labels=RESCHEDULED)
        w.swarm.create("web", 1, labels=RESCHEDULED)
        process = await w.started()
        held = process.stage.hold("swarm.update_service")
        request = w.ask("reschedule-services")
        await w.until(lambda: len(process.stage.waiting) == 2)
        w.swarm.remove(gone)
        held.set()
        record = await w.ended(request)
        assert (record.state, record.message) == (State.SUCCEEDED, "web rescheduled")


async def test_an_update_that_never_ends_fails_after_the_longest_wait() -> None:
    async with world(reschedule_timeout=50) as w:
        w.swarm.create("web", 1, labels=RESCHEDULED)
        await w.settled("web", 1)
        w.swarm.faults.unstoppable_services.add("web")
        await w.started()
        record = await w.ended(w.ask("reschedule-services"))
        assert record.message == "web failed to reschedule: web: its update has not ended within 50 seconds"


async def test_a_person_who_scales_by_hand_is_not_in_the_way() -> None:
    async with world() as w:
        w.swarm.create("web", 2)
        await w.started()
        await w.ended(scale(w, "up"))
        w.swarm.scale("web", 1)
        record = await w.ended(scale(w, "up"))
        assert record.message == "Scaling web from 1 to 2 replicas (min: 1, max: 5)"
