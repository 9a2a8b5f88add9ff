"""More rows of the crash matrix: what AWS does by itself, and the moment at which the worker that sees to it dies.

Hooks send straight to the queue of these workers. A machine that a hook holds dies once the hook is completed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tests.e2e.crash_act import COMPLETE, Act, Before, End
from tests.e2e.crash_setup import CrashSetup, wall
from tests.e2e.tap import asking
from tests.waiting import until

LAUNCH: Final = ("scaler-launch", "autoscaling:EC2_INSTANCE_LAUNCHING")
TERMINATE: Final = ("scaler-terminate", "autoscaling:EC2_INSTANCE_TERMINATING")
ROLE: Final = "arn:aws:iam::123456789012:role/hooks"
DRAIN: Final = asking("POST /nodes/*/update", Availability="drain")
DEMOTE: Final = asking("POST /nodes/*/update", Role="worker")
WAIT_SECONDS: Final = 8
"""How long an instance has time to join where it never will."""


class Event(Act):
    """What such acts have in common: a node, its machine, and the record about it."""

    def __init__(self, name: str, role: str, hook: tuple[str, str] | None = None) -> None:
        self.name = name
        self._role = role
        self._hook = hook
        self._instance = ""

    def _put_hook(self, setup: CrashSetup) -> None:
        if self._hook is not None:
            name, transition = self._hook
            setup.env.client("autoscaling").put_lifecycle_hook(
                AutoScalingGroupName=self._group(setup),
                LifecycleHookName=name,
                LifecycleTransition=transition,
                NotificationTargetARN=setup.queue_arn(),
                RoleARN=ROLE,
                HeartbeatTimeout=30,
            )
            until(lambda: setup.messages("SQS_QUEUE_URL") == 0, "an empty queue")

    def _delete_hook(self, setup: CrashSetup) -> None:
        if self._hook is not None:
            setup.env.client("autoscaling").delete_lifecycle_hook(
                AutoScalingGroupName=self._group(setup), LifecycleHookName=self._hook[0]
            )

    def _group(self, setup: CrashSetup) -> str:
        return setup.env.variables[f"AWS_{self._role.upper()}_ASG"]

    def _record(self, setup: CrashSetup, action: str) -> str:
        """The id of the record about the instance, once there is one."""

        def probe() -> str | None:
            found = setup.caller.get("/v1/requests").json()["requests"]
            about = (each for each in found if each["action"] == action)
            return next((each["id"] for each in about if each["request"]["instance"] == self._instance), None)

        return until(probe, f"a {action} of {self._instance}")

    def _whole(self, setup: CrashSetup, number: int) -> None:
        """So many nodes, all of them in use."""

        def whole() -> bool:
            nodes = [node for node in setup.env.docker.nodes() if node["Spec"]["Role"] == self._role]
            states = [(node["Status"]["State"], node["Spec"]["Availability"]) for node in nodes]
            return states == [("ready", "active")] * number

        until(whole, f"{number} nodes in use")
        assert setup.number(self._role) == number


class Leaving(Event):
    """AWS takes a machine, and a hook holds it until its node is empty."""

    def prepare(self, setup: CrashSetup) -> Before:
        """Nodes with tasks; the one that goes is not the workers' own."""
        number = setup.bring(self._role, 3, 7, 4)
        setup.spread(self._role)
        self._put_hook(setup)
        own = setup.env.docker.info()["Swarm"]["NodeID"]
        node = min((one for one in setup.env.nodes(self._role) if one["ID"] != own), key=_host)
        self._instance = _instance(node)
        setup.tap.forget()
        return Before(wall(), number, {_host(node): len(setup.env.running("api", node["ID"]))})

    def post(self, setup: CrashSetup) -> str:
        """As a person at the console, or AWS: nobody asks the scaler."""
        setup.env.client("autoscaling").terminate_instance_in_auto_scaling_group(
            InstanceId=self._instance, ShouldDecrementDesiredCapacity=False
        )
        return self._record(setup, "node-leaving")

    def end(self, setup: CrashSetup, before: Before) -> End:
        """Everything has moved, `api` without a gap; the hook is completed once, the node removed."""
        ((host, tasks),) = before.names.items()
        assert host not in {_host(node) for node in setup.env.docker.nodes()}
        cause = "spot interruption" if self._hook is None else "termination"
        said = f"{host} left ({cause}): everything that ran there runs elsewhere; its node is removed"
        steps = ("drain", "complete", "remove")
        completed = 0 if self._hook is None else 1
        return End("succeeded", steps, said, (said,), {"complete": completed, "api": 2 * min(1, tasks)})

    def check(self, setup: CrashSetup, before: Before, request: str) -> None:
        """And a successor is there."""
        super().check(setup, before, request)
        self._delete_hook(setup)
        self._whole(setup, before.number)


