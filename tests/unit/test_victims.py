"""Which instances a scale-down takes."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.build import CPU, GIB, JOIN_TIMEOUT, NOW, ago, group, instance, manager, node, service, task
from worker.decisions.refusals import Refusal
from worker.decisions.victims import Choice, Snapshot, Victim, choose
from worker.ports.scaling import Group, Instance, Phase
from worker.ports.swarm import PROTECT_LABEL, Node, Service, Task

WEB = service("web", replicas=9)
JOB = service("backup", mode="replicated-job")
GLOBAL = service("exporter", mode="global")
ELSEWHERE = manager(900)
"""A node of no group, so that tasks have a place to go to."""


def chosen(
    count: int, present: Group, nodes: Sequence[Node], tasks: Sequence[Task] = (), **changes: Any
) -> Choice | Refusal:
    values: dict[str, Any] = {
        "node_type": "worker",
        "own_node_id": "",
        "now": NOW,
        "join_timeout": JOIN_TIMEOUT,
        "services": [WEB, JOB, GLOBAL],
    }
    return choose(count, Snapshot(group=present, nodes=[*nodes, ELSEWHERE], tasks=tasks, **{**values, **changes}))


def names(found: Choice | Refusal) -> list[str]:
    assert not isinstance(found, Refusal), found.reason
    return [victim.name.removeprefix("ip-10-0-3-") for victim in found.victims]


def passed(found: Choice | Refusal) -> dict[str, str]:
    assert not isinstance(found, Refusal), found.reason
    return {each.name.removeprefix("ip-10-0-3-"): str(each.reason) for each in found.passed_over}


def reason(found: Choice | Refusal) -> str:
    assert isinstance(found, Refusal), found
    return found.reason


def test_a_victim_names_its_instance_and_its_node() -> None:
    first = Victim("i-0001", "n-0001", "ip-10-0-3-1", "nothing has to move")
    assert chosen(1, group([instance(1)]), [node(1)]) == Choice((first,))
    never = Victim("i-0002", None, "i-0002", "it never joined the Swarm")
    assert chosen(1, group([instance(1), instance(2)]), [node(1)]) == Choice((never,))


def test_the_order_is_never_joined_then_unready_then_fewest_tasks() -> None:
    present = group([instance(number) for number in range(1, 5)])
    nodes = [node(1), node(2), node(3, state="down")]
    tasks = [*(task(WEB, slot, nodes[0]) for slot in (1, 2)), *(task(WEB, slot, nodes[2]) for slot in (3, 4, 5))]
    assert names(chosen(4, present, nodes, tasks)) == ["i-0004", "3", "2", "1"]


def test_tasks_of_global_services_and_tasks_that_are_over_weigh_nothing() -> None:
    nodes = [node(1), node(2)]
    over = [task(WEB, slot, nodes[0], state="shutdown", desired="shutdown") for slot in range(5)]
    tasks = [task(GLOBAL, 0, nodes[0]), *over, task(WEB, 9, nodes[1])]
    assert names(chosen(1, group([instance(1), instance(2)]), nodes, tasks)) == ["1"]


def test_a_node_that_is_drained_already_goes_before_those_that_work_and_is_told() -> None:
    nodes = [node(1), node(2, availability="drain"), node(3, state="down")]
    found = chosen(2, group([instance(number) for number in (1, 2, 3)]), nodes)
    assert names(found) == ["2", "3"]
    assert isinstance(found, Choice)
    assert [victim.why for victim in found.victims] == ["its node was drained already", "its node is not Ready"]
    assert found.remark == "ip-10-0-3-2 was drained already"


# --- What may go together ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "code"),
    [
        (JOB, "job-running"),
        (service("once", restarts=False), "never-restarts"),
        (service("db", local_volumes=("data",)), "local-volume"),
        (service("pinned", constraints=("node.hostname==ip-10-0-3-1",)), "would-not-fit"),
        (service("gone"), "unknown-service"),
    ],
)
def test_a_cheaper_node_that_can_not_go_is_passed_over_with_the_reason(what: Service, code: str) -> None:
    nodes = [node(1), node(2)]
    tasks = [task(what, 1, nodes[0]), *(task(WEB, slot, nodes[1]) for slot in range(3))]
    known = [WEB] if what.name == "gone" else [WEB, what]
    found = chosen(1, group([instance(1), instance(2)]), nodes, tasks, services=known)
    assert (names(found), passed(found)) == (["2"], {"1": code})
    assert isinstance(found, Choice)
    assert found.victims[0].why == "3 tasks to move"
    assert found.remark == f"passed over: ip-10-0-3-1 ({code})"
    told = reason(chosen(2, group([instance(1), instance(2)]), nodes, tasks, services=known))
    assert "of the 2 instances of Auto Scaling group swarm-NodeAsg-1 that may go, no 2 can: ip-10-0-3-1: " in told


def test_of_two_that_fit_only_one_at_a_time_one_gives_way_to_the_next() -> None:
    big = service("big", cpus=4 * CPU)
    nodes = [node(1), node(2), node(3, cpus=2 * CPU)]
    tasks = [task(big, 1, nodes[0]), task(big, 2, nodes[1]), *(task(WEB, slot, nodes[2]) for slot in range(3))]
    found = chosen(2, group([instance(number) for number in (1, 2, 3)]), nodes, tasks, services=[WEB, big])
    assert (names(found), passed(found)) == (["2", "3"], {"1": "would-not-fit"})


def test_where_the_cheapest_fits_with_no_other_a_set_without_it_is_found() -> None:
    """Node 1 may go, but takes the only place that 2 or 3 need; 2 and 3 together need less."""
    wide = service("wide", cpus=4 * CPU)
    slim = service("slim", cpus=2 * CPU)
    nodes = [node(1), node(2), node(3)]
    tasks = [task(wide, 1, nodes[0]), *(task(slim, slot, nodes[slot]) for slot in (1, 2))]
    tasks += [task(WEB, slot, nodes[slot]) for slot in (1, 2)]
    found = chosen(2, group([instance(number) for number in (1, 2, 3)]), nodes, tasks, services=[WEB, wide, slim])
    assert sorted(names(found)) == ["2", "3"]
    assert passed(found) == {"1": "would-not-fit"}


def test_quorum_is_asked_of_the_set() -> None:
    managers = [manager(1), manager(2), manager(3, reachable=False)]
    present, busy = group([instance(number) for number in (1, 2, 3)]), [task(WEB, 1, managers[2])]
    found = chosen(2, present, managers, busy, node_type="manager")
    assert (names(found), passed(found)) == (["2", "3"], {"1": "quorum"})
    kept = [*managers[:2], manager(3, reachable=False, labels={PROTECT_LABEL: "true"})]
    told = reason(chosen(2, present, kept, busy, node_type="manager"))
    assert "would cost the managers' quorum: of the 2 others 1 can be reached, 2 are needed" in told


def test_a_protected_node_is_named_among_those_passed_over_only_where_it_would_have_cost_less() -> None:
    nodes = [node(1, labels={PROTECT_LABEL: "true"}), node(2)]
    machines = group([instance(1), instance(2)])
    busy = [task(WEB, slot, nodes[1]) for slot in range(3)]
    assert passed(chosen(1, machines, nodes, busy)) == {"1": "protected"}
    assert passed(chosen(1, machines, nodes, [task(WEB, slot, nodes[0]) for slot in range(3)])) == {}


def test_a_refusal_tells_the_first_of_many_reasons() -> None:
    nodes = [node(number) for number in range(30)]
    tasks = [task(JOB, number, nodes[number], desired="complete") for number in range(30)]
    told = reason(chosen(1, group([instance(number) for number in range(30)]), nodes, tasks))
    assert told.count("A task of the job backup") == 5
    assert "; and 25 more. Make room (or wait), then repeat the request" in told


def test_among_equals_the_fullest_zone_gives_first_and_is_counted_again_after_each() -> None:
    zones = ["a", "a", "a", "b", "b", "c"]
    present = group([instance(number, zone=zone) for number, zone in enumerate(zones)])
    found = chosen(5, present, [node(number) for number in range(6)])
    assert [zones[int(name)] for name in names(found)][:3] == ["a", "b", "a"]
    assert Counter(zones[int(name)] for name in names(found)) == {"a": 2, "b": 2, "c": 1}


def test_among_equals_in_one_zone_the_newest_goes() -> None:
    present = group(
        [instance(1, launched_at=ago(500)), instance(2, launched_at=ago(50)), instance(3, launched_at=None)]
    )
    assert names(chosen(3, present, [node(1), node(2), node(3)])) == ["2", "1", "3"]


def test_the_workers_own_node_goes_only_when_no_other_will_do() -> None:
    nodes = [node(1), node(2)]
    tasks = [task(WEB, slot, nodes[1]) for slot in range(5)]
    present = group([instance(1), instance(2)])
    assert names(chosen(1, present, nodes, tasks, own_node_id="n-0001")) == ["2"]
    assert names(chosen(2, present, nodes, tasks, own_node_id="n-0001")) == ["2", "1"]


def test_a_protected_node_is_never_taken_and_named_in_the_refusal() -> None:
    nodes = [node(1, labels={PROTECT_LABEL: "true"}), node(2, labels={PROTECT_LABEL: "false"})]
    present = group([instance(1), instance(2)])
    assert names(chosen(1, present, nodes)) == ["2"]
    told = reason(chosen(2, present, nodes))
    assert "Only 1 of the 2 instances of Auto Scaling group swarm-NodeAsg-1 can be removed, 2 should be" in told
    assert "ip-10-0-3-1 (node label com.df.scaler.protect=true)" in told
    assert "docker node update --label-rm com.df.scaler.protect NODE" in told


def test_an_instance_protected_from_scale_in_is_kept_unless_its_group_protects_all() -> None:
    machines, nodes = [instance(1, protected=True), instance(2, protected=True)], [node(1), node(2)]
    assert len(names(chosen(2, group(machines, protects_new=True), nodes))) == 2
    told = reason(chosen(1, group(machines, protects_new=False), nodes))
    assert "Only 0 of the 2" in told
    assert "ip-10-0-3-1 (protected from scale-in), ip-10-0-3-2 (protected from scale-in)" in told


def test_an_instance_that_never_joined_may_be_protected_too() -> None:
    present = group([instance(1), instance(2, protected=True)], protects_new=False)
    assert names(chosen(1, present, [node(1)])) == ["1"]


@pytest.mark.parametrize("phase", sorted(set(Phase) - {Phase.IN_SERVICE}))
def test_what_is_not_in_service_is_not_taken(phase: Phase) -> None:
    present = group([instance(1), instance(2, phase=phase)])
    assert names(chosen(1, present, [node(1), node(2)])) == ["1"]
    assert isinstance(chosen(2, present, [node(1), node(2)]), Refusal)


def test_what_never_left_its_launch_and_never_joined_is_taken() -> None:
    present = group([instance(1), instance(2, phase=Phase.PENDING)])
    assert names(chosen(1, present, [node(1)])) == ["i-0002"]


def test_an_instance_that_still_boots_is_not_taken() -> None:
    present = group([instance(1), instance(2, launched_at=ago(30))])
    assert names(chosen(1, present, [node(1)])) == ["1"]
    assert "i-0002 (has not joined the Swarm yet)" in reason(chosen(2, present, [node(1)]))


STRAY = node(99, hostname="build-3")


def test_where_a_ready_node_could_be_an_instance_without_one_no_healthy_one_goes_in_its_place() -> None:
    present = group([instance(1), instance(2)])
    told = reason(chosen(1, present, [node(1), STRAY]))
    assert "Nobody can tell whether these instances have joined the Swarm" in told
    assert "i-0002: no node of the Swarm can be matched to it, but it could be build-3 (n-0099)" in told
    assert "label instance_id=INSTANCE_ID" in told
    assert "i-0002 (no node of the Swarm can be matched to it, but it could" in reason(
        chosen(2, present, [node(1), STRAY])
    )


@pytest.mark.parametrize(
    "other",
    [
        node(99),
        replace(STRAY, state="down"),
        manager(99, hostname="build-3"),
        replace(STRAY, engine_labels={"instance_id": "i-another-group"}),
        replace(STRAY, created_at=ago(9000)),
    ],
    ids=["another hostname", "down", "a manager", "another label", "older than the instance"],
)
def test_what_never_joined_goes_first_whatever_else_is_in_the_swarm(other: Node) -> None:
    present = group([instance(1), instance(2, made_at=ago(3600))])
    assert names(chosen(1, present, [node(1), other])) == ["i-0002"]


def test_what_surely_never_joined_goes_though_another_is_doubtful_and_so_does_a_node_that_is_down() -> None:
    present = group([instance(1), instance(2, made_at=ago(100)), instance(3, made_at=ago(4000)), instance(4)])
    nodes = [node(1), node(4, state="down"), replace(STRAY, created_at=ago(2000))]
    assert names(chosen(1, present, nodes)) == ["i-0002"]
    assert names(chosen(2, present, nodes)) == ["i-0002", "4"]
    assert "i-0003: no node of the Swarm can be matched to it" in reason(chosen(3, present, nodes))


def test_a_doubtful_instance_that_is_kept_anyway_holds_nobody_up() -> None:
    present = group([instance(1), instance(2, protected=True)], protects_new=False)
    assert names(chosen(1, present, [node(1), STRAY])) == ["1"]


def test_a_node_that_is_being_demoted_could_be_either() -> None:
    present = group([instance(1), instance(2)])
    demoted = manager(99, role="worker", hostname="build-3")
    assert "it could be build-3" in reason(chosen(1, present, [node(1), demoted]))


def test_the_ready_node_of_an_instance_on_its_way_out_is_no_stranger() -> None:
    present = group([instance(1), instance(2), instance(3, phase=Phase.LEAVING)])
    assert names(chosen(1, present, [node(1), node(3)])) == ["i-0002"]


def test_an_instance_that_two_ready_nodes_claim_is_never_taken_and_both_are_named() -> None:
    nodes = [node(1), node(9, engine_labels={"instance_id": "i-0001"}), node(2)]
    present = group([instance(1), instance(2)])
    assert names(chosen(1, present, nodes)) == ["2"]
    for told in (reason(chosen(2, present, nodes)), reason(chosen(1, group([instance(1)]), nodes))):
        assert "i-0001 (claimed by two Ready nodes, ip-10-0-3-9 (n-0009) and ip-10-0-3-1 (n-0001): give each" in told


def test_a_label_on_any_node_that_claims_an_instance_protects_it() -> None:
    old = node(1, id="old", state="down", labels={PROTECT_LABEL: "true"})
    assert "node label com.df.scaler.protect=true" in reason(chosen(1, group([instance(1)]), [node(1), old]))


def test_where_no_node_matches_any_instance_nothing_is_taken() -> None:
    told = reason(chosen(1, group([instance(1), instance(2)]), [node(98), node(99)]))
    assert "(i-0001, i-0002): no node of the Swarm can be matched to any of them" in told
    assert "label instance_id=INSTANCE_ID" in told


def test_an_empty_group_has_nothing_to_give() -> None:
    assert "has no instance that could be removed" in reason(chosen(1, group(), [node(1)]))


def test_a_refusal_stays_readable_in_a_large_group() -> None:
    present = group([instance(number, protected=True) for number in range(500)], protects_new=False)
    told = reason(chosen(1, present, [node(number) for number in range(500)]))
    assert "and 492 more" in told
    assert len(told) < 1000


MACHINES = st.lists(
    st.fixed_dictionaries(
        {
            "phase": st.sampled_from([*Phase, Phase.IN_SERVICE, Phase.IN_SERVICE]),
            "age": st.sampled_from([30, 2000, 3600]),
            "zone": st.sampled_from(["a", "b"]),
            "protected": st.booleans(),
            "label": st.sampled_from(["", "", "true", "false"]),
            "state": st.sampled_from(["ready", "ready", "down", None]),
            "tasks": st.integers(0, 3),
        }
    ),
    max_size=7,
)
Machines = list[dict[str, Any]]


def world(machines: Machines, *, protects_new: bool) -> tuple[Group, list[Node], list[Task]]:
    instances = [
        instance(
            number,
            phase=one["phase"],
            launched_at=ago(one["age"]),
            zone=one["zone"],
            protected=one["protected"],
        )
        for number, one in enumerate(machines)
    ]
    nodes = {
        number: node(number, state=one["state"], labels={PROTECT_LABEL: one["label"]} if one["label"] else {})
        for number, one in enumerate(machines)
        if one["state"]
    }
    tasks = [
        task(WEB, 10 * number + slot, nodes[number])
        for number, one in enumerate(machines)
        if one["state"]
        for slot in range(one["tasks"])
    ]
    return group(instances, protects_new=protects_new), list(nodes.values()), tasks


def may_go(one: dict[str, Any], *, protects_new: bool) -> bool:
    """The rules once more, told from one machine's side (no stranger is among the nodes here)."""
    if (one["protected"] and not protects_new) or (one["state"] and one["label"] == "true"):
        return False
    if one["state"]:
        return bool(one["phase"] == Phase.IN_SERVICE)
    return one["age"] > 1000 and one["phase"] in {Phase.IN_SERVICE, Phase.PENDING}


