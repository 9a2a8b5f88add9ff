"""What the tests of templates, scripts and images share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.local.aws import EmbeddedAws
from tests.infra.machines import Cluster, made_cluster
from tests.real import mark


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slow ones run scripts, emulators and engines as processes."""
    mark(items, Path(__file__).parent, only="slow", modules={"test_slack"})


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
