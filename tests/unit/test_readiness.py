"""When a scale-up has come true."""

import json

from hypothesis import given
from hypothesis import strategies as st

from shared.fields import Role
from tests.unit.build import JOIN_TIMEOUT, NOW, ago, group, instance, manager, node
from worker.decisions.readiness import Expectation, Progress, excluded_names, expect, progress, ready_nodes, up_count
from worker.ports.scaling import Group, Instance, Phase
from worker.ports.swarm import Manager, Node


def expected(target: int, base: int, present: Group, nodes: list[Node], node_type: Role = "worker") -> Expectation:
    return expect(target, base, present, nodes, node_type, NOW, JOIN_TIMEOUT)


def young(number: int) -> Instance:
    return instance(number, phase=Phase.PENDING, launched_at=ago(5))


def test_it_is_done_when_as_many_instances_as_asked_for_are_ready_nodes() -> None:
    wanted = expected(2, 1, group([instance(1)]), [node(1)])
    assert wanted == Expectation(target=2, base=1, matching="matched", excluded=(), ready_before=1)
    now = group([instance(1), young(2)])
    assert progress(wanted, now, [node(1)], "worker") == Progress(1, 2, ("i-0002",))
    assert progress(wanted, now, [node(1), node(2, state="down")], "worker").missing == ("i-0002",)
    assert progress(wanted, now, [node(1), node(2)], "worker") == Progress(2, 2, ())
    assert progress(wanted, now, [node(1), node(2)], "worker").done


def test_a_stray_ready_node_outside_the_group_changes_nothing() -> None:
    wanted = expected(2, 1, group([instance(1)]), [node(1), node(99)])
    assert not progress(wanted, group([instance(1), young(2)]), [node(1), node(99), node(98)], "worker").done


def test_a_node_that_a_person_drained_after_the_plan_counts() -> None:
    wanted = expected(2, 1, group([instance(1)]), [node(1)])
    drained = node(2, availability="drain")
    assert progress(wanted, group([instance(1), instance(2)]), [node(1), drained], "worker").done


def test_an_instance_on_its_way_out_or_in_standby_does_not_count() -> None:
    wanted = expected(2, 1, group([instance(1)]), [node(1)])
    for phase in (Phase.LEAVING, Phase.STANDBY, Phase.WARM):
        now = group([instance(1, phase=phase), instance(2)])
        assert progress(wanted, now, [node(1), node(2)], "worker") == Progress(1, 2, ())


def test_an_instance_that_never_joined_is_neither_counted_nor_waited_for() -> None:
    before = group([instance(1), instance(2)])
    wanted = expected(3, 2, before, [node(1)])
    assert wanted.excluded == ("i-0002",)
    now = group([instance(1), instance(2), instance(3)])
    assert progress(wanted, now, [node(1)], "worker") == Progress(1, 2, ("i-0003",))
    assert progress(wanted, now, [node(1), node(3)], "worker").done
    assert excluded_names(wanted, now, [node(1)]) == ("i-0002 (never joined)",)


def test_an_instance_that_still_boots_is_waited_for() -> None:
    assert expected(3, 2, group([instance(1), young(2)]), [node(1)]).excluded == ()


def test_a_node_that_someone_drained_or_paused_before_the_plan_is_not_counted() -> None:
    before = group([instance(1), instance(2), instance(3)])
    nodes = [node(1), node(2, availability="drain"), node(3, availability="pause")]
    wanted = expected(4, 3, before, nodes)
    now = group([*before.instances, instance(4)])
    assert progress(wanted, now, nodes, "worker") == Progress(1, 2, ("i-0004",))
    assert excluded_names(wanted, now, nodes) == ("ip-10-0-3-2 (drained)", "ip-10-0-3-3 (paused)")


def test_the_replacement_of_an_excluded_instance_is_waited_for() -> None:
    wanted = expected(3, 2, group([instance(1), instance(2)]), [node(1)])
    replaced = group([instance(1), instance(2, phase=Phase.LEAVING), instance(3), instance(4)])
    assert progress(wanted, replaced, [node(1), node(3)], "worker") == Progress(2, 3, ("i-0004",))
    assert excluded_names(wanted, replaced, [node(1)]) == ()
    gone = group([instance(1), instance(3), instance(4)])
    assert progress(wanted, gone, [node(1), node(3), node(4)], "worker") == Progress(3, 3, ())


