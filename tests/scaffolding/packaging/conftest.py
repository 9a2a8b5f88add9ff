"""An AWS that what was gathered for an image calls."""

from collections.abc import Iterator

import pytest

from infra.local.aws import EmbeddedAws


@pytest.fixture(scope="module")
def aws() -> Iterator[EmbeddedAws]:
    with EmbeddedAws() as aws:
        yield aws
