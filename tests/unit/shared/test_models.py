"""AWS's models without what nobody reads: what is left is the SDK's own."""

from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.loaders import JSONFileLoader, Loader
from botocore.utils import parse_timestamp

from shared.aws import open_session
from shared.models import Used, timestamp
from worker.process import USED


def model(service: str, used: dict[str, Used] | None = None) -> dict[str, Any]:
    found: dict[str, Any] = (
        open_session(used or {}).get_component("data_loader").load_service_model(service, "service-2")
    )
    return found


def undocumented(part: Any) -> Any:
    if isinstance(part, dict):
        return {k: undocumented(v) for k, v in part.items() if k != "documentation" or not isinstance(v, str)}
    return [undocumented(each) for each in part] if isinstance(part, list) else part


@pytest.mark.parametrize("service", ["sqs", "dynamodb", "autoscaling"])
def test_a_model_is_the_sdks_own_without_its_documentation(service: str) -> None:
    ours = model(service)
    assert ours == undocumented(Loader().load_service_model(service, "service-2"))
    assert "documentation" not in ours["operations"][next(iter(ours["operations"]))]


def test_of_ec2_one_operation_is_left_with_every_shape_that_it_needs() -> None:
    ours, whole = model("ec2", USED), Loader().load_service_model("ec2", "service-2")
    assert set(ours["operations"]) == {"DescribeInstances"}
    assert len(ours["shapes"]) < len(whole["shapes"]) / 50
    assert set(ours["shapes"]["Instance"]["members"]) == set(USED["ec2"].members["Instance"])
    for name, members in USED["ec2"].members.items():
        assert set(members) <= set(whole["shapes"][name]["members"])
    request = undocumented(whole["shapes"]["DescribeInstancesRequest"])
    assert ours["shapes"]["DescribeInstancesRequest"] == request


def test_other_files_of_the_sdk_are_as_they_are() -> None:
    loader = open_session(USED).get_component("data_loader")
    assert loader.load_data("partitions") == Loader().load_data("partitions")
    assert loader.load_service_model("ec2", "paginators-1") == Loader().load_service_model("ec2", "paginators-1")
    assert not loader.file_loader.exists("/no/such/file")
    assert loader.file_loader.load_file("/no/such/file") is None
    assert isinstance(loader.file_loader, JSONFileLoader)


@pytest.mark.parametrize(
    "text",
    [
        *("2026-11-03T12:00:00Z", "2026-11-03T12:00:00.123Z", "2026-11-03T13:00:00+01:00", "20261103T120000Z"),
        *("Tue, 03 Nov 2026 12:00:00 GMT", "1793707200"),
    ],
)
def test_moments_are_read_as_the_sdk_reads_them(text: str) -> None:
    assert timestamp(text) == parse_timestamp(text)
    assert timestamp(text).utcoffset() is not None


def test_numbers_are_seconds() -> None:
    assert timestamp(1793707200.5) == datetime(2026, 11, 3, 12, 0, 0, 500_000, tzinfo=UTC)


def test_what_is_no_moment_is_an_error() -> None:
    with pytest.raises(ValueError, match="Z"):
        timestamp("tomorrowZ")
