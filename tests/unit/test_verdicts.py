"""Whether each node could be removed, and why not: as a scale-down would have it."""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.build import CPU, GIB, JOIN_TIMEOUT, NOW, ago, group, instance, manager, node, service, task
from tests.unit.test_victims import MACHINES, Machines, world
from worker.decisions.bounds import Limits
from worker.decisions.reasons import Reason
from worker.decisions.refusals import Refusal
from worker.decisions.verdicts import Verdict, destinations, pool_obstacles, verdicts
from worker.decisions.victims import Snapshot, choose
from worker.ports.scaling import Activities, Phase
from worker.ports.swarm import PROTECT_LABEL, Node, Service, Task

WEB = service("web", replicas=9)
JOB = service("backup", mode="replicated-job")
ONCE = service("once", restarts=False)
DATA = service("db", local_volumes=("data",))
BIG = service("big", cpus=3 * CPU)
GUIDED = service("pinned", constraints=("node.hostname==ip-10-0-3-1",))
ELSEWHERE = manager(900)


def kept_by(verdict: Verdict) -> tuple[str, ...]:
    """The codes of what keeps it, each once."""
    return tuple(dict.fromkeys(str(each.reason) for each in verdict.obstacles))


def snapshot(
    numbers: Sequence[int] = (1, 2), tasks: Sequence[Task] = (), nodes: Sequence[Node] | None = None, **changes: Any
) -> Snapshot:
    values: dict[str, Any] = {
        "group": group([instance(number) for number in numbers]),
        "nodes": [ELSEWHERE, *([node(number) for number in numbers] if nodes is None else nodes)],
        "tasks": tasks,
        "services": [WEB, JOB, ONCE, DATA, BIG, GUIDED],
        "node_type": "worker",
        "own_node_id": "",
        "now": NOW,
        "join_timeout": JOIN_TIMEOUT,
    }
    return Snapshot(**{**values, **changes})


def codes(of: Snapshot) -> dict[str, tuple[str, ...]]:
    return {each.name.removeprefix("ip-10-0-3-"): kept_by(each) for each in verdicts(of)}


@pytest.mark.parametrize(
    ("what", "code"),
    [
        (JOB, "job-running"),
        (ONCE, "never-restarts"),
        (DATA, "local-volume"),
        (GUIDED, "would-not-fit"),
        (service("gone"), "unknown-service"),
    ],
)
def test_what_runs_there_keeps_a_node(what: Service, code: str) -> None:
    found = verdicts(snapshot(tasks=[task(what, 1, node(1)), task(WEB, 1, node(2))]))
    assert [kept_by(each) for each in found] == [(code,), ()]
    assert [each.cost for each in found][1] == "1 task to move"
    assert found[0].obstacles[0].text


def test_every_reason_is_told_and_each_code_once() -> None:
    tasks = [task(JOB, 1, node(1)), task(DATA, 1, node(1)), task(DATA, 2, node(1))]
    [found, _] = verdicts(snapshot(tasks=tasks))
    assert set(kept_by(found)) == {"job-running", "local-volume"}


def test_protection_and_the_groups_own_states_keep_an_instance() -> None:
    group_of = group(
        [instance(1, protected=True), instance(2), instance(3, phase=Phase.PENDING), instance(4, launched_at=ago(10))],
        protects_new=False,
    )
    nodes = [node(1), node(2, labels={PROTECT_LABEL: "true"}), node(3), node(5), ELSEWHERE]
    assert codes(snapshot(group=group_of, nodes=nodes)) == {
        "1": ("protected",),
        "2": ("protected",),
        "3": ("not-in-service",),
        "5": ("unmatched",),
        "i-0004": ("unmatched",),
    }


def test_what_never_joined_may_go() -> None:
    found = codes(snapshot(nodes=[ELSEWHERE, node(1)]))
    assert found == {"1": (), "i-0002": ()}


def test_the_own_node_stays_while_another_may_go() -> None:
    assert codes(snapshot(own_node_id="n-0001")) == {"1": ("own-node",), "2": ()}
    alone = snapshot(own_node_id="n-0001", tasks=[task(JOB, 1, node(2))])
    assert codes(alone) == {"1": (), "2": ("job-running",)}


