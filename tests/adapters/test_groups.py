"""The groups' contract, over memory and over Auto Scaling and EC2."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import pytest
import pytest_asyncio
from localstack_client.session import Session

from infra.local.aws import EmbeddedAws, Size, create_group, create_network
from shared.errors import NotFound, Refused, Unavailable
from tests.adapters.conftest import CALL, unique
from tests.fakes import InMemoryGroups, LoopClock
from tests.waiting import eventually
from worker.adapters import machines
from worker.adapters.autoscaling import AwsGroups
from worker.adapters.machines import Machines
from worker.ports.scaling import Activities, Activity, Fate, Group, GroupChanges, Groups, Instance, Member, Phase

EVER = datetime.min.replace(tzinfo=UTC)
NOW = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)

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
            lambda group: [one.phase for one in group.instances] == [Phase.IN_SERVICE] * group.desired,
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
        assert (group.protects_new, group.launches_suspended, group.terminations_suspended) == (True, False, False)
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

    async def test_suspended_launches_and_terminations_are_told(self, bench: Bench) -> None:
        bench.suspend("Launch")
        group = await bench.groups.describe(bench.name)
        assert (group.launches_suspended, group.terminations_suspended) == (True, False)
        bench.suspend("Terminate")
        group = await bench.groups.describe(bench.name)
        assert (group.launches_suspended, group.terminations_suspended) == (True, True)

    async def test_an_instance_refresh_is_seen(self, bench: Bench) -> None:
        await bench.settled()
        assert not await bench.groups.refreshing(bench.name)
        bench.refresh()
        assert await bench.groups.refreshing(bench.name)


class TestMembers:
    async def test_the_members_of_some_groups_and_where_they_stand(self, bench: Bench) -> None:
        group = await bench.settled()
        found = await bench.groups.members({bench.name, "no-such-group"})
        assert set(found) == {Member(each.id, bench.name, Phase.IN_SERVICE) for each in group.instances}

    async def test_no_names_are_no_groups(self, bench: Bench) -> None:
        assert list(await bench.groups.members(())) == []


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
        assert (await bench.groups.activities(bench.name)).why_not(EVER) is None
        bench.refuse("We currently do not have sufficient t3.micro capacity")
        await bench.groups.set_desired(bench.name, 3)
        activities = await eventually(
            lambda: bench.groups.activities(bench.name), lambda found: found.why_not(EVER) is not None
        )
        assert "sufficient t3.micro capacity" in str(activities.why_not(EVER))
        assert all(activity.started_at.tzinfo is not None for activity in activities.recorded)
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
        assert await bench.groups.gone([first, second], [first, second]) == frozenset()
        await bench.groups.terminate(first)
        await eventually(lambda: bench.groups.gone([first, second], ()), lambda gone: gone == {first})

    async def test_one_that_is_replaced_goes_and_another_comes(self, bench: Bench) -> None:
        before = await bench.settled()
        first, second = sorted(ids(before))
        await bench.groups.replace(first)
        await eventually(
            lambda: bench.groups.activities(bench.name), lambda found: found.fate_of(first) == Fate(lowered_to=None)
        )
        after = await eventually(
            lambda: bench.groups.describe(bench.name),
            lambda group: (
                first not in ids(group)
                and [one.phase for one in group.instances] == [Phase.IN_SERVICE] * before.desired
            ),
        )
        assert (after.desired, second in ids(after)) == (before.desired, True)

    async def test_what_is_no_instance_of_a_group_is_not_replaced(self, bench: Bench) -> None:
        with pytest.raises(Refused):
            await bench.groups.replace("i-00000000000000bad")

    async def test_its_activity_says_that_the_capacity_went_with_it(self, bench: Bench) -> None:
        first, second = sorted(ids(await bench.settled()))
        await bench.groups.terminate(first)
        activities = await eventually(
            lambda: bench.groups.activities(bench.name), lambda found: found.fate_of(first) is not None
        )
        assert activities.fate_of(first) == Fate(lowered_to=1)
        assert activities.fate_of(second) is None

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

    async def test_an_unknown_instance_is_gone_only_if_it_was_a_member(self, bench: Bench) -> None:
        (some, *_) = ids(await bench.settled())
        unknown = "i-00000000000000bad"
        assert await bench.groups.gone([unknown, some], {some}) == frozenset()
        assert await bench.groups.gone([unknown, some], {unknown, some}) == {unknown}
        assert await bench.groups.gone([some], {unknown, some}) == frozenset()
        assert await bench.groups.gone([], [unknown]) == frozenset()


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
            aws_bench.groups.gone([some], [some]),
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
    """EC2 with more instances than a page holds, some of which do not carry their group's tag yet, or do not show."""

    def __init__(self, *, tagged: Sequence[str] = (), hidden: Collection[str] = (), seconds: float = 0.0) -> None:
        self.tagged = tagged
        self.hidden = hidden
        self.pending: Collection[str] = ()
        self.seconds = seconds
        self.asked: list[tuple[str, int]] = []
        """What was filtered by, and how many values that had; each page once."""
        self.told = asyncio.Event()
        """Set with the last page."""

    async def describe_instances(self, **arguments: Any) -> dict[str, Any]:
        """Two pages for each question."""
        wanted = arguments["Filters"][0]
        self.asked.append((wanted["Name"], len(wanted["Values"])))
        await asyncio.sleep(self.seconds)
        found = self.tagged if wanted["Name"].startswith("tag:") else wanted["Values"]
        half = len(found) // 2
        if arguments.get("NextToken"):
            self.told.set()
        page = found[half:] if arguments.get("NextToken") else found[:half]
        machines = [self._described(one) for one in page if one not in self.hidden]
        return {"Reservations": [{"Instances": machines}], **({} if arguments.get("NextToken") else {"NextToken": "2"})}

    def _described(self, one: str) -> dict[str, Any]:
        state = "pending" if one in self.pending else "running"
        return {"InstanceId": one, "State": {"Name": state}, "PrivateDnsName": f"{one}.internal", "LaunchTime": NOW}


