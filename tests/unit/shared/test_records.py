"""Records: to an item and back, and what callers are shown."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.records import Record, State, Step
from shared.table import KEPT, Layout, record_of

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(9000, 1, 1)).map(  # noqa: DTZ001 - the zone comes next
    lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000, tzinfo=UTC)
)
TEXT = st.text(max_size=10)
DOCUMENTS = st.dictionaries(TEXT, st.one_of(TEXT, st.integers(), st.none(), st.lists(TEXT)), max_size=3)
RECORDS = st.builds(
    Record,
    id=TEXT,
    action=TEXT,
    requested_at=MOMENTS,
    received_at=st.none() | MOMENTS,
    source=TEXT,
    request=DOCUMENTS,
    state=st.sampled_from(State),
    message=TEXT,
    step=st.none() | TEXT,
    steps=st.lists(st.builds(Step, TEXT, MOMENTS, st.none() | MOMENTS), max_size=3).map(tuple),
    started_at=st.none() | MOMENTS,
    ended_at=st.none() | MOMENTS,
    by=st.none() | st.integers(1, 9),
    nodes_before=st.none() | st.integers(0, 9),
    asked_by=st.none() | DOCUMENTS,
    reason=st.none() | TEXT,
    waiting_for=st.none() | DOCUMENTS,
    limited_by=st.none() | TEXT,
    duplicate_of=st.none() | TEXT,
    warnings=st.lists(TEXT, max_size=2).map(tuple),
    plan=DOCUMENTS,
    notices=st.lists(DOCUMENTS, max_size=2).map(tuple),
    notified=st.booleans(),
    settled=st.booleans(),
    token=st.integers(0, 10**9),
    revision=st.integers(0, 10**9),
)


def record(**more: Any) -> Record:
    return Record(id="r", action="scale-nodes", requested_at=NOON, source="http", request={}, **more)


@given(RECORDS)
def test_a_record_survives_the_table(written: Record) -> None:
    assert record_of(Layout("default").item(written)) == written


@given(RECORDS)
def test_what_is_shown_is_json(written: Record) -> None:
    assert json.loads(json.dumps(written.view())) == written.view()


@given(RECORDS)
def test_only_what_is_settled_leaves_the_index_of_open_ones(written: Record) -> None:
    assert ("open_at" in Layout("default").item(written)) == (not written.settled)


def test_an_item_has_the_keys_that_the_template_declares() -> None:
    item = Layout("blue").item(record(received_at=NOON + timedelta(minutes=1), token=7, revision=3))
    assert item["pk"] == {"S": "cluster#blue"}
    assert item["sk"] == {"S": "request#r"}
    assert item["listed_at"] == item["open_at"] == {"S": "2026-11-22T12:00:00.000Z#r"}
    assert (item["token"], item["revision"]) == ({"N": "7"}, {"N": "3"})
    assert item["expires_at"] == {"N": str(int((NOON + timedelta(minutes=1) + KEPT).timestamp()))}


def test_later_requests_are_listed_after_earlier_ones_in_whatever_zone() -> None:
    moments = ["2026-11-22T12:00:00+02:00", "2026-11-22T10:30:00+00:00", "2026-11-22T06:00:00-05:00"]
    keys = [
        Layout("x").item(record().but(requested_at=datetime.fromisoformat(each)))["listed_at"]["S"] for each in moments
    ]
    assert keys == sorted(keys)


def test_fields_of_a_newer_version_are_kept_and_written_back() -> None:
    step = {**Step("plan", NOON).document(), "cost": 3}
    document = {**record().document(), "mood": "good", "steps": [step], "notices": [{"label": "x"}]}
    assert Record.parse(document).document() == document
    assert Record.parse(document).but(message="on").document() == {**document, "message": "on"}
    assert Record.parse(document).view()["mood"] == "good"


@pytest.mark.parametrize("field", sorted(set(record().document()) - {"id"}))
@pytest.mark.parametrize("change", ["missing", "unreadable"])
def test_one_field_that_is_missing_or_can_not_be_read_costs_no_other(field: str, change: str) -> None:
    times = dict.fromkeys(("received_at", "started_at"), NOON)
    whole = record(message="m", step="wait", steps=(Step("wait", NOON),), state=State.RUNNING, warnings=("w",), **times)
    document = whole.document()
    document.pop(field) if change == "missing" else document.update({field: object()})
    item = {**Layout("x").item(whole), "document": {"S": json.dumps(document, default=lambda _: {"of": "the future"})}}
    read = record_of(item)
    others = {name: value for name, value in whole.document().items() if name != field}
    assert {name: value for name, value in read.document().items() if name != field} == others
    assert (read.id, read.requested_at) == ("r", NOON)
    assert read.state == State.RUNNING


def test_a_moment_without_a_zone_can_not_be_read() -> None:
    assert Record.parse({**record().document(), "started_at": "2026-11-22T12:00:00"}).started_at is None


def test_a_step_and_a_notice_that_can_not_be_read_cost_no_other() -> None:
    document = {
        **record().document(),
        "steps": [Step("plan", NOON).document(), {"name": "x"}],
        "notices": [7, {"a": 1}],
    }
    read = Record.parse(document)
    assert (read.steps, read.notices) == ((Step("plan", NOON),), ({"a": 1},))


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({}, State.QUEUED),
        ({"step": "wait"}, State.RUNNING),
        ({"step": "wait", "ended_at": "2026-11-22T12:00:00Z"}, State.FAILED),
    ],
)
def test_a_state_of_the_future_is_an_end_where_the_request_has_ended(fields: dict[str, str], state: State) -> None:
    assert Record.parse({**record().document(), **fields, "state": "adjourned"}).state == state


def test_the_messages_own_fields_are_shown_but_never_over_ours() -> None:
    view = record(message="done").but(request={"colour": "red", "message": "mine", "state": "mine"}).view()
    assert (view["colour"], view["message"], view["state"]) == ("red", "done", "queued")


@pytest.mark.parametrize(("state", "ended"), [(state, state in {"succeeded", "failed", "skipped"}) for state in State])
def test_three_states_are_ends(state: State, ended: bool) -> None:
    assert state.ended == ended


def test_records_of_the_version_before_are_read() -> None:
    new = ("asked_by", "reason", "waiting_for", "limited_by")
    document = {key: value for key, value in record().document().items() if key not in new}
    assert Record.parse(document) == record()


def test_who_asked_is_the_messages_word_where_the_worker_has_none() -> None:
    asked = {"asked_by": {"user": "ann"}, "reason": "busy"}
    assert record().but(request=asked).view().items() >= asked.items()
    assert record(reason="quiet").but(request=asked).view()["reason"] == "quiet"
    assert record().view().items() >= {"asked_by": None, "reason": None}.items()


def test_an_item_tells_its_state() -> None:
    assert Layout("x").item(record(state=State.FAILED))["state"] == {"S": "failed"}
