"""From a POST to a message: what counts, what is refused, and that no input does anything else."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ingest.query import Query
from ingest.translate import Ignored, Post, translate
from ingest.wait import LONGEST, longest_wait
from shared.action import Action
from shared.actions import ACTIONS
from shared.errors import InvalidRequest
from shared.messages import parse_body, parse_request
from tests.fakes.ingest import NOON

WORDS = st.sampled_from(["scale", "type", "by", "service", "wait", "up", "down", "worker", "manager", "node", "1", ""])
TEXT = st.one_of(WORDS, st.text(max_size=20))
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXT, inner, max_size=4)),
    max_leaves=12,
)
LABELS = st.one_of(JSON, st.dictionaries(st.sampled_from(["scale", "type", "by", "service", "other"]), JSON))
ALERTS = st.lists(st.one_of(JSON, st.fixed_dictionaries({"fingerprint": JSON, "startsAt": JSON})), max_size=3)
WEBHOOKS = st.fixed_dictionaries(
    {},
    optional={
        "status": st.one_of(st.sampled_from(["firing", "resolved"]), JSON),
        "groupKey": JSON,
        "groupLabels": LABELS,
        "commonLabels": LABELS,
        "commonAnnotations": st.one_of(JSON, st.dictionaries(st.just("summary"), JSON)),
        "alerts": st.one_of(JSON, ALERTS),
        "other": JSON,
    },
)
BODIES = st.one_of(st.binary(max_size=50), WEBHOOKS.map(lambda value: json.dumps(value).encode()))
QUERIES = st.lists(st.tuples(WORDS, TEXT), max_size=5).map(lambda pairs: Query(tuple(pairs)))


def post(action: str = "scale-nodes", query: str = "", body: Any = None, key: str | None = None) -> Post:
    data = b"" if body is None else json.dumps(body).encode()
    return Post(action=ACTIONS[action], query=Query.parse(query), body=data, idempotency_key=key)


def message(*args: Any, **kwargs: Any) -> dict[str, Any]:
    made = translate(post(*args, **kwargs), "id-1", NOON)
    assert not isinstance(made, Ignored)
    return made


# --- what counts --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["scale", "type", "by", "service"])
@given(places=st.sets(st.sampled_from(["query", "group", "common"]), min_size=1))
def test_query_before_group_labels_before_common_labels(name: str, places: set[str]) -> None:
    values = {"scale": ("up", "down", "up"), "type": ("worker", "manager", "worker")}
    query, group, common = values.get(name, ("1", "2", "3"))
    needed = {"scale": "up", "type": "worker"} | {name: None}
    rest = "&".join(f"{key}={value}" for key, value in needed.items() if value)
    made = message(
        query=f"{rest}&{name}={query if 'query' in places else ''}",
        body={
            "groupLabels": {name: group} if "group" in places else {},
            "commonLabels": {name: common} if "common" in places else {},
        },
    )
    wanted = query if "query" in places else group if "group" in places else common
    assert str(made[name]) == wanted


@pytest.mark.parametrize("empty", ["", None])
def test_an_empty_label_counts_as_absent(empty: str | None) -> None:
    body = {"groupLabels": {"scale": empty}, "commonLabels": {"scale": "down"}}
    assert message(query="type=worker", body=body)["scale"] == "down"


@pytest.mark.parametrize("by", [1, "1", "01", 10000, "10000"])
def test_by_is_a_whole_number_however_it_is_written(by: int | str) -> None:
    assert message(query="scale=up&type=worker", body={"groupLabels": {"by": by}})["by"] == int(by)


def test_the_label_that_routes_the_alert_is_no_error_when_the_query_says_the_type() -> None:
    body = {"groupLabels": {"scale": "up", "type": "node"}}
    assert message(query="type=worker", body=body)["type"] == "worker"
    with pytest.raises(InvalidRequest, match=r"^Incorrect node type: node, type can only be worker or manager$"):
        message(body=body)


def test_only_what_an_action_knows_is_taken() -> None:
    labels = {"scale": "up", "type": "worker", "by": "no", "service": "web"}
    made = message("reschedule-service", body={"groupLabels": labels})
    assert made.keys() == {"action", "service", "id", "requested_at", "source", "version"}
    assert "service" not in message("reschedule-services", body={"groupLabels": labels})


@pytest.mark.parametrize("value", [5, ["x"], {}, "", None])
def test_a_summary_that_is_no_text_is_no_reason(value: Any) -> None:
    assert "reason" not in message(query="scale=up&type=worker", body={"commonAnnotations": {"summary": value}})


def test_a_key_must_be_text_that_json_can_carry() -> None:
    for key in ("caf\udcff", "a\x00b", "a\nb"):
        with pytest.raises(InvalidRequest, match="Idempotency-Key"):
            message(query="scale=up&type=worker", key=key)


# --- any input ----------------------------------------------------------------------------------------------------


@given(action=st.sampled_from(list(ACTIONS.values())), query=QUERIES, body=BODIES, key=st.none() | TEXT)
@example(
    action=ACTIONS["scale-nodes"], query=Query((("scale", "up"), ("type", "worker"))), body=b"\xef\xbb\xbf{}", key=None
)
def test_any_input_is_a_message_that_the_worker_reads_or_ignored_or_refused_in_one_line(
    action: Action, query: Query, body: bytes, key: str | None
) -> None:
    try:
        made = translate(Post(action=action, query=query, body=body, idempotency_key=key), "id-1", NOON)
    except InvalidRequest as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017 - not every input is refused
        return
    if not isinstance(made, Ignored):
        again = parse_request(parse_body(json.dumps(made)))
        assert again.action == action.name
        assert (again.id, again.requested_at) == ("id-1", NOON)


@given(body=WEBHOOKS, query=QUERIES, action=st.sampled_from(list(ACTIONS.values())))
def test_resolved_is_never_a_message(action: Action, query: Query, body: dict[str, Any]) -> None:
    data = json.dumps({**body, "status": "resolved"}).encode()
    try:
        assert isinstance(translate(Post(action=action, query=query, body=data), "id-1", NOON), Ignored)
    except InvalidRequest as error:
        assert "in the body" in str(error)  # noqa: PT017 - what is wrong decides


@given(st.text(alphabet=st.characters(codec="ascii"), max_size=60))
def test_any_query_is_read_or_refused(text: str) -> None:
    try:
        pairs = Query.parse(text).pairs
    except InvalidRequest:
        return
    for name, value in pairs:
        (name + value).encode()


# --- wait ---------------------------------------------------------------------------------------------------------

DEFAULT = timedelta(seconds=7)


@pytest.mark.parametrize(("text", "seconds"), [("0", 0), ("60", 60), ("900", 900), ("0.25", 0.25), ("007", 7)])
def test_wait_in_the_query(text: str, seconds: float) -> None:
    assert longest_wait(Query((("wait", text),)), ["wait=5"], DEFAULT) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ([], 7),
        (["wait=60"], 60),
        (["WAIT = 60"], 60),
        (['wait="60"'], 60),
        (["respond-async, wait=60; x=y"], 60),
        (["respond-async", "wait=60"], 60),
        (["wait=60, wait=70"], 60),
        (["wait=900"], 900),
        (["wait=901"], 7),
        (["wait=1.5"], 7),
        (["wait=-1"], 7),
        (["wait"], 7),
        (["await=60"], 7),
        ([""], 7),
    ],
)
def test_wait_as_a_preference(headers: list[str], seconds: float) -> None:
    assert longest_wait(Query(), headers, DEFAULT) == timedelta(seconds=seconds)


@given(text=TEXT, header=TEXT)
def test_wait_is_never_out_of_bounds(text: str, header: str) -> None:
    try:
        wait = longest_wait(Query((("wait", text),)), [f"wait={header}"], DEFAULT)
    except InvalidRequest as error:
        assert "wait can only be" in str(error)  # noqa: PT017 - any other would be a bug
    else:
        assert timedelta(0) <= wait <= LONGEST