class LargeGroup:
    """One group whose instances are pending."""

    def __init__(self, members: Sequence[str]) -> None:
        self.members = members
        self.answered = asyncio.Event()

    async def describe_auto_scaling_groups(self, **_: Any) -> dict[str, Any]:
        """It."""
        await self.answered.wait()
        described = {
            "AutoScalingGroupName": "large",
            "DesiredCapacity": 450,
            "MinSize": 0,
            "MaxSize": 500,
            "Instances": [{"InstanceId": one, "LifecycleState": "Pending"} for one in self.members],
        }
        return {"AutoScalingGroups": [described]}


MANY = [f"i-{number}" for number in range(450)]
TAG = "tag:aws:autoscaling:groupName"


async def test_a_groups_instances_come_in_pages_while_the_group_is_described_and_only_new_ones_are_asked_for() -> None:
    ec2, autoscaling = StubbedEc2(tagged=[*MANY[:448], "i-gone"], hidden={"i-449"}), LargeGroup(MANY)
    describing = asyncio.ensure_future(AwsGroups(autoscaling, ec2, CALL).describe("large"))
    await asyncio.wait_for(ec2.told.wait(), 5)  # all pages, though the group is not described yet
    autoscaling.answered.set()
    group = await describing
    assert ec2.asked == [(TAG, 1), (TAG, 1), ("instance-id", 2), ("instance-id", 2)]
    assert [one.id for one in group.instances] == MANY
    assert [group.instances[number].private_dns_name for number in (0, 448)] == ["i-0.internal", "i-448.internal"]
    assert group.instances[449] == Instance(id="i-449", phase=Phase.PENDING)


@pytest.fixture
def large() -> tuple[StubbedEc2, LargeGroup, AwsGroups]:
    """A group of 450 that has been described once: one instance was hidden then, and one pending."""
    ec2, autoscaling = StubbedEc2(tagged=MANY, hidden={"i-449"}), LargeGroup(MANY)
    ec2.pending = {"i-448"}
    autoscaling.answered.set()
    return ec2, autoscaling, AwsGroups(autoscaling, ec2, CALL)


