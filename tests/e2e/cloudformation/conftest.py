"""An AWS of the module's own, and a cluster on it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.local.aws import EmbeddedAws
from tests.e2e.cloudformation.machines import Cluster, made_cluster


@pytest.fixture(scope="module")
def aws() -> Iterator[EmbeddedAws]:
    """An account of the module's own."""
    with EmbeddedAws() as aws:
        yield aws


@pytest.fixture
def cluster(aws: EmbeddedAws, tmp_path: Path) -> Iterator[Cluster]:
    """A cluster without machines."""
    with made_cluster(aws, tmp_path) as cluster:
        yield cluster
