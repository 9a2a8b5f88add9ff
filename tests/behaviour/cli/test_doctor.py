"""`scaler doctor`: the worker's own check, as lines of a table."""

from __future__ import annotations

import sys

import pytest

from tests.behaviour.cli.server import Run


@pytest.mark.parametrize(
    ("lines", "ends", "code"),
    [
        (["ok    variables: cluster blue", "wrong clock: 12 s ahead"], 1, 1),
        (["ok    variables: cluster blue"], 0, 0),
        ([], 2, 2),
        ([], 1, 1),
    ],
)
def test_the_doctor_says_what_the_check_says(
    scaler: Run, monkeypatch: pytest.MonkeyPatch, lines: list[str], ends: int, code: int
) -> None:
    text = "".join(f"{line}\n" for line in lines)
    script = f"import sys; sys.stdout.write({text!r}); sys.exit({ends})"
    monkeypatch.setattr("cli.commands.doctor._command", lambda: [sys.executable, "-c", script])
    ended = scaler("doctor")
    assert ended.code == code
    assert ended.rows == [[line.split()[0], line.partition(" ")[2].strip()] for line in lines]
    findings = scaler("doctor", "--json").json["findings"]
    assert [each["finding"] for each in findings] == [line.split()[0] for line in lines]


def test_without_a_worker_the_doctor_says_where_there_is_one(scaler: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    monkeypatch.setattr("shutil.which", lambda _name, path=None: None)
    ended = scaler("doctor")
    assert (ended.code, "docker exec" in ended.err) == (1, True)