Large = tuple[StubbedEc2, LargeGroup, AwsGroups]
TWO_PAGES = 2


async def test_what_identifies_an_instance_that_runs_is_read_once(large: Large) -> None:
    """Only those are asked about again that were not settled: both are now."""
    ec2, _, groups = large
    before = await groups.describe("large")
    assert [one.id for one in before.instances if not one.private_dns_name] == ["i-449"]
    ec2.asked.clear()
    ec2.hidden, ec2.pending = (), ()
    after = await groups.describe("large")
    assert ec2.asked == [("instance-id", 2)] * TWO_PAGES
    assert {one.private_dns_name for one in after.instances} == {f"{one}.internal" for one in MANY}
    ec2.asked.clear()
    assert await groups.describe("large") == after
    assert ec2.asked == []


async def test_a_new_member_is_asked_about_and_one_that_has_left_is_not(large: Large) -> None:
    ec2, autoscaling, groups = large
    await groups.describe("large")
    ec2.asked.clear()
    ec2.hidden, ec2.pending = (), ()
    autoscaling.members = [*MANY[1:448], "i-450"]
    group = await groups.describe("large")
    assert ("instance-id", 1) in ec2.asked
    assert {name for name, _ in ec2.asked} == {"instance-id"}
    assert [one.id for one in group.instances] == autoscaling.members
    assert group.instances[-1].private_dns_name == "i-450.internal"
    ec2.asked.clear()
    autoscaling.members = MANY[:1]
    await groups.describe("large")
    assert ec2.asked == [("instance-id", 1)] * TWO_PAGES, "what had left the group was not kept"


async def test_all_are_read_anew_after_a_minute(large: Large, monkeypatch: pytest.MonkeyPatch) -> None:
    ec2, _, groups = large
    await groups.describe("large")
    ec2.asked.clear()
    monkeypatch.setattr(machines, "KEPT", timedelta())
    await groups.describe("large")
    assert ec2.asked[:TWO_PAGES] == [(TAG, 1)] * TWO_PAGES


async def test_whether_an_instance_is_gone_is_always_asked_anew(large: Large) -> None:
    ec2, _, groups = large
    await groups.describe("large")
    ec2.hidden = {"i-1"}
    assert await groups.gone(["i-1", "i-2"], {"i-1", "i-2"}) == {"i-1"}


async def test_named_instances_are_asked_for_in_filters_of_their_longest_all_at_once() -> None:
    ec2 = StubbedEc2()
    asking = asyncio.ensure_future(Machines(ec2, CALL).named(MANY))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert ec2.asked == [("instance-id", 200), ("instance-id", 200), ("instance-id", 50)]
    assert sorted(await asking) == sorted(MANY)


@pytest.mark.parametrize(("calls", "text"), [(0.5, "no answer in time"), (4.0, None)])
async def test_each_page_has_the_time_of_a_call(calls: float, text: str | None) -> None:
    ec2 = StubbedEc2(tagged=MANY, seconds=0.05)
    asking = Machines(ec2, timedelta(seconds=0.05 * calls)).of_group("large")
    if text is None:
        assert len(await asking) == 450
    else:
        with pytest.raises(Unavailable, match="DescribeInstances"):
            await asking


@pytest.mark.parametrize("answer", [{}, {"Activity": {}}, {"Activity": {"Cause": "in response to a user request."}}])
async def test_a_termination_whose_answer_does_not_name_the_capacity_left_says_none(answer: dict[str, Any]) -> None:
    class Terminates:
        async def terminate_instance_in_auto_scaling_group(self, **_: Any) -> dict[str, Any]:
            return answer

    assert await AwsGroups(Terminates(), StubbedEc2(), CALL).terminate("i-1") is None


