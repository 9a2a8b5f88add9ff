"""Rows of the crash matrix that change a node or services."""

from __future__ import annotations

from collections.abc import Sequence

from tests.e2e.crash_act import (
    Act,
    Before,
    End,
    first,
)
from tests.e2e.crash_setup import CrashSetup, wall


class DrainNode(Act):
    """One node that is named is drained."""

    name = "drain-node"

    def prepare(self, setup: CrashSetup) -> Before:
        """Nodes with tasks."""
        number = setup.bring("worker", 2, 7, 4)
        setup.spread("worker")
        setup.tap.forget()
        return Before(wall(), number, {first(setup, "worker"): 1})

    def post(self, setup: CrashSetup) -> str:
        """The first of them."""
        return setup.caller.queued(f"/v1/drain-node?node={first(setup, 'worker')}")

    def end(self, setup: CrashSetup, before: Before) -> End:
        """Empty, and drained."""
        (host,) = before.names
        (node,) = [each for each in setup.env.nodes("worker") if each["Description"]["Hostname"] == host]
        assert node["Spec"]["Availability"] == "drain"
        assert setup.env.running("api", node["ID"]) == []
        said = (
            f"{host} is drained: nothing runs there any more. It stays drained until it is given back (POST "
            f"/v1/drain-node?node={host}&back=true)"
        )
        return End("succeeded", ("plan", "drain"), said, (said,), {"api": 2})

    def check(self, setup: CrashSetup, before: Before, request: str) -> None:
        """And whose drain it was is known."""
        super().check(setup, before, request)
        (host,) = before.names
        back = setup.caller.ended(setup.caller.queued(f"/v1/drain-node?node={host}&back=true"), 60.0)
        assert f"it had been drained by request {request}" in back["message"]


class GiveBack(Act):
    """A drained node is given back."""

    name = "drain-node back"

    def prepare(self, setup: CrashSetup) -> Before:
        """One that a request has drained."""
        setup.bring("worker", 2, 7, 4)
        host = first(setup, "worker")
        drained = setup.caller.queued(f"/v1/drain-node?node={host}")
        assert setup.caller.ended(drained, 60.0)["state"] == "succeeded"
        setup.settled()
        setup.tap.forget()
        return Before(wall(), 1, {host: 1}, stamp=drained)

    def post(self, setup: CrashSetup) -> str:
        """As a person with curl does."""
        return setup.caller.queued(f"/v1/drain-node?node={first(setup, 'worker')}&back=true")

    def end(self, setup: CrashSetup, before: Before) -> End:
        """Active again."""
        (host,) = before.names
        assert {node["Spec"]["Availability"] for node in setup.env.nodes("worker")} == {"active"}
        said = (
            f"{host} is active again; it had been drained by request {before.stamp}. What ran there does not come back "
            "by itself (POST /v1/reschedule-services)"
        )
        return End("succeeded", ("plan", "restore"), said, (said,), {})


class ServiceScale(Act):
    """One replica more."""

    name = "service"

    def prepare(self, setup: CrashSetup) -> Before:
        """Always from 2."""
        if setup.env.replicas("web") != 2:
            setup.env.set_replicas("web", 2)
        setup.tap.forget()
        return Before(wall(), 2)

    def post(self, setup: CrashSetup) -> str:
        """As a person with curl does."""
        return setup.caller.queued("/v1/scale-service?service=web&scale=up&by=1")

    def end(self, setup: CrashSetup, before: Before) -> End:
        """Once."""
        assert setup.env.replicas("web") == 3
        summary = "Scaling web from 2 to 3 replicas (min: 1, max: 5)"
        return End("succeeded", ("plan", "apply"), summary, (summary,), {"web": 1})


class Reschedule(Act):
    """All labelled services, or one."""

    def __init__(self, name: str, path: str, summary: str, services: Sequence[str]) -> None:
        self.name = name
        self._path = path
        self._summary = summary
        self._services = services

    def prepare(self, setup: CrashSetup) -> Before:
        """Only quiet services."""
        setup.settled()
        setup.tap.forget()
        return Before(wall(), stamp=setup.env.task_env("demo").get("RESCHEDULE_DATE", ""))

    def post(self, setup: CrashSetup) -> str:
        """As a person with curl does."""
        return setup.caller.queued(self._path)

    def end(self, setup: CrashSetup, before: Before) -> End:
        """A later value, set once."""
        assert setup.env.task_env("demo")["RESCHEDULE_DATE"] > before.stamp
        once = dict.fromkeys(self._services, 1)
        return End("succeeded", ("plan", "reschedule"), self._summary, (self._summary,), once)
