"""Logs: one JSON line an event, with every secret blanked wherever it stands."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from shared import logs

SECRET = "hunter2"


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_an_event_is_one_line_with_its_fields(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "json")
    structlog.get_logger().info("request_queued", request="r1", by=2)
    structlog.get_logger().debug("not at this level")
    [line] = lines(capsys)
    assert line.items() >= {"event": "request_queued", "request": "r1", "by": 2, "level": "info"}.items()
    assert line["timestamp"].endswith("Z")


def test_the_standard_librarys_logs_come_out_alike(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "json")
    logging.getLogger("sanic.error").error("broken: %s", "pipe")
    logging.getLogger("botocore").info("too noisy")
    [line] = lines(capsys)
    assert (line["event"], line["level"]) == ("broken: pipe", "error")


def test_secrets_are_blanked_wherever_they_stand(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("debug", "json", [SECRET, ""])
    log = structlog.get_logger()
    event = f"token {SECRET}"
    log.info(event, deep={"a": [f"x{SECRET}y", ({"b": SECRET},)]}, error=ValueError(SECRET))
    logging.getLogger("x").warning("said %s", SECRET)
    try:
        int(SECRET)
    except ValueError:
        log.exception("failed")
        logging.getLogger("y").exception("failed")
    shown = capsys.readouterr().err
    assert logs.BLANK in shown
    assert SECRET not in shown


@pytest.mark.parametrize("secret", ['with "quotes"', "back\\slash", "caf\u00e9 \U0001f680", 'a":"b', "tab\there"])
@pytest.mark.parametrize("form", ["json", "text"])
def test_secrets_are_blanked_however_they_are_spelt(secret: str, form: str, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", form, [secret])
    structlog.get_logger().info("tried", token=f"x{secret}y", deep=[{"a": secret}])
    logging.getLogger("x").warning("said %s", secret)
    shown = capsys.readouterr().err
    for spelling in (secret, json.dumps(secret)[1:-1], repr(secret)[1:-1]):
        assert spelling not in shown
    assert form == "text" or [json.loads(line)["level"] for line in shown.splitlines()] == ["info", "warning"]


def test_text_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "text", [SECRET])
    structlog.get_logger().info("request_queued", token=SECRET)
    shown = capsys.readouterr().err
    assert "request_queued" in shown
    assert SECRET not in shown
