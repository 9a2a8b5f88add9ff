"""The error boundary: what passes, and what costs one unit of work only."""

import asyncio

import pytest
from structlog.testing import capture_logs

from shared.errors import Refused, Unavailable
from worker.errors import Fenced, LeaseLost, SwarmLost, error_boundary, leadership_end


def test_what_nobody_expected_is_logged_told_and_passed_over() -> None:
    told: list[Exception] = []
    fault = RuntimeError("boom")
    with capture_logs() as logs, error_boundary("it_failed", told.append, expected=(Refused,), request="r"):
        raise fault
    assert told == [fault]
    assert [(line["event"], line["request"], line["log_level"]) for line in logs] == [("it_failed", "r", "error")]


@pytest.mark.parametrize("error", [LeaseLost("x"), Fenced("x"), SwarmLost("x"), Refused("x")])
def test_the_end_of_the_leadership_and_what_was_expected_pass(error: Exception) -> None:
    told: list[Exception] = []
    with pytest.raises(type(error)), error_boundary("it_failed", told.append, expected=(Refused,)):
        raise error
    assert told == []


def test_what_is_expected_elsewhere_is_not_expected_here() -> None:
    told: list[Exception] = []
    with error_boundary("it_failed", told.append, expected=(Refused,)):
        raise Unavailable("x")
    assert len(told) == 1


def test_cancellation_passes() -> None:
    with pytest.raises(asyncio.CancelledError), error_boundary("it_failed"):
        raise asyncio.CancelledError


def test_the_end_of_the_leadership_is_seen_however_deep_it_lies() -> None:
    over = LeaseLost("gone")
    inner = ExceptionGroup("inner", [ValueError("x"), over])
    assert leadership_end(ExceptionGroup("outer", [KeyError("y"), inner])) is over
    assert leadership_end(ExceptionGroup("outer", [ValueError("x")])) is None
