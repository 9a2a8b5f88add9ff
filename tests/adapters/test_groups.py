"""The groups' contract, over memory and over Auto Scaling and EC2."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import pytest
import pytest_asyncio
from localstack_client.session import Session

from infra.local.aws import EmbeddedAws, Size, create_group, create_network
from shared.errors import NotFound, Refused, Unavailable
from tests.adapters.conftest import CALL, unique
from tests.adapters.eventually import eventually
from tests.fakes import InMemoryGroups, LoopClock
from worker.adapters.autoscaling import AwsGroups
from worker.ports.scaling import Group, GroupChanges, Groups, Instance

pytestmark = pytest.mark.asyncio(loop_scope="module")


class AnyGroups(Groups, GroupChanges, Protocol):
    """Both ports."""


@dataclass(frozen=True, slots=True)
class Bench:
    """The groups, and what somebody else does to one: a group of 1 to 4 instances, of which there are 2."""

    groups: AnyGroups
    name: str
    suspend: Callable[[str], None]
    refuse: Callable[[str], None]
    refresh: Callable[[], None]

    async def settled(self) -> Group:
        """Wait until as many instances serve as are desired."""
        return await eventually(
            lambda: self.groups.describe(self.name),
            lambda group: [one.lifecycle for one in group.instances] == ["InService"] * group.desired,
        )


@pytest.fixture(params=["memory_bench", "aws_bench"])
def bench(request: pytest.FixtureRequest) -> Bench:
    """Both."""
    found: Bench = request.getfixturevalue(request.param)
    return found


@pytest_asyncio.fixture(loop_scope="module")
async def memory_bench() -> Bench:
    """The group in memory."""
    groups = InMemoryGroups(LoopClock(datetime.now(UTC)))
    groups.times.launch = groups.times.pending = groups.times.terminate = groups.times.retry = 0.05
    groups.add_group("group", desired=2, min_size=1, max_size=4)
    group = groups.groups["group"]

    def suspend(process: str) -> None:
        group.suspended.add(process)
        groups.follow("group")

    def refuse(reason: str) -> None:
        group.refusal = reason

    def refresh() -> None:
        group.refreshing = True

    return Bench(groups, "group", suspend, refuse, refresh)


@pytest.fixture
def aws_bench(aws: EmbeddedAws, session: Session, autoscaling: Any, ec2: Any) -> Bench:
    """The real thing."""
    name, client = unique("group"), session.client("autoscaling")
    create_group(session, name, Size(1, 4, 2), create_network(session))

    def suspend(process: str) -> None:
        client.suspend_processes(AutoScalingGroupName=name, ScalingProcesses=[process])

    def refuse(reason: str) -> None:
        aws.knobs.set(refuse_launches={name: reason})

    def refresh() -> None:
        client.start_instance_refresh(AutoScalingGroupName=name)

    return Bench(AwsGroups(autoscaling, ec2, CALL), name, suspend, refuse, refresh)


def ids(group: Group) -> set[str]:
    return {instance.id for instance in group.instances}


class TestDescribe:
    async def test_the_group_and_its_instances(self, bench: Bench) -> None:
        group = await bench.settled()
        assert (group.name, group.desired, group.min_size, group.max_size) == (bench.name, 2, 1, 4)
        assert (group.protects_new, group.suspended) == (True, frozenset())
        assert len(ids(group)) == len(group.staying) == 2
        for instance in group.instances:
            assert instance.id.startswith("i-")
            assert instance.protected
            assert instance.zone[-1] in "abc"
            assert instance.private_dns_name.startswith("ip-10-0-")
            assert instance.private_dns_name.endswith(".internal")
            assert instance.launched_at is not None
            assert abs(datetime.now(UTC) - instance.launched_at) < timedelta(minutes=2)

    async def test_an_unknown_group_is_not_found(self, bench: Bench) -> None:
        with pytest.raises(NotFound, match="no-such-group"):
            await bench.groups.describe("no-such-group")

    async def test_a_name_is_no_prefix(self, bench: Bench) -> None:
        with pytest.raises(NotFound):
            await bench.groups.describe(bench.name[:-1])

    async def test_suspended_processes_are_named(self, bench: Bench) -> None:
        bench.suspend("Launch")
        assert (await bench.groups.describe(bench.name)).suspended == {"Launch"}

    async def test_an_instance_refresh_is_seen(self, bench: Bench) -> None:
        await bench.settled()
        assert not await bench.groups.refreshing(bench.name)
        bench.refresh()
        assert await bench.groups.refreshing(bench.name)


class TestRaise:
    async def test_new_instances_come_and_the_old_ones_stay(self, bench: Bench) -> None:
        before = await bench.settled()
        await bench.groups.set_desired(bench.name, 4)
        after = await bench.settled()
        assert after.desired == 4
        assert ids(before) < ids(after)
        assert all(instance.protected for instance in after.instances)

    async def test_the_same_number_again_changes_nothing(self, bench: Bench) -> None:
        before = await bench.settled()
        await bench.groups.set_desired(bench.name, 2)
        assert await bench.settled() == before

    @pytest.mark.parametrize("desired", [0, 5])
    async def test_the_groups_bounds_hold(self, bench: Bench, desired: int) -> None:
        with pytest.raises(Refused) as refused:
            await bench.groups.set_desired(bench.name, desired)
        assert str(desired) in str(refused.value)
        assert (await bench.groups.describe(bench.name)).desired == 2

    async def test_a_launch_that_aws_refuses_shows_in_the_activities(self, bench: Bench) -> None:
        await bench.settled()
        bench.refuse("We currently do not have sufficient t3.micro capacity")
        await bench.groups.set_desired(bench.name, 3)
        activities = await eventually(
            lambda: bench.groups.activities(bench.name), lambda found: bool(found) and found[0].failed_launch
        )
        assert "sufficient t3.micro capacity" in activities[0].reason
        assert activities[0].started_at.tzinfo is not None
        starts = [activity.started_at for activity in activities]
        assert starts == sorted(starts, reverse=True)
        assert (await bench.groups.describe(bench.name)).desired == 3


class TestTerminate:
    async def test_exactly_the_named_one_goes_and_the_capacity_with_it(self, bench: Bench) -> None:
        first, second = sorted(ids(await bench.settled()))
        await bench.groups.terminate(first)
        group = await bench.groups.describe(bench.name)
        assert group.desired == 1
        assert {one.id for one in group.staying} == {second}
        assert ids(await bench.settled()) == {second}

    async def test_it_is_gone_once_ec2_has_terminated_it(self, bench: Bench) -> None:
        first, second = sorted(ids(await bench.settled()))
        assert await bench.groups.gone([first, second]) == frozenset()
        await bench.groups.terminate(first)
        await eventually(lambda: bench.groups.gone([first, second]), lambda gone: gone == {first})

    async def test_its_activity_says_that_the_capacity_went_with_it(self, bench: Bench) -> None:
        first, _ = sorted(ids(await bench.settled()))
        await bench.groups.terminate(first)
        activities = await eventually(
            lambda: bench.groups.activities(bench.name),
            lambda found: any(first in one.description and one.description.startswith("Terminating") for one in found),
        )
        lowered = [one for one in activities if one.lowered_to is not None]
        assert [(first in one.description, one.lowered_to) for one in lowered] == [(True, 1)]

    async def test_its_answer_says_what_capacity_it_left_whatever_the_group_was_described_as(
        self, bench: Bench
    ) -> None:
        first, _ = sorted(ids(await bench.settled()))
        await bench.groups.set_desired(bench.name, 3)
        assert await bench.groups.terminate(first) == 2

    async def test_the_minimum_holds(self, bench: Bench) -> None:
        first, second = sorted(ids(await bench.settled()))
        await bench.groups.terminate(first)
        with pytest.raises(Refused, match="minSize"):
            await bench.groups.terminate(second)
        assert (await bench.settled()).desired == 1

    async def test_an_unknown_instance_is_refused(self, bench: Bench) -> None:
        with pytest.raises(Refused):
            await bench.groups.terminate("i-00000000000000bad")

    async def test_unknown_instances_are_gone(self, bench: Bench) -> None:
        (some, *_) = ids(await bench.settled())
        assert await bench.groups.gone(["i-00000000000000bad", some]) == {"i-00000000000000bad"}
        assert await bench.groups.gone([]) == frozenset()


class TestOverAws:
    async def test_a_group_in_a_crowd_is_found(self, aws_bench: Bench, session: Session) -> None:
        subnets = create_network(session)
        for _ in range(3):
            create_group(session, unique(aws_bench.name), Size(0, 1, 0), subnets)
        assert (await aws_bench.groups.describe(aws_bench.name)).name == aws_bench.name

    async def test_aws_that_is_away_or_throttles_is_unavailable(self, aws: EmbeddedAws, aws_bench: Bench) -> None:
        (some, *_) = ids(await aws_bench.settled())
        aws.knobs.set(errors={"autoscaling": "throttle", "ec2": "throttle"})
        for call in (
            aws_bench.groups.describe(aws_bench.name),
            aws_bench.groups.gone([some]),
            aws_bench.groups.set_desired(aws_bench.name, 3),
            aws_bench.groups.terminate(some),
        ):
            with pytest.raises(Unavailable):
                await call

    async def test_a_raise_whose_answer_was_lost_is_repeated_without_harm(
        self, aws: EmbeddedAws, aws_bench: Bench
    ) -> None:
        await aws_bench.settled()
        aws.knobs.set(lose_answers={"autoscaling.SetDesiredCapacity": 1})
        await aws_bench.groups.set_desired(aws_bench.name, 3)
        assert (await aws_bench.settled()).desired == 3


class StubbedEc2:
    """EC2 with more instances than a page or a filter holds, some of which it does not show yet."""

    def __init__(self, hidden: set[str]) -> None:
        self.hidden = hidden
        self.asked: list[int] = []

    async def describe_instances(self, **arguments: Any) -> dict[str, Any]:
        """Two pages for each question."""
        values = arguments["Filters"][0]["Values"]
        self.asked.append(len(values))
        half = len(values) // 2
        page = values[half:] if arguments.get("NextToken") else values[:half]
        machines = [
            {"InstanceId": one, "State": {"Name": "running"}, "PrivateDnsName": f"{one}.internal"}
            for one in page
            if one not in self.hidden
        ]
        return {"Reservations": [{"Instances": machines}], **({} if arguments.get("NextToken") else {"NextToken": "2"})}


async def test_many_instances_come_in_pages_and_a_new_one_that_ec2_does_not_show_has_empty_fields() -> None:
    members = [f"i-{number}" for number in range(450)]
    described = {
        "AutoScalingGroupName": "large",
        "DesiredCapacity": 450,
        "MinSize": 0,
        "MaxSize": 500,
        "Instances": [{"InstanceId": one, "LifecycleState": "Pending"} for one in members],
    }

    class StubbedAutoScaling:
        async def describe_auto_scaling_groups(self, **_: Any) -> dict[str, Any]:
            return {"AutoScalingGroups": [described]}

    ec2 = StubbedEc2({"i-449"})
    group = await AwsGroups(StubbedAutoScaling(), ec2, CALL).describe("large")
    assert ec2.asked == [200, 200, 200, 200, 50, 50]
    assert [one.id for one in group.instances] == members
    assert group.instances[0].private_dns_name == "i-0.internal"
    assert group.instances[449] == Instance(id="i-449", lifecycle="Pending")


@pytest.mark.parametrize("answer", [{}, {"Activity": {}}, {"Activity": {"Cause": "in response to a user request."}}])
async def test_a_termination_whose_answer_does_not_name_the_capacity_left_says_none(answer: dict[str, Any]) -> None:
    class StubbedAutoScaling:
        async def terminate_instance_in_auto_scaling_group(self, **_: Any) -> dict[str, Any]:
            return answer

    assert await AwsGroups(StubbedAutoScaling(), StubbedEc2(set()), CALL).terminate("i-1") is None
