"""Which node somebody means by a name, and why it must not be drained."""

from collections.abc import Mapping

import pytest

from shared.fields import Role
from tests.unit.build import CPU, group, host, instance, manager, node, service, task
from worker.decisions.named import Named, find, keeps
from worker.decisions.reasons import Reason
from worker.decisions.refusals import Refusal
from worker.ports.scaling import Group
from worker.ports.swarm import Node

LABEL = "instance_id"
WORKERS: dict[Role, Group] = {"worker": group([instance(1), instance(2)])}


def found(name: str, *nodes: Node, groups: Mapping[Role, Group] = WORKERS) -> Named:
    """Who is meant."""
    named = find(name, nodes, groups)
    assert isinstance(named, Named), named
    return named


def refused(name: str, *nodes: Node, groups: Mapping[Role, Group] = WORKERS) -> str:
    """Why nobody is."""
    named = find(name, nodes, groups)
    assert isinstance(named, Refusal), named
    return named.reason


@pytest.mark.parametrize("name", [host(1), "n-0001", "i-0001"])
def test_a_node_is_meant_by_its_hostname_its_id_or_its_instances(name: str) -> None:
    named = found(name, node(1), node(2))
    assert (named.name, named.instance_id, named.kind) == (host(1), "i-0001", "worker")
    assert named.node == node(1)


def test_without_groups_the_engine_label_tells_the_instance() -> None:
    named = find("i-0009", [node(1, engine_labels={LABEL: "i-0009"}), node(2)], {})
    assert isinstance(named, Named)
    assert (named.name, named.instance_id) == (host(1), "")
    baked = [node(n, engine_labels={LABEL: "i-0009"}) for n in (1, 2)]
    assert isinstance(find("i-0009", baked, {}), Refusal)


def test_a_prefix_means_nobody_and_the_nearest_are_named() -> None:
    reason = refused("ip-10-0-3-1", node(12), node(129))
    assert "No node and no instance is called ip-10-0-3-1." in reason
    assert host(12) in reason
    assert "docker node ls" in reason


def test_of_two_nodes_with_one_hostname_neither_is_guessed_and_both_ids_are_told() -> None:
    twin = node(2, hostname=host(1), state="down")
    reason = refused(host(1), node(1), twin)
    assert f"{host(1)} is the name of 2 nodes: {host(1)} (n-0001, ready), {host(1)} (n-0002, down)" in reason
    assert found("n-0002", node(1), twin).node == twin


def test_of_the_nodes_that_claim_an_instance_the_ready_one_counts_and_of_two_neither() -> None:
    left = node(3, state="down", engine_labels={LABEL: "i-0001"})
    joined = node(4, engine_labels={LABEL: "i-0001"})
    assert found("i-0001", left, joined).node == joined
    assert "n-0003" in refused("i-0001", node(3, engine_labels={LABEL: "i-0001"}), joined)


def test_an_instance_without_a_node_is_meant_by_its_id() -> None:
    named = found("i-0002", node(1))
    assert (named.node, named.name, named.kind) == (None, "i-0002", "worker")


def test_a_protected_node_is_kept_by_its_label_and_by_its_instance() -> None:
    labelled = node(1, labels={"com.df.scaler.protect": "true"})
    obstacle = keeps(found(host(1), labelled), WORKERS, [labelled, node(2)], [], [])
    assert obstacle is not None
    assert (obstacle.reason, "--label-rm com.df.scaler.protect" in obstacle.text) == (Reason.PROTECTED, True)
    single: dict[Role, Group] = {"worker": group([instance(1, protected=True)], protects_new=False)}
    obstacle = keeps(found(host(1), node(1), groups=single), single, [node(1), node(2)], [], [])
    assert obstacle is not None
    assert obstacle.reason is Reason.PROTECTED
    everyone: dict[Role, Group] = {"worker": group([instance(1, protected=True)])}
    assert keeps(found(host(1), node(1), groups=everyone), everyone, [node(1), node(2)], [], []) is None


def test_a_node_is_kept_by_what_runs_there_and_by_the_quorum() -> None:
    big = service("big", cpus=3 * CPU, replicas=2)
    tasks = [task(big, 1, node(1)), task(big, 2, node(2))]
    obstacle = keeps(found(host(1), node(1), node(2)), WORKERS, [node(1), node(2)], [big], tasks)
    assert obstacle is not None
    assert obstacle.reason is Reason.WOULD_NOT_FIT
    only = manager(1, leader=True)
    obstacle = keeps(found(host(1), only), WORKERS, [only, node(2)], [], [])
    assert obstacle is not None
    assert obstacle.reason is Reason.QUORUM