class Joining(Event):
    """A launch hook holds a machine until it is a node."""

    def prepare(self, setup: CrashSetup) -> Before:
        """Room for one more."""
        number = setup.bring(self._role, 1, 6, 2)
        self._put_hook(setup)
        setup.tap.forget()
        return Before(wall(), number)

    def post(self, setup: CrashSetup) -> str:
        """Somebody raises the desired capacity, and nobody asks the scaler."""
        self._raise(setup)
        return self._record(setup, "node-joining")

    def _raise(self, setup: CrashSetup) -> None:
        known = self._members(setup)
        setup.env.client("autoscaling").set_desired_capacity(
            AutoScalingGroupName=self._group(setup), DesiredCapacity=setup.number(self._role) + 1
        )
        until(lambda: self._members(setup) - known, "a new instance")
        (self._instance,) = self._members(setup) - known

    def end(self, setup: CrashSetup, before: Before) -> End:
        """A Ready node, for which the hook was completed once."""
        (host,) = (_host(node) for node in setup.env.nodes(self._role) if _instance(node) == self._instance)
        said = f"{host} is a Ready node of the Swarm, and may serve"
        return End("succeeded", ("wait",), said, (), {"complete": 1})

    def check(self, setup: CrashSetup, before: Before, request: str) -> None:
        """And it serves."""
        super().check(setup, before, request)
        self._delete_hook(setup)
        self._whole(setup, before.number + 1)

    def _members(self, setup: CrashSetup) -> set[str]:
        found = setup.env.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[self._group(setup)])
        return {one["InstanceId"] for one in found["AutoScalingGroups"][0]["Instances"]}


class NeverJoining(Joining):
    """It never becomes a node: it is abandoned, and the next one joins; or kept, where nobody watched throughout."""

    def __init__(self, name: str, *, kept: bool) -> None:
        super().__init__(name, "worker", LAUNCH)
        self._kept = kept

    def prepare(self, setup: CrashSetup) -> Before:
        """Nobody waits for long."""
        before = super().prepare(setup)
        setup.configure(RESCHEDULE_TIMEOUT=str(WAIT_SECONDS))
        setup.env.fault("boot", never_join_next=1)
        setup.tap.forget()
        return before

    def end(self, setup: CrashSetup, before: Before) -> End:
        """How it was let go is told."""
        how = "it was abandoned, and AWS launches another"
        if self._kept:
            how = "it stays: Docker did not answer throughout, so nobody knows whether it was a node for a moment"
        said = f"{self._instance} has not joined the Swarm within {WAIT_SECONDS} seconds; {how}. Look at its boot log"
        return End("failed", ("wait", "release"), said, (said,), {"complete": 1 if self._kept else 2})

    def check(self, setup: CrashSetup, before: Before, request: str) -> None:
        """The kept one is taken away again."""
        completed = 1 if self._kept else 2
        until(lambda: len(setup.tap.done(COMPLETE)) == completed, "an end of each hold", within=60.0)
        until(lambda: not setup.open_records(), "no record that is open")
        Act.check(self, setup, before, request)
        self._delete_hook(setup)
        if self._kept:
            setup.env.client("autoscaling").terminate_instance_in_auto_scaling_group(
                InstanceId=self._instance, ShouldDecrementDesiredCapacity=True
            )
        self._whole(setup, before.number + (0 if self._kept else 1))
        setup.configure()


def _host(node: Mapping[str, Any]) -> str:
    return str(node["Description"]["Hostname"])


def _instance(node: Mapping[str, Any]) -> str:
    return str(node["Description"]["Engine"]["Labels"]["instance_id"])