@given(MACHINES, st.integers(1, 4), st.booleans(), st.integers(0, 6))
def test_exactly_as_many_as_asked_for_go_each_of_them_may_and_the_cheapest_first(
    machines: Machines, count: int, protects_new: bool, own: int
) -> None:
    present, nodes, tasks = world(machines, protects_new=protects_new)
    found = chosen(count, present, nodes, tasks, own_node_id=f"n-{own:04d}")
    free = [number for number, one in enumerate(machines) if may_go(one, protects_new=protects_new)]
    if isinstance(found, Refusal):
        assert not nodes or len(free) < count
        return
    taken = [int(victim.instance_id.removeprefix("i-")) for victim in found.victims]
    assert len(taken) == len(set(taken)) == count
    assert set(taken) <= set(free)
    kept = set(free) - set(taken)
    for goes in taken:
        for stays in kept:
            assert cost(machines, goes, own) <= cost(machines, stays, own)
    assert [cost(machines, number, own) for number in taken] == sorted(cost(machines, number, own) for number in taken)


def cost(machines: Machines, number: int, own: int) -> tuple[bool, int, int]:
    one = machines[number]
    rank = {None: 0, "down": 2, "ready": 3}[one["state"]]
    return bool(one["state"]) and number == own, rank, one["tasks"] if one["state"] else 0


