"""Templates: those that people write pass as they are; none passes that Prometheus does not take."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from rules import templates
from rules.model import BadLabel
from tests.unit.rules.promtool import needs_promtool, refused

GOOD = [
    "no template at all } } {",
    "{{ $value }} and {{$value}}",
    "{{- $value -}}",
    "{{ $labels.instance }} is at {{ $value | humanizePercentage }}",
    '{{ printf "%.2f" $value }}',
    "{{ if gt $value 0.9 }}high{{ else if eq $value 0.5 }}middle{{ else }}low{{ end }}",
    '{{ with query "up" }}{{ . | first | value | humanize }}{{ end }}',
    '{{ range $i, $e := query "x" }}{{ $i }} {{ $e.Value }} {{ .Labels.instance }}{{ end }}',
    "{{/* a remark */}}{{ $x := 5 }}{{ $x }}",
    '{{ (index (query "x") 0).Value }}',
    "{{ .Value }} {{ $labels }} {{ externalURL }} {{ $externalLabels.a }} {{ `raw` }} {{ not true }}",
    templates.literal("says {{ itself"),
]
BAD = [
    ("{{", "{{ has no }}"),
    ("{{ $value }", "{{ has no }}"),
    ("{{ }}", "{{ }} is empty"),
    ("{{ value_of $value }}", "value_of is no function"),
    ("{{ $x }}", "$x is not known"),
    ("{{ with $y := 1 }}{{ end }}{{ $y }}", "$y is not known"),
    ("{{ $value % }}", "'% '"),
    ("{{ if $value }}a", "if has no end"),
    ("{{ if }}a{{ end }}", "something is missing"),
    ("{{ end }}", "end without if"),
    ("{{ else }}", "else without if"),
    ("{{ if $value }}a{{ else }}b{{ else }}c{{ end }}", "else without if"),
    ("{{ $value | 1 }}", "1 cannot take what comes through the pipe"),
    ("{{ print ( }}", "( without )"),
    ("{{ print ) }}", ") without ("),
    ('{{ print"a" }}', "a space is missing"),
    ('{{ "a" 1 }}', '"a" is no function'),
    ("{{ define 1 }}{{ end }}", "define is no function"),
    ("{{ a := 1 }}", "only a variable stands before :="),
    ("{{ $a, $b := 1 }}", "only a variable stands before :="),
    ("{{/* a */ }}", "'/* a */ '"),
    ("{{ $labels.a-b }}", "'-b '"),
]


@pytest.mark.parametrize("text", GOOD)
def test_what_people_write_passes_as_it_is(text: str) -> None:
    assert templates.checked(text, "alertAnnotations: summary") == text


@pytest.mark.parametrize(("text", "reason"), BAD)
def test_what_prometheus_does_not_take_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(BadLabel) as caught:
        templates.checked(text, "alertAnnotations: summary")
    assert "alertAnnotations: summary: the template is not understood" in str(caught.value)
    assert reason in str(caught.value)


@needs_promtool
def test_what_passes_prometheus_takes_too(tmp_path: Path) -> None:
    assert refused(tmp_path, GOOD, _rule) == []


@needs_promtool
def test_nothing_passes_that_prometheus_does_not_take(tmp_path: Path) -> None:
    draw = random.Random(5)
    texts = ("".join(draw.choice(_PIECES) for _ in range(draw.randint(1, 9))) for _ in range(100_000))
    taken = sorted({text for text in texts if "{{" in text and _passes(text)})
    assert len(taken) > 300
    assert refused(tmp_path, taken, _rule) == []


_PIECES = [
    *("{{", "}}", "{{-", "-}}", "{{ ", " }}", " ", "$value", "$labels", ".x", "(", ")", "|", " | ", '"a"', "1", "-1"),
    *(
        "print",
        "if",
        "else",
        "end",
        "range",
        "with",
        "eq",
        "$i",
        ",",
        ":=",
        ".",
        "query",
        "foo",
        "\n",
        "/*",
        "*/",
        "`b`",
    ),
    *("true", "len", "{", "}", "$", "-", "$labels.a", "{{ if $value }}", "{{ end }}", "{{ else }}", "(print 1).x"),
]


def _passes(text: str) -> bool:
    try:
        templates.checked(text, "x")
    except BadLabel:
        return False
    return True


def _rule(text: str) -> dict[str, Any]:
    return {"alert": "a", "expr": "x", "labels": {"l": text}, "annotations": {"summary": text}}
