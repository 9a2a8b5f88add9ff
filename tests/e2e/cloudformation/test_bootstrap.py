"""bootstrap/swarm-node.sh: one Swarm whoever boots when, and it stays one. The script is run as it is."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from infra.cloudformation.embed import SCRIPT, bare
from infra.local.aws import EmbeddedAws
from infra.local.engine.model import NodeState, Role
from tests.e2e.cloudformation.commands import AwsCommand, on_path
from tests.e2e.cloudformation.docker_swarm import DockerCommand, Swarm, instance_of
from tests.e2e.cloudformation.machines import ENDED_SECONDS, Cluster, nothing, until_all_in


def roles(swarm: Swarm) -> list[str]:
    return sorted(node.spec.role.value for node in swarm.engine.nodes)


@pytest.mark.slow
@pytest.mark.parametrize("_round", range(10))
def test_three_managers_and_two_workers_that_boot_at_once_form_one_swarm(cluster: Cluster, _round: int) -> None:
    cluster.docker.init_seconds = 0.3
    until_all_in([*cluster.launch("worker", 2), *cluster.launch("manager", 3)])
    assert roles(cluster.swarm()) == ["manager"] * 3 + ["worker"] * 2
    assert cluster.written("swarm", "founder")["formed"] == cluster.swarm().id


def test_a_worker_never_founds_a_swarm(cluster: Cluster) -> None:
    [worker] = cluster.launch("worker")
    code, said = worker.tend()
    assert (code, "not in the Swarm yet" in said) == (1, True)
    assert not cluster.docker.swarms


def test_the_founder_writes_down_where_it_is_and_both_tokens_before_it_says_that_there_is_a_swarm(
    cluster: Cluster,
) -> None:
    [manager] = cluster.launch("manager")
    assert manager.tend()[0] == 0
    assert cluster.written("manager", manager.instance) == {"address": manager.address}
    for role in ("manager", "worker"):
        assert cluster.written(f"token-{role}", "current")["token"] == cluster.swarm().token(role)
    assert cluster.written("swarm", "founder") == {"instance": manager.instance, "formed": cluster.swarm().id}


def test_a_founder_that_died_before_it_founded_is_replaced(cluster: Cluster) -> None:
    [dead, manager] = cluster.launch("manager", 2)
    cluster.write("swarm", "founder", instance=dead.instance)
    assert manager.tend()[0] == 1, "it may still be booting"
    cluster.terminate(dead)
    assert manager.tend()[0] == 0
    assert cluster.written("swarm", "founder") == {"instance": manager.instance, "formed": cluster.swarm().id}


def test_a_founder_that_restarted_before_it_wrote_anything_down_goes_on(cluster: Cluster) -> None:
    [founder, other] = cluster.launch("manager", 2)
    cluster.write("swarm", "founder", instance=founder.instance)
    cluster.docker.found(founder.instance, founder.address)
    assert founder.tend()[0] == 0
    assert other.tend()[0] == 0
    assert roles(cluster.swarm()) == ["manager"] * 2


@pytest.mark.slow
def test_a_machine_that_restarts_changes_nothing(cluster: Cluster) -> None:
    machines = [*cluster.formed(), *cluster.launch("worker")]
    until_all_in(machines)
    before = cluster.swarm().engine.nodes
    for machine in machines:
        assert machine.tend()[0] == 0
    assert cluster.swarm().engine.nodes == before


@pytest.mark.slow
def test_a_dead_managers_node_and_entry_are_removed_by_the_leader_and_its_successor_joins(cluster: Cluster) -> None:
    leader, second, dead = cluster.formed()
    cluster.terminate(dead)
    second.tend()
    assert len(cluster.swarm().engine.nodes) == 3, "only the leader cleans up"
    [successor] = cluster.launch("manager")
    until_all_in([successor])
    assert not successor.ask("settled"), "the dead one still counts for the quorum"
    first = next(one for one in (leader, second) if one.instance == cluster.swarm().managers()[0])
    assert first.tend()[0] == 0
    assert set(cluster.swarm().managers()) == {leader.instance, second.instance, successor.instance}
    assert len(cluster.swarm().engine.nodes) == 3
    assert cluster.written("manager", dead.instance) == {}
    assert successor.ask("settled")


@pytest.mark.slow
def test_all_managers_can_be_replaced_one_by_one_with_the_quorum_held_all_through(cluster: Cluster) -> None:
    managers = cluster.formed()
    for old in list(managers):
        [new] = cluster.launch("manager")
        until_all_in([new])
        managers.append(new)
        for manager in managers:
            manager.tend()
        assert new.ask("settled")
        cluster.terminate(old)
        managers.remove(old)
        assert cluster.swarm().engine.raft.has_quorum
    for manager in managers:
        manager.tend()
    assert set(map(instance_of, cluster.swarm().engine.nodes)) == {one.instance for one in managers}


@pytest.mark.slow
def test_a_node_that_is_down_stays_while_its_instance_exists(cluster: Cluster) -> None:
    machines = cluster.formed()
    [worker] = cluster.launch("worker")
    until_all_in([worker])
    cluster.docker.lose(worker.instance)
    for machine in machines:
        machine.tend()
    assert "worker" in roles(cluster.swarm())


@pytest.mark.slow
def test_the_old_node_of_an_instance_that_joined_again_is_removed(cluster: Cluster) -> None:
    machines = cluster.formed()
    [worker] = cluster.launch("worker")
    until_all_in([worker])
    cluster.docker.states[worker.instance] = "error"
    assert worker.tend()[0] == 0
    assert roles(cluster.swarm()).count("worker") == 2
    for machine in machines:
        machine.tend()
    [left] = [node for node in cluster.swarm().engine.nodes if node.spec.role is Role.WORKER]
    assert left.state is NodeState.READY


@pytest.mark.slow
def test_while_ec2_does_not_answer_nobody_is_removed_and_nothing_is_founded(cluster: Cluster) -> None:
    machines = cluster.formed()
    cluster.terminate(machines[2])
    cluster.command.refuse = {"ec2 describe-instances"}
    for machine in machines[:2]:
        machine.tend()
    assert len(cluster.swarm().engine.nodes) == 3
    assert cluster.written("manager", machines[2].instance)
    cluster.terminate(*machines[:2])
    [late] = cluster.launch("manager")
    assert late.tend()[0] == 1
    assert len(cluster.docker.swarms) == 1


@pytest.mark.slow
def test_tokens_are_rotated_and_the_new_ones_let_in(cluster: Cluster) -> None:
    machines = cluster.formed()
    old = {role: cluster.swarm().token(role) for role in ("manager", "worker")}
    for machine in machines:
        machine.tend(ROTATE_SECONDS="0")
    for role, token in old.items():
        assert cluster.swarm().token(role) != token
        assert cluster.written(f"token-{role}", "current")["token"] == cluster.swarm().token(role)
    [worker] = cluster.launch("worker")
    assert worker.tend()[0] == 0


@pytest.mark.slow
def test_a_token_that_someone_else_rotated_is_written_down_at_the_next_round(cluster: Cluster) -> None:
    machines = cluster.formed()
    cluster.swarm().rotations["worker"] += 1
    for machine in machines:
        machine.tend()
    assert cluster.written("token-worker", "current")["token"] == cluster.swarm().token("worker")


def test_when_no_manager_exists_any_more_no_empty_swarm_takes_the_old_ones_place_by_itself(cluster: Cluster) -> None:
    cluster.terminate(*cluster.formed(1))
    [late] = cluster.launch("manager")
    code, said = late.tend()
    assert (code, len(cluster.docker.swarms)) == (86, 1)
    assert "delete the entry (swarm, founder)" in said


def test_an_engine_that_is_in_a_swarm_by_now_is_not_taken_out_of_it_when_a_join_fails(cluster: Cluster) -> None:
    cluster.formed(1)
    [restored] = cluster.launch("manager")
    formed = cluster.written("swarm", "founder")["formed"]
    cluster.docker.found(restored.instance, restored.address)  # by hand, after the look at the engine's state
    assert not restored.ask(f"join {formed}")
    assert restored.instance in cluster.docker.joined


def test_a_founding_that_was_completed_meanwhile_is_nobody_elses(cluster: Cluster) -> None:
    old, late = cluster.launch("manager", 2)
    cluster.write("swarm", "founder", instance=old.instance, formed="a-swarm")
    assert not late.ask(f"claim {old.instance}")
    assert cluster.written("swarm", "founder")["formed"] == "a-swarm"


def test_a_worker_that_nobody_lets_in_asks_for_nothing_that_its_role_does_not_allow(cluster: Cluster) -> None:
    cluster.terminate(*cluster.formed(1))
    [worker] = cluster.launch("worker")
    cluster.command.calls.clear()
    code, said = worker.tend()
    assert (code, "not in the Swarm yet" in said) == (1, True)
    assert {call.split()[0] for call in cluster.command.calls} == {"dynamodb"}


@pytest.mark.slow
def test_once_a_person_has_said_so_a_new_swarm_is_founded_and_workers_go_over(cluster: Cluster) -> None:
    old = cluster.formed()
    [worker] = cluster.launch("worker")
    until_all_in([worker])
    cluster.terminate(*old)
    cluster.forget("swarm", "founder")
    new = cluster.formed()
    assert len(cluster.docker.swarms) == 2, "the old one is gone with its managers"
    fresh = cluster.docker.swarms[cluster.written("swarm", "founder")["formed"]]
    until_all_in([worker])
    until_all_in([worker])
    assert roles(fresh) == ["manager"] * 3 + ["worker"]
    assert set(fresh.managers()) == {one.instance for one in new}


def test_a_person_who_says_so_too_early_founds_no_second_swarm_either(cluster: Cluster) -> None:
    cluster.formed(1)
    cluster.forget("swarm", "founder")
    [late] = cluster.launch("manager")
    assert late.tend()[0] == 1
    assert len(cluster.docker.swarms) == 1


@pytest.mark.slow
def test_no_second_swarm_while_a_manager_of_the_first_exists_however_ill_it_is(cluster: Cluster) -> None:
    machines = cluster.formed()
    for machine in machines:
        cluster.docker.lose(machine.instance)
    [late] = cluster.launch("manager")
    assert late.tend()[0] == 1
    assert len(cluster.docker.swarms) == 1


@pytest.mark.slow
def test_a_manager_in_error_is_left_to_a_person(cluster: Cluster) -> None:
    machines = cluster.formed()
    cluster.docker.states[machines[1].instance] = "error"
    code, said = machines[1].tend()
    assert (code, "'error'" in said) == (1, True)
    assert machines[1].instance in cluster.docker.joined


@pytest.mark.slow
def test_a_demoted_manager_is_left_as_it_is(cluster: Cluster) -> None:
    machines = cluster.formed()
    swarm, node_id = cluster.docker.joined[machines[2].instance]
    swarm.demote(node_id)
    assert machines[2].tend()[0] == 0
    assert roles(cluster.swarm()) == ["manager", "manager", "worker"]


@pytest.mark.slow
def test_workers_read_nothing_but_what_their_role_allows_and_write_nothing(cluster: Cluster) -> None:
    cluster.formed()
    [worker] = cluster.launch("worker")
    cluster.command.calls.clear()
    assert worker.tend()[0] == 0
    assert set(cluster.command.calls) == {"dynamodb get-item", "dynamodb query"}


def test_containers_logs_go_where_the_template_says(cluster: Cluster) -> None:
    [manager] = cluster.launch("manager")
    said = {}
    for group in ("", "/docker-swarm/devops"):
        process = manager.start("bash", "-c", f". {SCRIPT}; imds() {{ echo x; }}; daemon_json", LOG_GROUP=group)
        said[group] = json.loads(process.communicate(timeout=ENDED_SECONDS)[0])
    assert said[""]["log-driver"] == "json-file"
    logs = said["/docker-swarm/devops"]
    assert (logs["log-driver"], logs["log-opts"]["mode"]) == ("awslogs", "non-blocking")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("aws") is None, reason="no aws command on this machine")
def test_it_speaks_to_the_real_aws_command_in_the_same_way(aws: EmbeddedAws, tmp_path: Path) -> None:
    docker = DockerCommand()
    with on_path(tmp_path / "bin", docker=docker, iptables=nothing) as path:
        cluster = Cluster(aws, docker, AwsCommand(aws.session().client), tmp_path, path)
        [founder], [worker] = cluster.launch("manager"), cluster.launch("worker")
        for machine in (founder, worker):
            code, said = machine.tend(**aws.environment)
            assert code == 0, said
        assert roles(cluster.swarm()) == ["manager", "worker"]
        cluster.terminate(worker)
        assert founder.tend(**aws.environment)[0] == 0
        assert roles(cluster.swarm()) == ["manager"]


def test_the_script_is_sound_bash() -> None:
    subprocess.run(["bash", "-n", str(SCRIPT)], check=True)
    subprocess.run(["bash", "-n"], input=bare(SCRIPT.read_text()), text=True, check=True)


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="no shellcheck on this machine")
def test_shellcheck_has_nothing_to_say() -> None:
    subprocess.run(["shellcheck", str(SCRIPT)], check=True)
