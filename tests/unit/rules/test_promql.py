"""Expressions: none is taken that Prometheus does not take, and what people write is taken."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from rules import promql
from rules.model import BadLabel
from tests.unit.rules.promtool import needs_promtool, refused

GOOD = [
    'container_memory_usage_bytes{container_label_com_docker_swarm_service_name="go-demo"} / 2 > 0.8',
    "up == 0",
    "x > 5 # a remark > 3\n and y",
    'x{a="{{ $labels.b }}", c=~"^5..$$"} > bool 1',
    "sum by (a) (rate(x[5m])) / on (a) group_left (b) max without (c) (y offset -5m) > 1e3",
    "max_over_time(rate(x[5m])[1h:]) > 0x1F or vector(1) unless on () absent(y)",
    'label_replace(x, "a", "$1", "b", "(.*)") > Inf',
    "histogram_quantile(0.9, sum by (le) (rate(x_bucket[5m:1m]))) atan2 y",
    "count_values('v', x) > 1 and topk(5, x) and quantile(0.5, x)",
    "time() - x @ 1609746000 > bool 1",
    "x and ignoring (a) y",
    "avg_over_time(x[1d12h] offset 1w) > -1",
    "5",
]
BAD = [
    ("up ==", "not PromQL"),
    ("up{a=", "not PromQL"),
    ("nofunction(x)", "the function nofunction is not in every Prometheus"),
    ("rate(x)", "not PromQL (expected type matrix"),
    ("1 > 2", "not PromQL (comparisons between scalars"),
    ("", "not PromQL"),
    ('"a text"', "neither a text nor a range of samples can fire"),
    ("x[5m]", "neither a text nor a range of samples can fire"),
    ("rate(x[5m])[1h:]", "neither a text nor a range of samples can fire"),
    ('x{a=~"("}', "not PromQL"),
    ('x{a=~"b**"}', "no regular expression (bad repetition operator"),
    ('rate(x{a=~"b{1001}"}[5m]) > 1', "no regular expression (invalid repetition size"),
    (r'x{a!~"\\Cb"}', "not PromQL (illegal regex"),
    ('x{a=~"(?<n>b)"}', "no regular expression of Go's"),
    ("limitk(2, x)", "the function limitk is not in every Prometheus"),
    ("mad_over_time(x[5m]) > 1", "the function mad_over_time is not in every Prometheus"),
    ("x + fill(0) y", "the function fill is not in every Prometheus"),
    ('up{a="b" or c="d"}', "or between matchers is not PromQL"),
    ('{"my.metric"} > 1', 'the quoted name "my.metric" is not in every Prometheus'),
    ('sum by ("my.label") (x)', 'the quoted name "my.label" is not in every Prometheus'),
    ("rate(x[5]) > 1", "a range of time is written like [5m]"),
    ("x offset 5", "offset 5 has no unit"),
    ("x > 5m", "5m stands where a number belongs"),
    ("x > 1e400", "the number 1e400 is too large"),
    ("rate(x[99999999y]) > 1", "a duration: '99999999y' is longer than Prometheus can count"),
    ("x > " + "1" * 10_000, "longer than 10000 characters"),
    *(
        (before * 4000 + "x" + behind * 4000, "more than 500 words")
        for before, behind in [("(", ")"), ("-", ""), ("x+", "")]
    ),
]


@pytest.mark.parametrize("expression", GOOD)
def test_what_prometheus_takes_is_taken(expression: str) -> None:
    assert promql.checked(expression, "alertIf") == expression


@pytest.mark.parametrize(("expression", "reason"), BAD)
def test_what_it_does_not_take_is_refused_with_the_reason(expression: str, reason: str) -> None:
    with pytest.raises(BadLabel) as caught:
        promql.checked(expression, "alertIf")
    assert str(caught.value).startswith(f"alertIf: {reason}")


def test_a_bug_of_the_library_costs_the_expression_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rules.promql.refusal", lambda _words: "")  # which knows of this one
    with pytest.raises(BadLabel, match="its parser gave up"):
        promql.checked(f"rate(x[{'9' * 4999}]) > 1", "alertIf")


@pytest.mark.parametrize(
    "expression",
    [
        "(" * 249 + "x" + ")" * 249,
        "-" * 498 + "x",
        "+".join("x" * 250),
        "^".join("x" * 250),
        "-(" * 160 + "x" + ")" * 160,
    ],
    ids=len,
)
def test_the_deepest_that_is_taken_is_judged_in_no_time(expression: str) -> None:
    began = time.process_time()
    assert promql.checked(expression, "alertIf") == expression
    assert time.process_time() - began < 1


@needs_promtool
def test_what_is_taken_prometheus_takes_too(tmp_path: Path) -> None:
    assert refused(tmp_path, GOOD, _rule) == []


@needs_promtool
def test_nothing_is_taken_that_prometheus_does_not_take(tmp_path: Path) -> None:
    """Expressions that were cut, joined and shuffled: whatever passes here must pass there."""
    draw = random.Random(13)
    taken = [each for each in (_broken(draw) for _ in range(20_000)) if _is_taken(each)]
    assert len(taken) > 500
    assert refused(tmp_path, sorted(set(taken)), _rule) == []


_PIECES = [
    *("x", "y", "(", ")", "{", "}", "[5m]", "[5m:1m]", "[5]", ",", "5", "5m", "1e3", ".5", "0x1F", "Inf", '"a"', "'b'"),
    *(
        'a="b"',
        'a=~"b.*"',
        'a!~"["',
        '"q"',
        "by",
        "on",
        "without",
        "group_left",
        "bool",
        "and",
        "or",
        "unless",
        "offset",
    ),
    *(
        "rate",
        "sum",
        "absent",
        "topk",
        "fill",
        "info",
        "limitk",
        "start",
        "@",
        "-",
        "+",
        ">",
        "==",
        "=~",
        ":",
        "# c",
        "\n",
    ),
    *("rate(x[5m])", "sum by (a) (x)", "x{a='b'}", "x offset 5m", "vector(1)", "label_replace(x, 'a', 'b', 'c', 'd')"),
]


def _broken(draw: random.Random) -> str:
    pieces = [draw.choice(_PIECES) for _ in range(draw.randint(1, 6))]
    good = draw.choice(GOOD)
    place, length = draw.randrange(len(good)), draw.randint(0, 4)
    pieces.append(draw.choice(["", "", good[:place] + draw.choice(_PIECES) + good[place + length :]]))
    draw.shuffle(pieces)
    return draw.choice(["", " "]).join(pieces)


def _is_taken(expression: str) -> bool:
    try:
        promql.checked(expression, "alertIf")
    except BadLabel:
        return False
    return True


def _rule(expression: str) -> dict[str, str]:
    return {"alert": "a", "expr": expression}