@given(MACHINES, st.integers(1, 4))
def test_among_equals_no_zone_is_left_much_fuller_than_it_must_be(machines: Machines, count: int) -> None:
    equal = [{**one, "phase": Phase.IN_SERVICE, "state": "ready", "tasks": 0, "label": ""} for one in machines]
    present, nodes, tasks = world(equal, protects_new=True)
    found = chosen(count, present, nodes, tasks)
    if isinstance(found, Refusal):
        assert len(equal) < count
        return
    gone = {victim.instance_id for victim in found.victims}
    rest = Counter(member.zone for member in present.instances if member.id not in gone)
    touched = {member.zone for member in present.instances if member.id in gone}
    assert all(rest[zone] + 1 >= rest[other] for zone in touched for other in ("a", "b"))
    for member in present.instances:
        younger = [other for other in present.instances if other.zone == member.zone and newer(other, member)]
        assert member.id not in gone or all(other.id in gone for other in younger)


def newer(one: Instance, other: Instance) -> bool:
    return one.launched_at is not None and other.launched_at is not None and one.launched_at > other.launched_at


@given(MACHINES, st.integers(1, 4))
def test_the_order_of_the_answers_does_not_matter(machines: Machines, count: int) -> None:
    present, nodes, tasks = world(machines, protects_new=True)
    turned = group(present.instances[::-1])
    again = chosen(count, turned, nodes[::-1], tasks[::-1])
    found = chosen(count, present, nodes, tasks)
    assert found == again or isinstance(found, Refusal) == isinstance(again, Refusal) is True


# --- Size -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pinned", [0, 40, 1000])
def test_a_thousand_nodes_and_twenty_thousand_tasks_are_searched_within_the_bound(pinned: int) -> None:
    numbers = range(1000, 2000)
    nodes = [node(number, cpus=100 * CPU, memory=100 * GIB) for number in numbers]
    services = [
        service(f"s{number}", cpus=CPU, memory=GIB, constraints=("node.labels.n!=x",), max_per_node=30)
        for number in range(200)
    ]
    stuck = [
        service(f"pin{number}", constraints=(f"node.hostname=={nodes[number].hostname}",)) for number in range(pinned)
    ]
    free = nodes[pinned:] or nodes
    tasks = [task(services[number % 200], number, free[number % len(free)]) for number in range(20_000)]
    tasks += [task(each, 1, nodes[number]) for number, each in enumerate(stuck)]
    found = chosen(3, group([instance(number) for number in numbers]), nodes, tasks, services=[*services, *stuck])
    if pinned == 1000:
        assert "Not every set of them was tried" in reason(found)
    else:
        assert list(passed(found).values()) == ["would-not-fit"] * pinned