def test_managers_are_asked_for_the_quorum() -> None:
    managers = [manager(1, leader=True), manager(2), manager(3, reachable=False)]
    found = codes(replace(snapshot((1, 2, 3), node_type="manager"), nodes=managers))
    assert found == {"1": ("quorum",), "2": ("quorum",), "3": ()}


def test_what_keeps_the_pool_keeps_each_node_with_the_reason_that_a_refusal_gives() -> None:
    limits = Limits(2, 5, 1, minimum_from="DEFAULT_MIN_WORKER_NODES")
    stopped = group([instance(1), instance(2)], terminations_suspended=True, min_size=2)
    found = pool_obstacles(stopped, limits, 2, Activities(), refreshing=True)
    assert [each.reason for each in found] == [Reason.GROUP_SUSPENDED, Reason.REFRESHING, Reason.AT_MINIMUM]
    assert "MinSize of 2" in found[-1].text
    [ours] = pool_obstacles(group([instance(1), instance(2)]), limits, 2, Activities(), refreshing=False)
    assert (ours.reason, "DEFAULT_MIN_WORKER_NODES" in ours.text) == (Reason.AT_MINIMUM, True)
    assert pool_obstacles(group([instance(1), instance(2)]), limits, 3, Activities(), refreshing=False) == ()
    assert {kept_by(each) for each in verdicts(snapshot(), found)} == {("group-suspended", "refreshing", "at-minimum")}
    weighted = group([instance(1), instance(2)], unit="weights")
    assert [each.reason for each in pool_obstacles(weighted, limits, 2, Activities(), refreshing=True)] == [
        Reason.WEIGHTED
    ]


def test_where_the_tasks_would_go_is_told_node_by_node() -> None:
    one, two, three = node(1), node(2), node(3)
    tasks = [task(BIG, 1, one), task(WEB, 1, one), task(WEB, 2, one), task(WEB, 3, two), task(BIG, 2, three)]
    found = destinations(snapshot((1, 2, 3), tasks), ["n-0001", "n-0002"])
    assert found["n-0001"]["big"] == {"ip-10-0-3-900": 1}
    assert sum(found["n-0001"]["web"].values()) == 2
    assert set(found["n-0001"]["web"]) | set(found["n-0002"]["web"]) <= {"ip-10-0-3-3", "ip-10-0-3-900"}
    assert destinations(snapshot(), ["n-0001"]) == {"n-0001": {}}


@given(MACHINES, st.booleans(), st.integers(0, 6), st.integers(1, 3))
def test_who_is_chosen_could_be_removed_and_where_none_could_be_nobody_is_chosen(
    machines: Machines, protects_new: bool, own: int, count: int
) -> None:
    present, nodes, tasks = world(machines, protects_new=protects_new)
    taken = snapshot(group=present, nodes=[*nodes, ELSEWHERE], tasks=tasks, own_node_id=f"n-{own:04d}")
    of = {each.instance_id: each for each in verdicts(taken)}
    removable = {name for name, each in of.items() if each.removable}

    def chosen(number: int) -> set[str] | None:
        found = choose(number, taken)
        return None if isinstance(found, Refusal) else {each.instance_id for each in found.victims}

    assert (chosen(1) is None) == (not removable)
    assert (chosen(1) or set()) <= removable
    own_too = {name for name, each in of.items() if kept_by(each) == ("own-node",)}
    assert (chosen(count) or set()) <= removable | own_too


def test_a_thousand_nodes_are_judged_in_a_moment() -> None:
    nodes = [node(number, cpus=100 * CPU, memory=100 * GIB) for number in range(1000, 2000)]
    services = [service(f"s{number}", cpus=CPU, memory=GIB) for number in range(200)]
    tasks = [task(services[number % 200], number, nodes[number % 1000]) for number in range(20_000)]
    began = time.process_time()
    found = verdicts(snapshot(range(1000, 2000), tasks, nodes, services=services))
    assert all(each.removable for each in found)
    assert time.process_time() - began < 10.0  # measured: 0.8


def test_every_reason_has_its_sentences() -> None:
    for reason in Reason:
        assert reason.meaning.endswith(".")
        assert reason.remedy
