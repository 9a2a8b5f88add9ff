"""Clocks, and moments as they are written."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, timezone

import pytest

from shared.clock import SystemClock, parse_rfc3339, rfc3339


def test_moments_are_written_in_utc_with_milliseconds() -> None:
    moment = datetime(2026, 11, 22, 12, 0, 0, 123456, tzinfo=timezone(timedelta(hours=2)))
    assert rfc3339(moment) == "2026-11-22T10:00:00.123Z"
    assert parse_rfc3339(rfc3339(moment)) == datetime(2026, 11, 22, 10, 0, 0, 123000, tzinfo=UTC)


def test_nonsense_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="yesterday"):
        parse_rfc3339("yesterday")


def test_the_system_clock_is_in_utc_and_its_uptime_is_that_since_the_boot() -> None:
    clock = SystemClock()
    assert clock.now().utcoffset() == timedelta(0)
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert before <= clock.uptime() <= time.clock_gettime(time.CLOCK_BOOTTIME)
