"""The setup of the crash matrix: an environment, an ingest, and two workers of which the dead are replaced.

Everything that its workers ask of AWS and Docker comes by a tap, which can intercept any call.
"""

from __future__ import annotations

import os
import signal
import tempfile
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

from tests.e2e.aws_tap import tapped
from tests.e2e.caller import Caller
from tests.e2e.docker_proxy import proxied
from tests.e2e.environment import Environment
from tests.e2e.processes import Process
from tests.e2e.tap import Action, Interception, Point, Tap
from tests.waiting import until

VISIBILITY_SECONDS: Final = 5
LEASE_SECONDS: Final = 3
SETTINGS: Final[Mapping[str, str]] = {
    "LEASE_SECONDS": str(LEASE_SECONDS),
    "DEFAULT_MAX_WORKER_NODES": "10",
    "DEFAULT_MAX_MANAGER_NODES": "9",
    "DEFAULT_MAX_REPLICAS": "5",
    "RESCHEDULE_ON_JOIN": "false",
}
QUICK: Final[Mapping[str, Any]] = {"Parallelism": 14, "Monitor": 10**8}
REPLICAS: Final[Mapping[str, int]] = {"demo": 6, "api": 14}
"""What is rescheduled, and what moves when a node goes: `demo` stop-first, `api` start-first, on every node."""
LOOK_SECONDS: Final = 0.1
"""Rare looks: tests that run side by side share two cores."""
SLOWEST: Final = 60.0
"""Seconds that anything here may take: a termination whose fate is unknown is waited for for 30 s."""


