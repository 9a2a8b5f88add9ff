"""An AWS of the module's own, to deploy stacks on."""

from collections.abc import Iterator

import pytest

from infra.local.aws import EmbeddedAws


@pytest.fixture(scope="module")
def aws() -> Iterator[EmbeddedAws]:
    with EmbeddedAws() as aws:
        yield aws
