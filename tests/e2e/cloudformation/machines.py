"""The machines of a cluster, on which bootstrap/swarm-node.sh is run as it is.

`aws` is done over the embedded AWS (its DynamoDB serves one request at a time, so conditional writes are what they
are at AWS), `docker` over simulated Swarms.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from infra.cloudformation.embed import SCRIPT
from infra.local.aws import EmbeddedAws
from tests.e2e.cloudformation.commands import Answer, AwsCommand, on_path
from tests.e2e.cloudformation.docker_swarm import DockerCommand, Swarm

IMAGE = "ami-12c6146b"
ENDED_SECONDS = 240
"""What hangs is given up then; a slow machine may take minutes."""


def nothing(_arguments: Sequence[str], _stdin: str, _environ: Mapping[str, str]) -> Answer:
    """A command that does nothing, well."""
    return 0, "", ""


@contextmanager
def made_cluster(aws: EmbeddedAws, folder: Path) -> Iterator[Cluster]:
    """One without machines."""
    docker, command = DockerCommand(), AwsCommand(aws.session().client)
    with on_path(folder / "bin", aws=command, docker=docker, iptables=nothing) as path:
        yield Cluster(aws, docker, command, folder, path)


class Cluster:
    """Machines, each with its own files, over one account and one world of Swarms."""

    def __init__(self, aws: EmbeddedAws, docker: DockerCommand, command: AwsCommand, folder: Path, path: Path) -> None:
        self.docker, self.command = docker, command
        self._ec2 = aws.session().client("ec2")
        self._dynamodb = aws.session().client("dynamodb")
        self._folder, self._path = folder, path
        self.table = f"books-{time.time_ns()}"
        self._dynamodb.create_table(
            TableName=self.table,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("kind", "id")],
            KeySchema=[{"AttributeName": "kind", "KeyType": "HASH"}, {"AttributeName": "id", "KeyType": "RANGE"}],
        )

    def launch(self, role: str, count: int = 1) -> list[Machine]:
        launched = self._ec2.run_instances(ImageId=IMAGE, MinCount=count, MaxCount=count)["Instances"]
        return [Machine(self, role, one["InstanceId"], one["PrivateIpAddress"]) for one in launched]

    def environment(self, machine: Machine) -> dict[str, str]:
        root = self._folder / machine.instance
        (root / "etc/swarm-node").mkdir(parents=True, exist_ok=True)
        return {
            "PATH": f"{self._path}:{os.environ['PATH']}",
            "ROOT": str(root),
            "ROLE": machine.role,
            "TABLE": self.table,
            "STACK": "devops",
            "LOGICAL_ID": "ManagerAsg",
            "INSTANCE_ID": machine.instance,
            "ADDRESS": machine.address,
            "PAUSE_SECONDS": "1",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def terminate(self, *machines: Machine) -> None:
        """They are gone, for EC2 and for the Swarm."""
        self._ec2.terminate_instances(InstanceIds=[one.instance for one in machines])
        for machine in machines:
            if machine.instance in self.docker.joined:
                self.docker.lose(machine.instance)

    def written(self, kind: str, id_: str) -> dict[str, str]:
        """An entry of the books."""
        key = {"kind": {"S": kind}, "id": {"S": id_}}
        item = self._dynamodb.get_item(TableName=self.table, Key=key, ConsistentRead=True).get("Item", {})
        return {name: value["S"] for name, value in item.items() if name not in key}

    def write(self, kind: str, id_: str, **values: str) -> None:
        item = {name: {"S": value} for name, value in {"kind": kind, "id": id_, **values}.items()}
        self._dynamodb.put_item(TableName=self.table, Item=item)

    def forget(self, kind: str, id_: str) -> None:
        self._dynamodb.delete_item(TableName=self.table, Key={"kind": {"S": kind}, "id": {"S": id_}})

    def swarm(self) -> Swarm:
        """The one Swarm there is."""
        [swarm] = self.docker.swarms.values()
        return swarm

    def formed(self, managers: int = 3) -> list[Machine]:
        """A Swarm of managers, from nothing, in the order in which they joined: the leader first."""
        machines = self.launch("manager", managers)
        until_all_in(machines)
        joined = [instance for swarm in self.docker.swarms.values() for instance in swarm.managers()]
        return sorted(machines, key=lambda machine: joined.index(machine.instance))


class Machine:
    """An instance on which the script is run."""

    def __init__(self, cluster: Cluster, role: str, instance: str, address: str) -> None:
        self._cluster = cluster
        self.role, self.instance, self.address = role, instance, address

    def start(self, *words: str, **settings: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            words or ("bash", str(SCRIPT), "tend"),
            env=self._cluster.environment(self) | settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def tend(self, **settings: str) -> tuple[int, str]:
        """One run to its end: exit code and what it said."""
        process = self.start(**settings)
        said, _ = process.communicate(timeout=ENDED_SECONDS)
        return process.returncode, said

    def ask(self, function: str) -> bool:
        """What one of the script's functions says."""
        process = self.start("bash", "-c", f". {SCRIPT}; {function}")
        process.communicate(timeout=ENDED_SECONDS)
        return process.returncode == 0


def until_all_in(machines: Sequence[Machine]) -> None:
    """All at once, each again and again until it is in, as its timer does."""
    missing, deadline = list(machines), time.monotonic() + ENDED_SECONDS
    said: list[str] = []
    while missing and time.monotonic() < deadline:
        running = [(machine, machine.start()) for machine in missing]
        ended = [
            (machine, process.communicate(timeout=ENDED_SECONDS), process.returncode) for machine, process in running
        ]
        missing = [machine for machine, _, code in ended if code != 0]
        said = [text for _, (text, _), code in ended if code != 0]
    assert not missing, said
