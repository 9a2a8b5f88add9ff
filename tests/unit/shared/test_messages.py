"""The wire format: what is read, what is refused, and in which words."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.actions import ACTIONS, RescheduleService, RescheduleServices, ScaleNodes, ScaleService
from shared.errors import InvalidRequest
from shared.fields import MAX_BY
from shared.messages import MAX_REQUEST_BYTES, parse_body, parse_object, parse_request

JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=10)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=5), inner, max_size=4)),
    max_leaves=10,
)
FIELDS = ("action", "scale", "type", "by", "service", "id", "version", "requested_at", "dedup_key", "source", "x")
WORDS = st.sampled_from([*ACTIONS, "up", "down", "worker", "manager", "1", "2026-11-22T12:00:00Z", ""])
REQUESTS = st.dictionaries(st.sampled_from(FIELDS), st.one_of(WORDS, JSON))
NODES = {"action": "scale-nodes", "scale": "up", "type": "worker"}


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ('{"action": "scale-nodes", "scale": "up", "type": "worker", "by": 1}', ScaleNodes),
        ('{"action": "scale-service", "service": "web", "scale": "down", "by": 2}', ScaleService),
        ('{"action": "reschedule-services"}', RescheduleServices),
        ('{"action": "reschedule-service", "service": "web"}', RescheduleService),
    ],
)
def test_the_contracts_four_messages_are_read(body: str, kind: type[object]) -> None:
    assert isinstance(parse_request(parse_body(body)), kind)
    assert isinstance(parse_request(parse_body(body.encode())), kind)


def test_unknown_fields_are_kept() -> None:
    assert parse_request({**NODES, "colour": {"r": 1}}).model_dump()["colour"] == {"r": 1}


def test_everything_optional_is_read() -> None:
    request = parse_request(
        {
            **NODES,
            "id": "i",
            "service": "web",
            "idempotency_key": "k",
            "dedup_key": "d",
            "requested_at": "2026-11-22T12:00:00+01:00",
            "source": "cron",
            "version": 1,
        }
    )
    assert request.requested_at is not None
    assert request.requested_at.isoformat() == "2026-11-22T12:00:00+01:00"


@pytest.mark.parametrize(
    "text", ["2026-11-22T11:00:00Z", "2026-11-22t12:00:00.123456789+01:00", "2026-11-22 11:00:00z"]
)
def test_moments_are_read_as_rfc_3339_writes_them(text: str) -> None:
    moment = parse_request({**NODES, "requested_at": text}).requested_at
    assert moment is not None
    assert moment.timestamp() // 1 == 1795345200


def test_what_is_null_is_not_said() -> None:
    names = ("id", "by", "service", "idempotency_key", "dedup_key", "requested_at", "source", "version")
    assert parse_request({**NODES, **dict.fromkeys(names)}) == parse_request(NODES)


@given(by=st.integers(1, MAX_BY), text=st.booleans())
def test_by_is_a_whole_number_or_its_digits(by: int, text: bool) -> None:
    request = parse_request({**NODES, "by": str(by) if text else by})
    assert isinstance(request, ScaleNodes)
    assert request.by == by


@given(by=st.one_of(st.integers(max_value=0), st.integers(min_value=MAX_BY + 1), st.booleans(), st.floats(), st.text()))
def test_any_other_by_is_refused(by: object) -> None:
    if isinstance(by, str) and by.isascii() and by.isdigit() and 1 <= int(by) <= MAX_BY:
        return
    with pytest.raises(InvalidRequest, match=r"^Incorrect by: .*, by can only be a whole number from 1 to 10000$"):
        parse_request({**NODES, "by": by})


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        (
            {},
            "No action, action can only be one of scale-nodes, scale-service, reschedule-services, reschedule-service",
        ),
        ({"action": "explode"}, "Unknown action: explode, action can only be one of"),
        ({"action": ["x"]}, 'Unknown action: ["x"], action'),
        ({"action": "scale-nodes"}, "No scale direction"),
        ({"action": "scale-nodes", "type": "x"}, "No scale direction"),
        ({"action": "scale-nodes", "scale": "x"}, "Incorrect scale direction"),
        ({"action": "scale-nodes", "scale": None, "type": "worker"}, "No scale direction"),
        ({"action": "scale-nodes", "scale": "up"}, "Incorrect node type: , type can only be worker or manager"),
        ({**NODES, "type": "node"}, "Incorrect node type: node, type can only be worker or manager"),
        ({**NODES, "type": "x" * 200}, f"Incorrect node type: {'x' * 77}..., type can only be worker or manager"),
        ({**NODES, "type": "a\nb"}, "Incorrect node type: a?b, type can only be worker or manager"),
        ({"action": "scale-service", "scale": "up"}, "No service name in request"),
        ({"action": "scale-service", "scale": "up", "service": ""}, "No service name in request"),
        ({"action": "scale-service", "scale": "up", "service": 5}, "Incorrect service name in request"),
        ({"action": "scale-service", "service": "web"}, "No scale direction in request"),
        ({"action": "scale-service", "service": "web", "scale": "x"}, "Incorrect scale direction in request"),
        ({"action": "reschedule-service"}, "No service name in request"),
        *(
            ({**NODES, "version": version}, f"Incorrect version: {json.dumps(version)} (version can only be 1 or 2)")
            for version in (3, 0, True, 1.0)
        ),
        ({**NODES, "version": "1"}, "Incorrect version: 1 (version can only be 1 or 2)"),
        *(
            ({**NODES, "requested_at": moment}, f"Incorrect requested_at: {moment} (must be a moment like")
            for moment in (1_764_000_000, "1764000000", "12:00", "")
        ),
        ({**NODES, "requested_at": "yesterday"}, "Incorrect requested_at: yesterday"),
        ({**NODES, "requested_at": "2026-11-22T12:00:00"}, "Incorrect requested_at"),
        ({**NODES, "requested_at": "0001-01-01T00:00:00Z"}, "Incorrect requested_at"),
        ({**NODES, "id": ""}, "Incorrect id"),
        ({**NODES, "id": 5}, "Incorrect id: 5"),
        ({**NODES, "id": "i" * 257}, "Incorrect id"),
        ({**NODES, "id": "\U0001f680" * 129}, "Incorrect id"),
        ({**NODES, "idempotency_key": "k" * 513}, "Incorrect idempotency_key"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(message: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_request(message)
    assert str(caught.value).startswith(sentence)


@given(REQUESTS)
def test_any_object_is_read_or_refused_in_one_short_line(value: dict[str, Any]) -> None:
    try:
        request = parse_request(value)
    except InvalidRequest as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017 - not everything is refused
        assert len(str(error)) < 400  # noqa: PT017
        return
    again = request.model_dump(mode="json", exclude_unset=True)  # a field that nobody knows may be null
    assert parse_request(again) == request


@given(st.one_of(st.binary(max_size=60), st.text(max_size=60), JSON.map(json.dumps)))
def test_any_body_is_an_object_that_travels_or_refused(body: bytes | str) -> None:
    try:
        value = parse_body(body)
    except InvalidRequest:
        return
    assert json.loads(json.dumps(value).encode()) == value
    unread = {key: item for key, item in value.items() if key not in FIELDS}
    assert json.dumps(unread, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("", "The body is not valid JSON"),
        ("nonsense", "The body is not valid JSON"),
        ("[1]", "The body must be a JSON object, not an array"),
        ("5", "The body must be a JSON object, not a number"),
        ("null", "The body must be a JSON object, not null"),
        ('{"a": NaN}', "The body is not valid JSON: NaN is not JSON"),
        ('{"a": 1e999}', "The body is not valid JSON"),
        ('{"a": ' + "1" * 5000 + "}", "The body is not valid JSON"),
        ("[" * 200_000, "The body is not valid JSON"),
        (b"\xff", "The body is not valid UTF-8"),
        (b'{"a": "\xff"}', "The body is not valid UTF-8 (byte 8)"),
        ('{"a": ' * 101 + "1" + "}" * 101, "The body is nested more than 100 levels deep"),
        ('{"a": ' + "[" * 500 + "]" * 500 + "}", "The body is nested more than 100 levels deep"),
    ],
)
def test_what_is_no_json_object_is_said(body: str | bytes, sentence: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_object(body)
    assert str(caught.value).startswith(sentence)


def test_a_message_may_be_64_kib_long_and_no_longer() -> None:
    fill = MAX_REQUEST_BYTES - len('{"a": ""}')
    assert parse_body(f'{{"a": "{"x" * fill}"}}')
    for body in (f'{{"a": "{"x" * (fill + 1)}"}}', f'{{"a": "{"é" * (fill // 2 + 1)}"}}'.encode()):
        with pytest.raises(InvalidRequest, match="bytes long, 65536 are allowed"):
            parse_body(body)


@pytest.mark.parametrize(
    "body", ["nonsense", "[" * 200_000, '{"a": ' + "1" * 5000 + "}", '{"a": 1e999}', b"\xff", '{"a": -Infinity}']
)
def test_what_is_wrong_with_the_json_is_said_without_python(body: str | bytes) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_object(body)
    for word in ("codec", "recursion", "sys.", "(char", "float", "limit", "inf"):
        assert word not in str(caught.value).lower().replace("-infinity", "")


def test_what_is_nested_a_hundred_levels_deep_is_read() -> None:
    assert parse_object('{"a": ' * 100 + "1" + "}" * 100)
    assert parse_object('{"a": [' + "{}, " * 500 + "{}]}")


@pytest.mark.parametrize("body", ["\ufeff{}", b"\xef\xbb\xbf{}"])
def test_a_byte_order_mark_does_no_harm(body: str | bytes) -> None:
    assert parse_object(body) == {}


def test_a_lone_surrogate_does_no_harm_where_nobody_reads_it() -> None:
    body = parse_body('{"action": "scale-nodes", "scale": "up", "type": "worker", "x": "\\ud800", "\\udfff": 1}')
    assert parse_request(body).action == "scale-nodes"
    assert json.dumps(body, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    "name", ["action", "scale", "type", "by", "service", "id", "idempotency_key", "source", "reason"]
)
def test_a_lone_surrogate_is_refused_where_it_is_read(name: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_request({**NODES, name: "up\ud800"})
    str(caught.value).encode()


@pytest.mark.parametrize(
    "name", ["dryRun", "dry-run", "dryrun", "DRY_RUN", "DryRun", "dry run", "dry_rn", "dryrum", "dry_run2"]
)
@pytest.mark.parametrize("value", [True, "true", False, None])
def test_what_may_mean_a_dry_run_is_never_done(name: str, value: object) -> None:
    with pytest.raises(InvalidRequest, match="a dry run is asked for with dry_run=true in the query, "):
        parse_request({**NODES, name: value})


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"dry_run": True},
            "Incorrect dry_run: true (a dry run takes version 2: an older worker would do what is asked",
        ),
        ({"dry_run": True, "version": 1}, "Incorrect dry_run: true (a dry run takes version 2"),
        ({"dry_run": "true", "version": 2}, "Incorrect dry_run: true ("),
        ({"dry_run": 1, "version": 2}, "Incorrect dry_run: 1 ("),
        ({"action": "resume", "dry_run": True, "version": 2}, "Incorrect dry_run: true (there is no dry run of that)"),
    ],
)
def test_a_dry_run_is_a_boolean_of_version_2(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_request({**NODES, **fields})
    assert str(caught.value).startswith(words)
    assert parse_request({**NODES, "dry_run": True, "version": 2}).dry_run is True
    assert not parse_request({**NODES, "dry_run": False}).dry_run


@pytest.mark.parametrize("name", ["drain", "rerun", "dry", "run", "driver", "dynamic", "running"])
def test_other_unknown_fields_do_no_harm(name: str) -> None:
    assert parse_request({**NODES, name: True}).action == "scale-nodes"


def test_who_asked_and_why_are_read() -> None:
    request = parse_request({**NODES, "asked_by": {"user": "ann"}, "reason": "busy"})
    assert (request.asked_by, request.reason) == ({"user": "ann"}, "busy")
    assert parse_request({**NODES, "asked_by": "ann"}).asked_by is None
    with pytest.raises(InvalidRequest, match=r"^Incorrect reason: 5 "):
        parse_request({**NODES, "reason": 5})


def test_the_error_names_the_field() -> None:
    for message, field in (({"action": "scale-nodes"}, "scale"), ({**NODES, "by": 0}, "by"), ({}, "action")):
        with pytest.raises(InvalidRequest) as caught:
            parse_request(message)
        assert caught.value.field == field
