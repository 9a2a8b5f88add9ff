"""The lifecycle hooks' contract, over memory and over Auto Scaling."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import pytest
import pytest_asyncio
from localstack_client.session import Session

from infra.local.aws import Size, create_group, create_network
from shared.errors import NotFound
from tests.adapters.conftest import CALL, unique
from tests.fakes import InMemoryGroups, LoopClock
from tests.waiting import eventually
from worker.adapters.autoscaling import AwsGroups
from worker.ports.hooks import Hold, LifecycleHook
from worker.ports.scaling import GroupChanges, Groups, Member, Phase

pytestmark = pytest.mark.asyncio(loop_scope="module")
HOOK = "scaler-terminate"


class AnyGroups(Groups, GroupChanges, Protocol):
    """Both ports."""


@dataclass(frozen=True, slots=True)
class Bench:
    """A group of one instance, and how somebody ends it."""

    groups: AnyGroups
    name: str
    end: Callable[[str], None]

    async def held(self) -> Member:
        """Its instance, once the hook holds it on its way out."""
        first = await eventually(
            lambda: self.groups.members([self.name]), lambda found: [one.phase for one in found] == [Phase.IN_SERVICE]
        )
        self.end(first[0].id)
        found = await eventually(
            lambda: self.groups.members([self.name]),
            lambda found: any(one.held and one.id == first[0].id for one in found),
        )
        return next(one for one in found if one.held)


@pytest.fixture(params=["memory_bench", "aws_bench"])
def bench(request: pytest.FixtureRequest) -> Bench:
    """Both."""
    found: Bench = request.getfixturevalue(request.param)
    return found


@pytest_asyncio.fixture(loop_scope="module")
async def memory_bench() -> Bench:
    """The group in memory."""
    groups = InMemoryGroups(LoopClock(datetime.now(UTC)))
    groups.add_group("group", desired=1)
    groups.groups["group"].holds.add(HOOK, 60)
    return Bench(groups, "group", groups.retire)


@pytest.fixture
def aws_bench(session: Session, autoscaling: Any, ec2: Any) -> Bench:
    """The real thing."""
    name, client = unique("group"), session.client("autoscaling")
    create_group(session, name, Size(0, 4, 1), create_network(session))
    client.put_lifecycle_hook(
        AutoScalingGroupName=name,
        LifecycleHookName=HOOK,
        LifecycleTransition="autoscaling:EC2_INSTANCE_TERMINATING",
        HeartbeatTimeout=60,
        DefaultResult="CONTINUE",
    )

    def end(instance: str) -> None:
        client.terminate_instance_in_auto_scaling_group(InstanceId=instance, ShouldDecrementDesiredCapacity=False)

    return Bench(AwsGroups(autoscaling, ec2, CALL), name, end)


async def test_the_hooks_of_a_group_are_described(bench: Bench) -> None:
    hooks = await bench.groups.lifecycle_hooks(bench.name)
    assert list(hooks) == [LifecycleHook(HOOK, "termination", timedelta(seconds=60), "CONTINUE")]


async def test_a_held_instance_is_on_its_way_out_until_it_is_let_go(bench: Bench) -> None:
    member = await bench.held()
    assert member.phase is Phase.LEAVING
    hold = Hold(bench.name, HOOK, member.id)
    await bench.groups.heartbeat(hold)
    await bench.groups.complete(hold, "CONTINUE")
    await eventually(
        lambda: bench.groups.members([bench.name]), lambda found: not any(one.id == member.id for one in found)
    )


async def test_what_is_over_or_never_was_is_not_found(bench: Bench) -> None:
    member = await bench.held()
    hold = Hold(bench.name, HOOK, member.id)
    for wrong in (
        Hold(bench.name, HOOK, member.id, "00000000-0000-0000-0000-000000000000"),
        Hold(bench.name, HOOK, "i-0bad"),
    ):
        with pytest.raises(NotFound, match="No active Lifecycle Action"):
            await bench.groups.complete(wrong, "CONTINUE")
        with pytest.raises(NotFound, match="No active Lifecycle Action"):
            await bench.groups.heartbeat(wrong)
    await bench.groups.complete(hold, "CONTINUE")
    with pytest.raises(NotFound, match="No active Lifecycle Action"):
        await bench.groups.complete(hold, "CONTINUE")