def test_however_many_are_excluded_the_added_ones_are_waited_for() -> None:
    drained = [node(number, availability="drain") for number in (1, 2, 3)]
    present = group([instance(1), instance(2), instance(3)], desired=1)
    wanted = expected(2, 1, present, drained)
    assert progress(wanted, present, drained, "worker") == Progress(0, 1, ())


def test_an_excluded_node_tells_its_state() -> None:
    before = group([instance(1), instance(2)])
    wanted = expected(3, 2, before, [node(1), node(2, state="down")])
    assert excluded_names(wanted, before, [node(2, state="down")]) == ("ip-10-0-3-2 (down)",)
    assert excluded_names(wanted, before, [node(2)]) == ("ip-10-0-3-2 (was not in use when the scale began)",)


def test_an_instance_that_two_ready_nodes_claim_is_not_counted_and_both_are_named() -> None:
    nodes = [node(1), node(2), node(9, engine_labels={"instance_id": "i-0002"})]
    before = group([instance(1), young(2)])
    wanted = expected(3, 2, before, nodes)
    assert wanted.excluded == ("i-0002",)
    assert excluded_names(wanted, before, nodes) == (
        "i-0002 (claimed by two Ready nodes, ip-10-0-3-9 (n-0009) and ip-10-0-3-2 (n-0002))",
    )


def test_where_no_node_matches_the_ready_nodes_of_the_role_are_counted() -> None:
    strays = [node(91), node(92, state="down"), manager(93)]
    wanted = expected(3, 1, group([instance(1)]), strays)
    assert (wanted.matching, wanted.ready_before) == ("unmatched", 1)
    now = group([instance(1), instance(2), instance(3)])
    assert progress(wanted, now, [*strays, node(94)], "worker") == Progress(2, 3, ())
    assert progress(wanted, now, [*strays, node(94), node(95)], "worker").done


def test_a_node_that_says_it_is_another_instance_is_not_counted_where_none_matches() -> None:
    foreign = node(98, engine_labels={"instance_id": "i-elsewhere"})
    wanted = expected(2, 1, group([young(1)]), [foreign])
    assert (wanted.matching, wanted.ready_before) == ("unknown", 0)
    both = group([young(1), young(2)])
    assert progress(wanted, both, [foreign, node(97, engine_labels={"instance_id": "i-far"})], "worker").ready == 0
    baked = [node(number, engine_labels={"instance_id": "i-image"}) for number in (95, 96)]
    assert progress(wanted, both, baked, "worker").done, "a label of several nodes says nothing about any of them"


def test_a_dispute_about_the_only_node_that_matches_does_not_make_strangers_count() -> None:
    wanted = expected(2, 0, group(), [])
    both = group([young(1), young(2)])
    nodes = [node(1), node(9, engine_labels={"instance_id": "i-0001"}), node(91)]
    assert progress(wanted, both, nodes, "worker") == Progress(0, 2, ("i-0001", "i-0002"))


def test_an_empty_group_goes_by_match_as_soon_as_one_matches() -> None:
    wanted = expected(2, 0, group(), [])
    assert wanted.matching == "unknown"
    both = group([young(1), young(2)])
    assert progress(wanted, both, [node(91)], "worker") == Progress(1, 2, ())
    assert progress(wanted, both, [node(1), node(91)], "worker") == Progress(1, 2, ("i-0002",))
    assert progress(wanted, both, [node(1), node(2)], "worker").done


def test_instances_that_still_boot_are_no_evidence_that_nodes_cannot_be_matched() -> None:
    second = expected(2, 1, group([young(1)]), [])
    assert second.matching == "unknown"
    assert not progress(second, group([young(1), young(2)]), [node(1)], "worker").done


def test_where_nodes_are_only_counted_each_of_a_burst_waits_for_its_own() -> None:
    first = expected(2, 1, group([instance(1)]), [node(91)])
    second = expected(3, 2, group([instance(1), young(2)]), [node(91)]).behind([first])
    now, nodes = group([instance(1), young(2), young(3)]), [node(91), node(92)]
    assert progress(first, now, nodes, "worker").done
    assert not progress(second, now, nodes, "worker").done
    assert progress(second, now, [*nodes, node(93)], "worker").done


