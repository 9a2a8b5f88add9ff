"""The embedded environment for tests on real processes: on a thread of its own, used synchronously.

A test posts, looks, kills, and waits for conditions, as a person at a terminal does. Besides the environment's own
ingest and workers, a `deployment` is a further ingest and workers with settings of their own, on a queue and a cluster
of their own, on the same AWS and Swarm.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

import docker

from infra.local.board import Message
from infra.local.environment import Environment as EmbeddedEnvironment
from infra.local.loopback import free_ports
from tests.background import Background
from tests.e2e.caller import Caller
from tests.e2e.processes import Process
from tests.waiting import T, until

Measured = Callable[[str, object], None]
"""Takes the name and the value of a figure, for the summary at the end."""


@dataclass(slots=True)
class Deployment:
    """An ingest and workers beside the environment's own; `worker` and `ingest` where there is one of each."""

    variables: Mapping[str, str | None]
    caller: Caller
    processes: list[Process] = field(default_factory=list)

    @property
    def queue(self) -> str:
        """Its queue's URL."""
        return str(self.variables["SQS_QUEUE_URL"])

    @property
    def workers(self) -> list[Process]:
        """The workers, in the order of their start."""
        return [process for process in self.processes if process.module == "worker"]

    @property
    def ingest(self) -> Process:
        """The one ingest."""
        return next(process for process in self.processes if process.module == "ingest")

    @property
    def worker(self) -> Process:
        """The first worker."""
        return self.workers[0]


