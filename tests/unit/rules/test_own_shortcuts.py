"""Files of shortcuts: what is wrong with one costs it alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from rules import own_shortcuts

GOOD = '"@good": { expanded: "up > 0" }\n'


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('"@x: [', "the file cannot be read: while scanning"),
        ("- a\n- b\n", "the file is no mapping"),
        ("", "the file is no mapping"),
        ("[" * 20_000, "the file cannot be read"),
        ("a" * 300_000, "the file is larger than 262144 bytes"),
        ("x: { expanded: up }\n" + GOOD, "a shortcut's name is @ and letters"),
        ('"@x": up\n' + GOOD, "it has no text `expanded`"),
        ('"@x": { expanded: [up] }\n' + GOOD, "it has no text `expanded`"),
        ('"@x": { expanded: up, label: { a: b } }\n' + GOOD, "it has label; known are annotations, expanded, labels"),
        ('"@x": { expanded: up, labels: [a] }\n' + GOOD, "its labels are no mapping"),
        ('"@x": { expanded: up, labels: { a-b: c } }\n' + GOOD, "its labels: 'a-b' is no name for a label"),
        ('"@x": { expanded: up, annotations: { "a b": c } }\n' + GOOD, "its annotations: 'a b' is no name for a label"),
        ('"@x": { expanded: up, annotations: { a: { b: c } } }\n' + GOOD, "its annotations are no mapping"),
    ],
)
def test_a_broken_one_is_named_and_the_others_count(text: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "alertif-a").write_text(text)
    (tmp_path / "alertif-b").write_text('"@other": { expanded: up }\n')
    (tmp_path / "not-one").write_text('"@x: [')
    found, problems = own_shortcuts.read(tmp_path)
    assert found.keys() == {"@other", *(["@good"] if GOOD in text else [])}
    [problem] = problems
    assert problem.alert.startswith("alertif-a")
    assert problem.reason.startswith(reason)


def test_without_a_folder_there_are_none() -> None:
    assert own_shortcuts.read(Path("/nowhere")) == ({}, [])


def test_its_placeholders_are_filled_in_and_prometheuss_templates_left(tmp_path: Path) -> None:
    (tmp_path / "alertif-a").write_text(
        '"@x":\n  expanded: up{job="{{.Alert.ServiceName}}"} > {{ index .Values 1 }} * {{ .Alert.Replicas }}\n'
        '  annotations: { summary: "{{ $value }} of {{ index .Values 0 }}" }\n'
    )
    shortcut = own_shortcuts.read(tmp_path)[0]["@x"]
    assert shortcut.filled(shortcut.expression, "web", 3, ["a", "2"]) == 'up{job="web"} > 2 * 3'
    assert shortcut.filled(shortcut.annotations["summary"], "web", 3, ["a", "2"]) == "{{ $value }} of a"
    assert len(shortcut.arguments) == 2
    assert shortcut.counts_replicas()
