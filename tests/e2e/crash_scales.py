"""Rows of the crash matrix that change the number of nodes, or which they are."""

from __future__ import annotations

from tests.e2e.caller import up
from tests.e2e.crash_act import (
    UPDATE,
    Act,
    Before,
    End,
    first,
    reachable,
)
from tests.e2e.crash_setup import CrashSetup, wall
from tests.waiting import until


class NodeScale(Act):
    """What node scales have in common."""

    def __init__(self, name: str, way: str, role: str, *, fewest: int, most: int, aim: int) -> None:
        self.name = name
        self._way = way
        self._role = role
        self._number = (fewest, most, aim)

    def prepare(self, setup: CrashSetup) -> Before:
        """As many nodes as it takes."""
        number = setup.bring(self._role, *self._number)
        setup.spread(self._role)
        setup.tap.forget()
        nodes = setup.env.nodes(self._role)
        assert len(nodes) == number
        tasks = {node["Description"]["Hostname"]: len(setup.env.running("api", node["ID"])) for node in nodes}
        return Before(wall(), number, tasks)

    def post(self, setup: CrashSetup) -> str:
        """As a person with curl does."""
        return setup.caller.queued(f"/v1/scale-nodes?by=1&type={self._role}", {"groupLabels": {"scale": self._way}})

    def check(self, setup: CrashSetup, before: Before, request: str) -> None:
        """Also the nodes of the Swarm, and the group."""
        super().check(setup, before, request)
        record = setup.caller.record(request) or {}
        after = self._after(before)
        assert (record["nodes_before"], record["nodes_after"]) == (before.number, after)
        assert setup.number(self._role) == after
        nodes = [node for node in setup.env.docker.nodes() if node["Spec"]["Role"] == self._role]
        assert [node["Status"]["State"] for node in nodes] == ["ready"] * after
        assert {node["Spec"]["Availability"] for node in nodes} == {"active"}
        if self._role == "manager":
            until(lambda: reachable(setup) == after, "managers that reach each other")
        self._check_group(setup, after)

    def _check_group(self, setup: CrashSetup, after: int) -> None:
        name = setup.env.variables[f"AWS_{self._role.upper()}_ASG"]
        groups = setup.env.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[name])
        (group,) = groups["AutoScalingGroups"]
        in_service = [one for one in group["Instances"] if one["LifecycleState"] == "InService"]
        assert len(in_service) == after
        assert (group["MinSize"], group["MaxSize"]) == ((0, 10) if self._role == "worker" else (1, 9))

    def _aimed(self, before: Before) -> int:
        return before.number + (1 if self._way == "up" else -1)

    def _after(self, before: Before) -> int:
        return self._aimed(before)

    def _changing(self, before: Before) -> str:
        return f"Changing the number of {self._role} nodes on aws from {before.number} to {self._aimed(before)}"


class Up(NodeScale):
    """One node more."""

    def end(self, setup: CrashSetup, before: Before) -> End:
        """Raised once, each service rescheduled once."""
        ready = f"{up(self._role, before.number + 1)}, api, demo rescheduled"
        changing = self._changing(before)
        return End(
            "succeeded",
            ("plan", "apply", "wait", "reschedule"),
            f"{changing}; {ready}",
            (changing, ready),
            {"set desired": 1, "api": 1, "demo": 1},
        )


class Down(NodeScale):
    """One node less."""

    def end(self, setup: CrashSetup, before: Before) -> End:
        """One terminated by name; `api`, which starts first, was told to avoid the node, and then no longer to."""
        names = {node["Description"]["Hostname"] for node in setup.env.nodes(self._role)}
        (gone,) = before.names.keys() - names
        removed = f"{up(self._role, before.number - 1)}, {gone} removed"
        changing = self._changing(before)
        return End(
            "succeeded",
            ("plan", "drain", "terminate", "remove"),
            f"{changing}; {removed}",
            (changing, removed),
            {"terminate": 1, "api": 2 * min(1, before.names[gone])},
        )


class Undo(NodeScale):
    """One node less, which AWS refuses when it has been drained."""

    def post(self, setup: CrashSetup) -> str:
        """Whoever terminates is refused, also the next worker."""
        setup.env.fault("aws", errors={"autoscaling.TerminateInstanceInAutoScalingGroup": "ValidationError"})
        return super().post(setup)

    def end(self, setup: CrashSetup, before: Before) -> End:
        """Nothing terminated, and all nodes as they were."""
        why = "TerminateInstanceInAutoScalingGroup: Rate exceeded (ValidationError)"
        moved = {"api": 2} if setup.tap.done(UPDATE) else {}
        return End("failed", ("plan", "drain", "terminate", "undo"), why, (self._changing(before), why), moved)

    def _after(self, before: Before) -> int:
        return before.number


class Replace(NodeScale):
    """One node that is named, by another."""

    def post(self, setup: CrashSetup) -> str:
        """The first of them."""
        return setup.caller.queued(f"/v1/replace-node?node={first(setup, self._role)}")

    def end(self, setup: CrashSetup, before: Before) -> End:
        """Terminated once, without the capacity; each service rescheduled once."""
        names = {node["Description"]["Hostname"] for node in setup.env.nodes(self._role)}
        (gone,) = before.names.keys() - names
        terminated = f"{gone} was terminated, its group launches another"
        waiting = f"Waiting for {before.number} {self._role} nodes to be Ready again"
        message = f"{terminated}; {up(self._role, before.number)}, api, demo rescheduled"
        return End(
            "succeeded",
            ("plan", "drain", "terminate", "remove", "wait", "reschedule"),
            message,
            (f"{terminated}; {waiting}", message),
            {"terminate": 1, "api": 1 + 2 * min(1, before.names[gone]), "demo": 1},
        )

    def _after(self, before: Before) -> int:
        return before.number
