"""The documents of the journal, between versions."""

from datetime import UTC, datetime
from typing import Any

import pytest

from worker.decisions.readiness import Expectation
from worker.requests.plans import DepartingNode, DownPlan, Intent, Plan, ReplicasPlan, ReschedulePlan, Rollout, UpPlan

NOON = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)
NODE = DepartingNode(instance_id="i-1", name="n", node_id="node-1", availability="pause", manager=True)
FULL: list[Plan] = [
    UpPlan().but(
        expectation=Expectation(target=2, base=1, matching="matched", excluded=("i-9",), ready_before=1),
        applied_at=NOON,
        launch_failure="no capacity",
        ready=2,
        not_counted=("i-9 (drained)",),
        rollout=Rollout(id="r", stamp="20261103T120000"),
    ),
    DownPlan().but(
        nodes=(NODE,),
        slots=(("s", 1),),
        avoiding=("s",),
        demoted={"i-1": NOON},
        intent=Intent(instance_id="i-1", desired=3, at=NOON),
        terminated=("i-2",),
        lost=("x",),
        desired_after=2,
        why="because",
    ),
    ReplicasPlan().but(before=1, after=2, minimum=1, maximum=5),
    ReschedulePlan().but(rollout=Rollout(id="r", stamp="20261103T120000")),
]
FIELDS = [(plan, field) for plan in FULL for field in plan.document()]


@pytest.mark.parametrize("plan", FULL)
def test_a_plan_survives_the_journal(plan: Plan) -> None:
    assert type(plan).parse(plan.document()) == plan


@pytest.mark.parametrize("plan", FULL)
def test_what_this_version_does_not_know_is_written_back(plan: Plan) -> None:
    document = {**plan.document(), "x_future": {"a": [None, 1]}, "y_future": None}
    assert type(plan).parse(document).document() == document
    assert type(plan).parse(document).but().document() == document


@pytest.mark.parametrize(("plan", "field"), FIELDS)
@pytest.mark.parametrize("value", [None, 7.5, {"unlike": []}, [[[]]]])
def test_a_field_that_can_not_be_read_costs_no_other(plan: Plan, field: str, value: Any) -> None:
    read = type(plan).parse({**plan.document(), field: value}).document()
    others = {name: kept for name, kept in plan.document().items() if name != field}
    assert {name: kept for name, kept in read.items() if name in others} == others


def test_an_empty_document_has_the_defaults_and_a_field_without_value_is_not_written() -> None:
    assert DownPlan.parse({}) == DownPlan()
    assert not {"slots", "intent", "left"} & set(DownPlan().document())


def test_those_that_are_not_terminated_remain() -> None:
    plan = DownPlan().but(nodes=(NODE, NODE.but(instance_id="i-2")), terminated=("i-1",))
    assert [node.instance_id for node in plan.remaining] == ["i-2"]