class StubbedAutoScaling:
    """Auto Scaling with one group and its activities, as AWS words them."""

    def __init__(self, group: dict[str, Any] | None = None, activities: Sequence[dict[str, Any]] = ()) -> None:
        sizes = {"DesiredCapacity": 1, "MinSize": 0, "MaxSize": 9}
        self.group = {"AutoScalingGroupName": "group", **sizes, **(group or {})}
        self.activities = [{"StartTime": NOW, **activity} for activity in activities]

    async def describe_auto_scaling_groups(self, **_: Any) -> dict[str, Any]:
        """The group."""
        return {"AutoScalingGroups": [self.group]}

    async def describe_scaling_activities(self, **_: Any) -> dict[str, Any]:
        """Its activities."""
        return {"Activities": self.activities}


async def described(**group: Any) -> Group:
    """The group, of which AWS says this."""
    return await AwsGroups(StubbedAutoScaling(group), StubbedEc2(), CALL).describe("group")


async def recorded(*activities: dict[str, Any]) -> Activities:
    """The activities, of which AWS says this."""
    return await AwsGroups(StubbedAutoScaling(None, activities), StubbedEc2(), CALL).activities("group")


@pytest.mark.parametrize(
    ("phase", "states"),
    [
        (Phase.PENDING, ["Pending", "Pending:Wait", "Pending:Proceed", "ReplacingRootVolume", "a state of tomorrow"]),
        (Phase.IN_SERVICE, ["InService"]),
        (Phase.STANDBY, ["EnteringStandby", "Standby"]),
        (Phase.WARM, ["Warmed:Pending", "Warmed:Running", "Warmed:Stopped", "Warmed:Terminating:Wait"]),
        (Phase.LEAVING, ["Terminating", "Terminating:Wait", "Terminating:Retained", "Detaching", "Detached"]),
    ],
)
async def test_each_lifecycle_state_has_its_phase(phase: Phase, states: list[str]) -> None:
    members = [{"InstanceId": f"i-{number}", "LifecycleState": state} for number, state in enumerate(states)]
    group = await described(Instances=members)
    assert {instance.phase for instance in group.instances} == {phase}


LAUNCH = "Launching a new EC2 instance: i-0123456789abcdef0"
KEY = "Client.InvalidKMSKey.InvalidState: The KMS key provided is in an incorrect state"


async def test_a_launch_that_ec2_killed_is_cancelled_with_a_reason_and_has_failed() -> None:
    killed = {"Description": LAUNCH, "StatusCode": "Cancelled", "StatusMessage": KEY}
    assert (await recorded(killed)).recorded == (
        Activity("launch", "failed", NOW, frozenset({"i-0123456789abcdef0"}), KEY),
    )
    assert (await recorded(killed)).why_not(NOW) == KEY
    assert (await recorded({"Description": LAUNCH, "StatusCode": "Cancelled"})).why_not(NOW) is None


async def test_a_failed_launch_without_a_message_is_told_by_its_description() -> None:
    assert (await recorded({"Description": LAUNCH, "StatusCode": "Failed"})).why_not(NOW) == LAUNCH


@pytest.mark.parametrize("status", ["PreInService", "InProgress", "MidLifecycleAction", "WaitingForSpotInstanceId"])
async def test_what_goes_on_is_open_whatever_its_message(status: str) -> None:
    (activity,) = (await recorded({"Description": LAUNCH, "StatusCode": status, "StatusMessage": "x"})).recorded
    assert (activity.kind, activity.outcome, activity.reason) == ("launch", "open", "")


async def test_what_is_neither_launch_nor_termination_ends_nothing() -> None:
    moved = {"Description": "Moving EC2 instance to Standby: i-01", "StatusCode": "Successful"}
    activities = await recorded(moved)
    assert {activity.kind for activity in activities.recorded} == {"other"}
    assert activities.fate_of("i-01") is None
    ends = {"Description": "Terminating EC2 instance: i-01", "StatusCode": "MidLifecycleAction"}
    assert (await recorded(ends)).fate_of("i-01") == Fate(None)
    assert (await recorded(ends)).fate_of("i-0") is None