class CrashSetup:
    """Enter it once. `act` gives the caller of its ingest; `tap` sees its workers."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._exits = ExitStack()
        self.tap = Tap()
        self.workers: list[Process] = []
        self._access_keys: dict[str, int] = {}
        self._starting = threading.Lock()

    def __enter__(self) -> Self:
        with ExitStack() as exits:
            self.env = exits.enter_context(Environment(self._folder, {"BOOT_DELAY": "0.5"}, workers=0))
            self._take_hooks_away()
            exits.enter_context(tapped(self.env.aws, self._process_of, self.tap))
            sockets = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="scaler-")))
            engine = Path(self.env.variables["DOCKER_HOST"].removeprefix("unix://"))
            self.docker = exits.enter_context(proxied(sockets / "docker.sock", engine, self.tap))
            own = self.env.own_queue(VISIBILITY_SECONDS)
            self._usual = {**SETTINGS, **own, "DOCKER_HOST": f"unix://{self.docker.path}"}
            self.variables = self._usual
            self.ingest = exits.enter_context(self.env.process("ingest", self.variables))
            self.caller = Caller(self.ingest.url, look=LOOK_SECONDS)
            exits.callback(self.caller.close)
            until(self.ingest.is_ready, "a ready ingest")
            self._create_services()
            self._exits = exits.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._exits.close()

    def _take_hooks_away(self) -> None:
        """These workers have a queue of their own, to which AWS sends nothing: each hold would last until they look."""
        autoscaling = self.env.client("autoscaling")
        for group in (self.env.variables["AWS_MANAGER_ASG"], self.env.variables["AWS_WORKER_ASG"]):
            for hook in autoscaling.describe_lifecycle_hooks(AutoScalingGroupName=group)["LifecycleHooks"]:
                name = hook["LifecycleHookName"]
                autoscaling.delete_lifecycle_hook(AutoScalingGroupName=group, LifecycleHookName=name)

    def _create_services(self) -> None:
        """Services whose updates are quick; `web` is for scaling its replicas."""
        self.env.edit("demo", lambda spec: spec["UpdateConfig"].update(QUICK))
        labels = {"com.df.reschedule": "true"}
        self.env.create("api", REPLICAS["api"], labels, UpdateConfig={**QUICK, "Order": "start-first"})
        self.env.create("web", 2)

    # --- the workers

    def restore(self) -> None:
        """Two workers live, one of them is active, and nothing goes wrong."""
        self.env.mend()
        self.tap.set(None)
        for process in [one for one in self.workers if one.popen.poll() is not None]:
            self.workers.remove(process)
        while len(self.workers) < 2:
            self.start_worker()
        until(lambda: all(one.is_ready() for one in self.workers), "two workers that answer", look=LOOK_SECONDS)
        self.active()

    def configure(self, **changes: str) -> None:
        """Two other workers, whose settings differ so much from the usual ones."""
        for worker in self.workers:
            worker.popen.terminate()
            worker.popen.wait(10)
        self.workers.clear()
        self.variables = {**self._usual, **changes}
        self.restore()

    def start_worker(self) -> None:
        """One worker more."""
        with self._starting:
            worker = self._exits.enter_context(self.env.process("worker", self.variables))
            self._access_keys[worker.access_key] = worker.pid
        self.workers.append(worker)

    def _process_of(self, access_key: str) -> int | None:
        """The process that was started with it."""
        with self._starting:
            return self._access_keys.get(access_key)

    def active(self) -> Process:
        """The worker that holds the lease."""
        return until(
            lambda: next((one for one in self.workers if one.is_active()), None), "an active worker", look=LOOK_SECONDS
        )

    def by_pid(self, pid: int) -> Process:
        """One of the workers."""
        return next(one for one in self.workers if one.pid == pid)

    def replace(self, pid: int) -> None:
        """Somebody of the workers was killed: another takes the place."""
        process = self.by_pid(pid)
        process.popen.wait(10)
        self.workers.remove(process)
        self.start_worker()

    # --- interceptions

    def intercept(self, point: Point, action: Action) -> Interception:
        """The one interception that is set from now on."""
        interception = Interception(point, action)
        self.tap.set(interception)
        return interception

    def intercepted(self, interception: Interception, within: float = SLOWEST) -> int:
        """Wait until it has done: the process that it intercepted."""
        assert interception.done.wait(within), f"nobody came by: {interception.point.name}"
        assert interception.sender is not None
        return interception.sender

    # --- what there is

    def number(self, role: str) -> int:
        """The desired capacity of a role's group."""
        return self.env.desired(f"AWS_{role.upper()}_ASG")

    def bring(self, role: str, fewest: int, most: int, aim: int) -> int:
        """As many nodes of a role as a test needs; by the ordinary way, where there are too few or too many."""
        number = self.number(role)
        if not fewest <= number <= most:
            way = "up" if number < aim else "down"
            path = f"/v1/scale-nodes?type={role}&scale={way}&by={abs(aim - number)}"
            record = self.caller.ended(self.caller.queued(path), SLOWEST)
            assert record["state"] == "succeeded", record
        self.settled()
        return self.number(role)

    def spread(self, role: str) -> None:
        """`api` runs on every node of a role: a start-first update may leave one out, a fresh start does not."""
        if all(self.env.running("api", node["ID"]) for node in self.env.nodes(role)):
            return
        self.env.set_replicas("api", 0)
        until(lambda: not self.env.running("api"), "an end of api", look=LOOK_SECONDS)
        self.env.set_replicas("api", REPLICAS["api"])
        self.settled()
        assert all(self.env.running("api", node["ID"]) for node in self.env.nodes(role))

    def settled(self) -> None:
        """All tasks run, and no update is under way."""

        def quiet() -> bool:
            states = [self.env.service(name).get("UpdateStatus", {}).get("State") for name in REPLICAS]
            return "updating" not in states and self.all_run()

        until(quiet, "quiet services", look=LOOK_SECONDS)

    def all_run(self) -> bool:
        """Every replica of every service."""
        return all(len(self.env.running(name)) == number for name, number in REPLICAS.items())

    def messages(self, queue: str) -> int:
        """How many messages are in a queue, those under way included."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        sqs = self.env.client("sqs")
        found = sqs.get_queue_attributes(QueueUrl=self.variables[queue], AttributeNames=names)["Attributes"]
        return sum(int(found[name]) for name in names)

    def queue_arn(self) -> str:
        """The queue that these workers read, as AWS's services name it."""
        found = self.env.client("sqs").get_queue_attributes(
            QueueUrl=self.variables["SQS_QUEUE_URL"], AttributeNames=["QueueArn"]
        )
        return str(found["Attributes"]["QueueArn"])

    def open_records(self) -> list[str]:
        """The keys of the records that are not settled."""
        found = self.env.client("dynamodb").query(
            TableName=self.env.variables["DYNAMODB_TABLE"],
            IndexName="open",
            ConsistentRead=True,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": {"S": f"cluster#{self.variables['SCALER_CLUSTER']}"}},
        )
        return [item["sk"]["S"] for item in found["Items"]]

    def heard(self, summary: str, since: datetime) -> None:
        """The notification with this summary came after a moment."""

        def found() -> bool:
            return any(one.summary == summary and one.at >= since for one in self.env.said())

        until(found, f"said: {summary}", look=LOOK_SECONDS)


def killing(pid: int) -> bool:
    """The end of whoever is intercepted."""
    os.kill(pid, signal.SIGKILL)
    return True


def stopping(pid: int) -> bool:
    """Whoever is intercepted stands still; what it asked for is carried out, and the answer waits for it."""
    os.kill(pid, signal.SIGSTOP)
    return False


def wall() -> datetime:
    """The present moment."""
    return datetime.now(UTC)