class Environment:
    """Enter it once; it lives until it is left."""

    def __init__(self, folder: Path, settings: Mapping[str, str], workers: int) -> None:
        self._settings = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **settings}
        self._environment = EmbeddedEnvironment(folder, self._settings, workers=workers)
        self._background = Background(self._environment)
        self._exits = ExitStack()
        self._ports, self._numbers = free_ports(), itertools.count(1)

    def __enter__(self) -> Self:
        with ExitStack() as exits:
            exits.enter_context(self._background)
            self.variables = self._environment.variables
            self.caller = exits.enter_context(closing(Caller(self.variables["INGEST_URL"])))
            host = self.variables["DOCKER_HOST"]
            self.docker: Any = exits.enter_context(closing(docker.APIClient(host, version="1.44", timeout=30)))
            self._control = exits.enter_context(closing(Caller(self.variables["CONTROL_URL"])))
            self._exits = exits.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._exits.close()

    def on_loop(self, call: Callable[[], T]) -> T:
        """Look at the environment where it lives."""
        return self._background.call(call)

    # --- AWS

    @property
    def aws(self) -> Any:
        """The embedded AWS itself: its call log, its knobs."""
        return self._environment.aws

    def client(self, service: str) -> Any:
        """A boto3 client, of localstack-client's session."""
        return self.aws.session("AKIATESTS00000000001").client(service)

    def send(self, body: object, queue: str | None = None) -> str:
        """Write to the queue as anyone may; the SQS message's id. A text goes as it is."""
        text = body if isinstance(body, str) else json.dumps(body)
        url = queue or self.variables["SQS_QUEUE_URL"]
        return str(self.client("sqs").send_message(QueueUrl=url, MessageBody=text)["MessageId"])

    def desired(self, group: str = "AWS_WORKER_ASG") -> int:
        """A group's desired capacity."""
        names = [self.variables[group]]
        groups = self.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=names)
        return int(groups["AutoScalingGroups"][0]["DesiredCapacity"])

    def calls(self, action: str, since: float) -> int:
        """How often our processes asked for an action since then (`time.time()`)."""
        return sum(1 for call in self.aws.calls.since(since) if call.action == action)

    # --- the Swarm

    def nodes(self, role: str = "worker", state: str = "ready") -> list[dict[str, Any]]:
        """Nodes as `docker node ls` shows them."""
        found = self.docker.nodes()
        return [node for node in found if (node["Spec"]["Role"], node["Status"]["State"]) == (role, state)]

    def service(self, name: str) -> dict[str, Any]:
        """As `docker service inspect` shows it."""
        return dict(self.docker.inspect_service(name))

    def replicas(self, name: str) -> int:
        """How many replicas a service wants."""
        return int(self.service(name)["Spec"]["Mode"]["Replicated"]["Replicas"])

    def task_env(self, name: str) -> dict[str, str]:
        """The environment of a service's tasks."""
        lines = self.service(name)["Spec"]["TaskTemplate"]["ContainerSpec"].get("Env") or []
        return {line.partition("=")[0]: line.partition("=")[2] for line in lines}

    def running(self, name: str, node: str | None = None) -> list[dict[str, Any]]:
        """A service's running tasks, all or on one node."""
        filters = {"service": name, "desired-state": "running"}
        tasks = [task for task in self.docker.tasks(filters=filters) if task["Status"]["State"] == "running"]
        return [task for task in tasks if node is None or task.get("NodeID") == node]

    def create(self, name: str, replicas: int | None = 1, labels: Mapping[str, str] | None = None, **spec: Any) -> str:
        """Create a service; global where `replicas` is None. Its id."""
        mode = {"Global": {}} if replicas is None else {"Replicated": {"Replicas": replicas}}
        template = {"ContainerSpec": {"Image": f"{name}:1"}}
        body = {"Name": name, "Labels": dict(labels or {}), "TaskTemplate": template, "Mode": mode, **spec}
        return self.on_loop(lambda: self._environment.swarm.control.create_service(body).id)

    def edit(self, name: str, change: Callable[[dict[str, Any]], None]) -> None:
        """What a person does to a service's spec."""
        service = self.service(name)
        change(service["Spec"])
        url = f"/services/{service['ID']}/update"
        answer = self.docker.post(
            f"{self.docker.base_url}/v1.44{url}", params={"version": service["Version"]["Index"]}, json=service["Spec"]
        )
        answer.raise_for_status()

    def set_replicas(self, name: str, number: int) -> None:
        """What a person does with `docker service scale`."""
        self.edit(name, lambda spec: spec["Mode"]["Replicated"].update(Replicas=number))

    @property
    def swarm(self) -> Any:
        """The simulated Swarm itself; touch it through `on_loop`."""
        return self._environment.swarm

    # --- Alertmanager's stand-in

    def said(self) -> list[Message]:
        """What Slack has said, the newest last."""
        board = self._environment.receiver.board
        return self.on_loop(lambda: list(board.messages))

    def heard(self, summary: str) -> Message:
        """The notification with this summary, once it has come."""
        return until(lambda: next((one for one in self.said() if one.summary == summary), None), f"said: {summary}")

    # --- faults and processes

    def fault(self, part: str, **settings: Any) -> None:
        """Set faults of a part, from outside."""
        answer = self._control.http.patch(f"{self._control.url}/faults/{part}", json=settings, timeout=10)
        assert answer.status_code == 200, answer.text

    def faults(self, part: str) -> dict[str, Any]:
        """The faults of a part as they are now: what was counted off is gone."""
        settings: dict[str, Any] = self._control.http.get(f"{self._control.url}/faults", timeout=10).json()[part]
        return settings

    def mend(self) -> None:
        """No fault any more."""
        self._control.http.delete(f"{self._control.url}/faults", timeout=10).raise_for_status()

    def power(self, node: str, what: Literal["lose", "return"]) -> None:
        """A node's machine dies, or boots again."""
        self._control.http.post(f"{self._control.url}/nodes/{node}/{what}", timeout=10).raise_for_status()

    @property
    def worker_urls(self) -> list[str]:
        """Where the environment's workers show their metrics."""
        return self.variables["WORKER_URLS"].split()

    @property
    def log_folder(self) -> Path:
        """Where every process writes its log."""
        return self._environment.logs

    def own_queue(self, visibility_seconds: int = 30) -> dict[str, str]:
        """The variables of a queue, a dead-letter queue and a cluster that nobody else uses."""
        name = f"own-{next(self._numbers)}"
        sqs, given = self.client("sqs"), {"VisibilityTimeout": str(visibility_seconds)}
        urls = [sqs.create_queue(QueueName=f"{name}{end}", Attributes=given)["QueueUrl"] for end in ("", "-dead")]
        return {"SQS_QUEUE_URL": urls[0], "SQS_DLQ_URL": urls[1], "SCALER_CLUSTER": name}

    @contextmanager
    def process(self, module: str, settings: Mapping[str, str | None]) -> Iterator[Process]:
        """One more process, killed at the end if it still runs. None takes a variable away."""
        port = next(self._ports)
        number = next(self._numbers)
        name = f"{module}-{number}"
        own = {"INGEST_HOST": "127.0.0.1", "INGEST_PORT": str(port), "WORKER_PORT": str(port)}
        own |= {"AWS_ACCESS_KEY_ID": f"AKIAPROCESS{number:09}"}
        given = {**self._settings, "NO_PROXY": "127.0.0.1", **self.variables, **own, **settings}
        environ = {name: value for name, value in given.items() if value is not None}
        with Process.started(module, environ, self.log_folder / f"{name}.log", port) as process:
            yield process

    def stands_by(self, worker: Process) -> bool:
        """Whether it has looked at the lease and looked again: by being ready a worker says only that it lives."""
        return int(self.aws.calls.counts(worker.access_key).get("dynamodb.GetItem", 0)) >= 2

    @contextmanager
    def deployment(
        self, settings: Mapping[str, str | None], workers: int = 1, token: str | None = None
    ) -> Iterator[Deployment]:
        """A further ingest and workers, ready."""
        variables: dict[str, str | None] = {**self.own_queue(), **settings}
        with ExitStack() as exits:
            modules: Sequence[str] = ["ingest", *["worker"] * workers]
            processes = [exits.enter_context(self.process(module, variables)) for module in modules]
            caller = Caller(processes[0].url, {"Authorization": f"Bearer {token}"} if token else None)
            exits.callback(caller.close)
            until(processes[0].is_ready, "a ready ingest")
            until(lambda: not workers or any(one.is_active() for one in processes[1:]), "an active worker")
            until(lambda: all(one.is_active() or self.stands_by(one) for one in processes[1:]), "who stands by")
            yield Deployment(variables, caller, processes)
