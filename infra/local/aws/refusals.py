"""What the rules of Auto Scaling refuse, as moto answers it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from moto.autoscaling.exceptions import AutoscalingClientError

from infra.local.scaling.refusals import Refusal


@contextmanager
def as_moto_refuses() -> Iterator[None]:
    """For what is asked for in here, or in the function that this decorates."""
    try:
        yield
    except Refusal as refusal:
        raise AutoscalingClientError(refusal.code, str(refusal)) from refusal