@pytest.mark.parametrize(
    "description",
    [
        "Launching a new EC2 instance: i-01",
        "Launching a new EC2 instance from warm pool: i-01",
        "Attaching an existing EC2 instance: i-01",
        "Moving EC2 instance out of Standby: i-01",
    ],
)
async def test_an_instance_is_as_old_as_its_service_in_the_group(description: str) -> None:
    then = NOW - timedelta(days=9)
    group = Group("group", 1, 0, 9, (Instance("i-01", Phase.IN_SERVICE, launched_at=then, made_at=then),))
    begun = {"Description": description, "StatusCode": "InProgress"}
    done = {**begun, "StatusCode": "Successful", "EndTime": NOW + timedelta(seconds=40)}
    assert (await recorded(begun)).applied_to(group).instances[0].launched_at == NOW
    (member,) = (await recorded(done)).applied_to(group).instances
    assert (member.launched_at, member.made_at) == (NOW + timedelta(seconds=40), then)


async def test_what_tells_a_machine_apart_is_read_from_ec2() -> None:
    then = NOW - timedelta(days=9)
    machine = {
        "InstanceId": "i-01",
        "State": {"Name": "running"},
        "PrivateIpAddress": "10.0.3.1",
        "PublicIpAddress": "54.1.2.3",
        "LaunchTime": NOW,
        "NetworkInterfaces": [
            {"Attachment": {"DeviceIndex": 1, "AttachTime": NOW}, "PrivateIpAddress": "10.0.4.1"},
            {
                "Attachment": {"DeviceIndex": 0, "AttachTime": then},
                "PrivateIpAddresses": [{"PrivateIpAddress": "10.0.3.1"}, {"PrivateIpAddress": "10.0.3.7"}],
                "Ipv6Addresses": [{"Ipv6Address": "2001:db8::1"}],
            },
        ],
    }

    class OneMachine:
        async def describe_instances(self, **_: Any) -> dict[str, Any]:
            return {"Reservations": [{"Instances": [machine]}]}

    members = {"Instances": [{"InstanceId": "i-01", "LifecycleState": "InService"}]}
    (found,) = (await AwsGroups(StubbedAutoScaling(members), OneMachine(), CALL).describe("group")).instances
    assert found.addresses == {"10.0.3.1", "10.0.3.7", "10.0.4.1", "54.1.2.3", "2001:db8::1"}
    assert (found.launched_at, found.made_at) == (NOW, then)


def weighing(weight: str | None) -> dict[str, Any]:
    """A group with a mixed-instances policy of two types, one of which has this weight."""
    heavy = {"InstanceType": "m5.xlarge", **({} if weight is None else {"WeightedCapacity": weight})}
    return {"MixedInstancesPolicy": {"LaunchTemplate": {"Overrides": [{"InstanceType": "m5.large"}, heavy]}}}


@pytest.mark.parametrize(
    ("group", "unit"),
    [
        ({}, "instances"),
        ({"DesiredCapacityType": "units"}, "instances"),
        ({"DesiredCapacityType": "vcpu"}, "vCPUs"),
        ({"DesiredCapacityType": "memory-mib"}, "MiB of memory"),
        (weighing(None), "instances"),
        (weighing("1"), "instances"),
        (weighing("3"), "weights"),
        ({"MixedInstancesPolicy": {"LaunchTemplate": {"LaunchTemplateSpecification": {}}}}, "instances"),
        ({"Instances": [{"InstanceId": "i-1", "LifecycleState": "InService", "WeightedCapacity": "2"}]}, "weights"),
        ({"Instances": [{"InstanceId": "i-1", "LifecycleState": "InService", "WeightedCapacity": "1"}]}, "instances"),
    ],
)
async def test_what_the_capacity_counts(group: dict[str, Any], unit: str) -> None:
    assert (await described(**group)).unit == unit


@pytest.mark.parametrize(
    ("told", "rebalances"), [({}, False), ({"CapacityRebalance": False}, False), ({"CapacityRebalance": True}, True)]
)
async def test_whether_it_replaces_what_ec2_recommends_to_replace(told: dict[str, Any], rebalances: bool) -> None:
    assert (await described(**told)).rebalances is rebalances
