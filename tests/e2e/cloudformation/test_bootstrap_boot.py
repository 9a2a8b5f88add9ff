"""bootstrap/swarm-node.sh at the first boot, where each single command it runs fails: for a while, or for ever.

It ends in a node that has joined and has said so, or in FAILURE, with the reason on the console, and in an instance
that its group replaces; but who is in the Swarm is never given up.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Final

import pytest

from infra.cloudformation.embed import SCRIPT
from tests.e2e.cloudformation.booting import ALWAYS, Machinery, ended
from tests.e2e.cloudformation.machines import Cluster, until_all_in

EFS: Final = "fs-12345678"
LONG, SHORT = "60", "1"

# How it ends where a command fails for ever. A founder has done all that makes a Swarm when it is `joined`.
FOR_EVER: Final = {
    "awk": "joined",  # of `groups`, which is not part of the boot
    "aws cloudformation signal-resource": "joined",
    "aws dynamodb get-item": "replaced",
    "aws dynamodb put-item": "replaced",
    "aws dynamodb query": "replaced",
    "aws dynamodb update-item": "joined",
    "aws ec2 describe-instances": "joined",
    "bash": "replaced",
    "chattr": "replaced",
    "curl": "off",  # without its id it can tell nobody
    "cut": "joined",
    "date": "joined",
    "dnf": "replaced",
    "docker info": "replaced",
    "docker network create": "joined",
    "docker network inspect": "joined",
    "docker node inspect": "joined",
    "docker node ls": "joined",
    "docker swarm init": "replaced",
    "docker swarm join-token": "joined",
    "flock": "replaced",
    "grep": "joined",  # a line twice in fstab
    "iptables": "joined",  # the unit before the engine is what counts: see systemctl
    "mkdir": "replaced",
    "mount ": "replaced",
    "rm": "joined",
    "sed": "replaced",
    "shuf": "joined",
    "sleep": "joined",
    "sort": "joined",
    "systemctl daemon-reload": "replaced",
    "systemctl enable": "replaced",
    "timeout": "replaced",
    "tr": "replaced",
    "usermod": "replaced",
    "xargs": "joined",
}
# Where the command fails for ever and the boot succeeds all the same.
WITHOUT: Final = {"aws cloudformation signal-resource", "awk", "cut", "docker network inspect", "grep", "iptables"} | {
    *("rm", "shuf", "sleep", "sort", "xargs"),
}
JOINING: Final = {  # of a second manager
    "aws dynamodb get-item": "replaced",
    "aws dynamodb query": "replaced",
    "docker swarm join": "replaced",
    "shuf": "replaced",
    "timeout": "replaced",
}
QUICK: Final = {"dnf", "aws dynamodb get-item"}


@pytest.fixture
def machinery(cluster: Cluster, tmp_path: Path) -> Machinery:
    """Of the first manager."""
    [manager] = cluster.launch("manager")
    return Machinery(cluster, manager, tmp_path)


def by_speed(table: dict[str, str]) -> list[object]:
    return [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in table]


@pytest.mark.parametrize("command", by_speed(FOR_EVER))
def test_a_command_that_fails_for_a_while_delays_the_boot_and_no_more(machinery: Machinery, command: str) -> None:
    machinery.fails[command] = 2
    code, said = machinery.boot(EFS=EFS, BOOT_SECONDS=LONG)
    assert code == 0, said
    assert (ended(machinery), machinery.signals) == ("joined", ["SUCCESS"])
    assert machinery.mounted


@pytest.mark.parametrize("command", by_speed(FOR_EVER))
def test_a_command_that_fails_for_ever_ends_in_failure_with_the_reason(machinery: Machinery, command: str) -> None:
    machinery.fails[command] = ALWAYS
    code, said = machinery.boot(EFS=EFS, BOOT_SECONDS=SHORT)
    assert ended(machinery) == FOR_EVER[command], said
    if command in WITHOUT:
        assert code == 0, said
        assert machinery.signals == ([] if "signal" in command else ["SUCCESS"])
    else:
        assert code != 0, said
        assert machinery.signals == ([] if command == "curl" else ["FAILURE"])
        assert re.search(r"GAVE UP after \d+ s: \S", said)


@pytest.mark.slow
@pytest.mark.parametrize("command", JOINING)
@pytest.mark.parametrize("times", [2, ALWAYS])
def test_so_it_is_with_what_only_a_second_manager_runs(
    cluster: Cluster, tmp_path: Path, command: str, times: int
) -> None:
    until_all_in(cluster.launch("manager"))
    [second] = cluster.launch("manager")
    machinery = Machinery(cluster, second, tmp_path, fails={command: times})
    code, said = machinery.boot(BOOT_SECONDS=LONG if times < ALWAYS else SHORT)
    expected = (JOINING[command], ["FAILURE"]) if times == ALWAYS else ("joined", ["SUCCESS"])
    assert (ended(machinery), machinery.signals) == expected, said
    assert (code == 0) == (times < ALWAYS)


def test_a_package_mirror_that_never_answers_is_named_and_the_instance_replaced(machinery: Machinery) -> None:
    machinery.fails["dnf"] = ALWAYS
    code, said = machinery.boot(BOOT_SECONDS=SHORT)
    assert (code, machinery.signals, ended(machinery)) == (1, ["FAILURE"], "replaced")
    assert re.search(r"GAVE UP after \d+ s: exit code 1 of: dnf install -y docker", said)


@pytest.mark.parametrize("code", [2, 3, 124])
def test_whatever_code_a_command_ends_with_the_instance_is_replaced(machinery: Machinery, code: int) -> None:
    machinery.fails["dnf"], machinery.exit_code = ALWAYS, code
    assert machinery.boot(BOOT_SECONDS=SHORT)[0] == code
    assert (machinery.signals, ended(machinery)) == (["FAILURE"], "replaced")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("dnf", "an attempt hung, and was ended"),
        ("docker info", "the engine's Swarm state is ''"),
        ("mount ", "an attempt hung, and was ended"),
        ("systemctl enable", "an attempt hung, and was ended"),
    ],
)
def test_a_command_that_hangs_keeps_nobody_waiting(machinery: Machinery, command: str, reason: str) -> None:
    machinery.hangs = command
    # The engine's own limit is over before the attempt's, however slowly a machine gets so far.
    boot, hang = ("3", "5") if command == "docker info" else (SHORT, SHORT)
    code, said = machinery.boot(EFS=EFS, BOOT_SECONDS=boot, HANG_SECONDS=hang)
    assert (code != 0, machinery.signals, ended(machinery)) == (True, ["FAILURE"], "replaced")
    assert re.search(rf"GAVE UP after \d+ s: {reason}", said)


def test_where_auto_scaling_cannot_be_told_the_machine_turns_itself_off(machinery: Machinery) -> None:
    machinery.fails |= {"dnf": ALWAYS, "aws autoscaling set-instance-health": ALWAYS}
    machinery.boot(BOOT_SECONDS=SHORT)
    assert ended(machinery) == "off"


@pytest.mark.slow
def test_who_is_in_the_swarm_is_not_given_up_for_another_that_cannot_be_reached(
    cluster: Cluster, tmp_path: Path
) -> None:
    managers = cluster.formed(3)
    cluster.docker.lose(managers[1].instance)
    [late] = cluster.launch("manager")
    machinery = Machinery(cluster, late, tmp_path)
    code, said = machinery.boot(BOOT_SECONDS=SHORT)
    assert (code, machinery.signals, ended(machinery)) == (1, ["FAILURE"], "joined")
    assert "a manager is not reachable" in said


@pytest.mark.slow
def test_who_comes_after_all_managers_are_lost_says_so_and_waits_for_a_person(cluster: Cluster, tmp_path: Path) -> None:
    cluster.terminate(*cluster.formed(1))
    [late] = cluster.launch("manager")
    machinery = Machinery(cluster, late, tmp_path)
    code, said = machinery.boot(BOOT_SECONDS=SHORT)
    assert (code, machinery.signals, ended(machinery)) == (86, ["FAILURE"], "waiting")
    assert "All managers of the Swarm are gone" in said
    assert len(cluster.docker.swarms) == 1


def test_the_first_boot_makes_engine_units_and_membership_and_tells_cloudformation(machinery: Machinery) -> None:
    code, said = machinery.boot(PRUNE="yes", BOOT_SECONDS=LONG)
    assert code == 0, said
    root = machinery.folder / machinery.machine.instance
    labels = f'"instance_id={machinery.machine.instance}", "availability_zone=us-east-1b", "instance_type=t3.small"'
    assert (root / "etc/docker/daemon.json").read_text().startswith(f'{{"labels": [{labels}]')
    unit = (root / "etc/systemd/system/swarm-node.service").read_text()
    own = "/usr/local/sbin/swarm-node"
    assert [line for line in unit.splitlines() if line.startswith("ExecStart")] == [
        f"ExecStart=-{own} groups",
        f"ExecStart=-{own} logins",
        f"ExecStart={own} tend",
    ]
    assert "Before=docker.service" in (root / "etc/systemd/system/swarm-guard.service").read_text()
    on_machine = ("dnf", "systemctl", "usermod")
    assert [line for line in machinery.done if line.startswith(on_machine)] == [
        "dnf install -y docker",
        "systemctl daemon-reload",
        "usermod -aG docker ec2-user",
        "systemctl reset-failed docker",
        "systemctl enable --now swarm-guard docker swarm-node.timer",
        "systemctl enable --now swarm-prune.timer",
    ]
    assert machinery.signals == ["SUCCESS"]
    assert machinery.cluster.swarm().networks == {"metadata"}


def test_the_file_system_is_there_before_the_engine_and_its_folder_takes_nothing_without_it(
    machinery: Machinery,
) -> None:
    code, said = machinery.boot(EFS=EFS, BOOT_SECONDS=LONG)
    assert code == 0, said
    root = machinery.folder / machinery.machine.instance
    assert (root / "etc/fstab").read_text() == f"{EFS}:/ /mnt/efs efs _netdev,tls,nofail 0 0\n"
    place = f"{root}/mnt/efs"
    steps = [f"chattr +i {place}", f"mount {place}", "systemctl enable --now swarm-guard docker swarm-node.timer"]
    assert [line for line in machinery.done if line in steps] == steps


def test_pruning_takes_no_networks(machinery: Machinery) -> None:
    machinery.boot(PRUNE="yes", BOOT_SECONDS=LONG)
    unit = (machinery.folder / machinery.machine.instance / "etc/systemd/system/swarm-prune.service").read_text()
    assert re.findall(r"ExecStart=/usr/bin/docker (\S+) prune", unit) == ["container", "image"]


def test_every_command_of_the_script_has_a_row(machinery: Machinery) -> None:
    """PATH has only what a row can make fail; so what is run and has no row would not have been found."""
    machinery.boot(EFS=EFS, BOOT_SECONDS=LONG)
    named = {"rpm", "mountpoint", "systemctl reset-failed"}  # whose failure is an answer
    for line in machinery.done:
        assert line.startswith((*FOR_EVER, *JOINING, *named)), line


def test_a_node_that_cannot_unpack_its_script_stops() -> None:
    text = (SCRIPT.parents[1] / "swarm.yaml").read_text()
    # Once: both launch templates share the user data.
    assert text.count("trap 'echo \"swarm-node: the user data failed at: $BASH_COMMAND\"; shutdown -h now' ERR") == 1
    unpacking = "trap 'shutdown -h now' ERR\nbase64 -d <<<'*' | gunzip >/dev/null\necho on"
    header = f"set -euo pipefail\nshutdown() {{ echo off; }}\n{unpacking}"
    done = subprocess.run(["bash", "-c", header], capture_output=True, text=True, check=False)
    assert (done.returncode != 0, done.stdout) == (True, "off\n")