def test_a_manager_counts_when_it_is_one_and_can_be_reached() -> None:
    before = group([instance(1)])
    wanted = expected(2, 1, before, [manager(1)], "manager")
    now = group([instance(1), instance(2)])
    for unfit in (node(2), node(2, role="manager"), manager(2, reachable=False), manager(2, state="down")):
        assert progress(wanted, now, [manager(1), unfit], "manager") == Progress(1, 2, ("i-0002",))
    assert progress(wanted, now, [manager(1), manager(2)], "manager").done
    assert ready_nodes([manager(1), manager(2, reachable=False), node(3)], "manager") == (manager(1),)


def test_a_manager_that_was_given_back_a_moment_ago_is_waited_for_and_one_that_cannot_be_reached_is_not() -> None:
    promoted, lost = node(2, role="manager"), manager(3, reachable=False)
    wanted = expected(4, 3, group([instance(1), instance(2), instance(3)]), [manager(1), promoted, lost], "manager")
    assert wanted.excluded == ("i-0003",)


def test_up_are_the_groups_own_nodes_that_are_ready() -> None:
    present = group([instance(1), instance(2), instance(3), instance(4, phase=Phase.LEAVING), instance(5)])
    twins = [node(5), node(50, engine_labels={"instance_id": "i-0005"})]
    nodes = [node(1), node(2, state="down"), node(4), node(99), *twins]
    assert up_count(present, nodes, "worker") == 1
    assert up_count(present, [node(1), manager(2), manager(3, reachable=False)], "manager") == 1


def test_what_is_expected_survives_the_journal() -> None:
    wanted = expected(3, 2, group([instance(1), instance(2)]), [node(1)])
    assert Expectation.parse(json.loads(json.dumps(wanted.document()))) == wanted


MACHINES = st.lists(
    st.tuples(
        st.sampled_from(Phase),
        st.sampled_from([5, 3600]),
        st.sampled_from(["ready", "down", None]),
        st.sampled_from(["active", "drain", "pause"]),
    ),
    max_size=6,
)
Machines = list[tuple[Phase, int, str | None, str]]


def built(machines: Machines) -> tuple[Group, list[Node]]:
    """Machines as (phase, age, state of the node if there is one, its availability)."""
    instances = [
        instance(number, phase=word, launched_at=ago(age)) for number, (word, age, _, _) in enumerate(machines)
    ]
    nodes = [
        node(number, state=state, availability=availability)
        for number, (_, _, state, availability) in enumerate(machines)
        if state
    ]
    return group(instances), nodes


@given(MACHINES, MACHINES, st.integers(1, 5))
def test_done_means_that_the_target_is_reached_but_for_excluded_ones(
    before: Machines, after: Machines, added: int
) -> None:
    old, old_nodes = built(before)
    wanted = expected(old.desired + added, old.desired, old, old_nodes)
    now, nodes = built(after)
    found = progress(wanted, now, nodes, "worker")
    ready = {n.hostname for n in nodes if n.ready}
    counted = [i for i in now.instances if i.phase in {Phase.PENDING, Phase.IN_SERVICE}]
    serving = {i.id for i in counted if i.private_dns_name.split(".")[0] in ready}
    counted_out = {i.id for i in counted} & set(wanted.excluded)
    if wanted.matching == "matched":
        assert found.ready == len(serving - counted_out)
        assert set(found.missing).isdisjoint(serving | counted_out)
    if wanted.matching == "matched" and found.done:
        assert len(serving | counted_out) >= wanted.target
        assert len(serving - counted_out) >= added


@given(MACHINES, st.integers(1, 5))
def test_nothing_is_done_before_anything_has_happened(machines: Machines, added: int) -> None:
    present, nodes = built([machine for machine in machines if machine[0] == Phase.IN_SERVICE])
    wanted = expected(present.desired + added, present.desired, present, nodes)
    assert not progress(wanted, present, nodes, "worker").done


@given(MACHINES)
def test_a_reachable_manager_is_never_missing(machines: Machines) -> None:
    present, nodes = built(machines)
    managers = [manager(int(n.hostname.rsplit("-", 1)[1]), state=n.state, availability=n.availability) for n in nodes]
    wanted = expected(present.desired + 1, present.desired, present, managers, "manager")
    missing = progress(wanted, present, managers, "manager").missing
    assert not {n.hostname for n in managers if n.ready and n.manager == Manager()} & {
        i.private_dns_name.split(".")[0] for i in present.instances if i.id in missing
    }
