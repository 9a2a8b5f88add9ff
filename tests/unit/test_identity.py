"""Which instance is which node: exactly, or not at all."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.build import ago, group, host, instance, node
from worker.decisions.matching import (
    MEMBERS_KEPT,
    Strangers,
    claimants,
    dispute,
    disputed,
    matched,
    members,
    owners,
    remembered,
)
from worker.ports.scaling import Instance, Phase
from worker.ports.swarm import Node


def test_the_engine_label_names_the_instance() -> None:
    labelled = node(1, hostname="anything", engine_labels={"instance_id": "i-0001"})
    assert matched([labelled], [instance(1), instance(2)]) == {"i-0001": labelled}


def test_without_a_label_the_hostname_is_the_private_dns_name_or_its_first_label() -> None:
    short, full = node(1), node(2, hostname=f"{host(2)}.ec2.internal")
    assert matched([short, full], [instance(1), instance(2)]) == {"i-0001": short, "i-0002": full}


def test_a_hostname_is_never_matched_by_prefix() -> None:
    assert matched([node(12)], [instance(129)]) == {}
    assert matched([node(129)], [instance(12)]) == {}


def test_a_node_whose_label_names_another_instance_never_matches_by_hostname() -> None:
    moved = node(1, engine_labels={"instance_id": "i-0002"})
    assert matched([moved], [instance(1)]) == {}
    assert matched([moved], [instance(1), instance(2)]) == {"i-0002": moved}


def test_of_two_nodes_on_one_instance_the_ready_one_counts() -> None:
    old, new = node(1, id="z-old", state="down"), node(1, id="a-new")
    assert matched([old, new], [instance(1)]) == matched([new, old], [instance(1)]) == {"i-0001": new}


def test_of_two_ready_nodes_that_claim_one_instance_neither_is_guessed() -> None:
    by_name, by_label = node(1, id="z"), node(9, id="a", engine_labels={"instance_id": "i-0001"})
    old = node(1, id="old", state="down")
    assert matched([by_label, by_name, old, node(2)], [instance(1), instance(2)]) == {"i-0002": node(2)}
    claiming = claimants([by_name, old, by_label], [instance(1)])["i-0001"]
    assert disputed(claiming)
    assert dispute(claiming) == "claimed by two Ready nodes, ip-10-0-3-9 (a) and ip-10-0-3-1 (z)"


def test_of_several_down_nodes_on_one_instance_the_newest_counts_whatever_its_id() -> None:
    left = node(1, id="node-6", state="down", created_at=ago(600))
    present = node(1, id="node-25", state="down", availability="drain", created_at=ago(60))
    assert claimants([left, present], [instance(1)]) == {"i-0001": (present, left)}


def test_all_nodes_that_claim_an_instance_are_told_the_one_that_counts_first() -> None:
    old, older, new = node(1, id="y", state="down"), node(1, id="x", state="unknown"), node(1, id="a")
    assert claimants([older, node(3), old, new], [instance(1), instance(2)]) == {"i-0001": (new, old, older)}
    assert not disputed((new, old, older))


def test_an_instance_without_a_private_dns_name_has_no_node_without_a_hostname() -> None:
    assert matched([node(1, hostname="")], [instance(1, private_dns_name="")]) == {}


def test_an_address_that_came_back_belongs_to_the_instance_that_stays() -> None:
    gone = instance(2, private_dns_name=instance(1).private_dns_name, phase=Phase.LEAVING)
    assert matched([node(1)], [gone, instance(1)]) == {"i-0001": node(1)}


def test_a_name_that_two_instances_could_have_stands_for_neither() -> None:
    other = instance(2, private_dns_name=f"{host(1)}.eu-west-1.compute.internal")
    assert matched([node(1)], [instance(1), other]) == {}


def test_instances_on_their_way_out_in_standby_or_in_the_warm_pool_are_no_members() -> None:
    present = group(instance(number, phase=phase) for number, phase in enumerate(Phase))
    assert [member.phase for member in members(present)] == [Phase.PENDING, Phase.IN_SERVICE]


def test_who_was_a_member_is_remembered_the_newest_last() -> None:
    first = remembered({}, group([instance(1), instance(2)]))
    assert first == {"i-0001": "ip-10-0-3-1.ec2.internal", "i-0002": "ip-10-0-3-2.ec2.internal"}
    young = instance(2, private_dns_name="")
    assert list(remembered(first, group([young, instance(3)]))) == ["i-0001", "i-0002", "i-0003"]
    assert remembered(first, group([young])) == first
    crowd = group([instance(number) for number in range(10, 10 + MEMBERS_KEPT)])
    assert list(remembered(first, crowd)) == [member.id for member in crowd.instances]


def test_a_node_was_the_instance_of_its_label_or_one_that_had_its_hostname() -> None:
    seen = {"i-0001": "ip-10-0-3-1.ec2.internal", "i-0007": "ip-10-0-3-1.ec2.internal", "i-0002": ""}
    assert owners(node(1), seen) == {"i-0001", "i-0007"}
    assert owners(node(1, hostname="ip-10-0-3-1.ec2.internal"), seen) == {"i-0001", "i-0007"}
    assert owners(node(1, engine_labels={"instance_id": "i-elsewhere"}), seen) == {"i-elsewhere"}
    assert owners(node(2), seen) == owners(node(2, hostname=""), seen) == owners(node(10), seen) == set()


def like(stranger: Node, nodes: Sequence[Node] = (), **changes: Any) -> bool:
    """Whether instance 2, of which nothing more is known, could be this node."""
    second = instance(2, **{"private_dns_name": "", **changes})
    return Strangers([*nodes, stranger], [instance(1, addresses=frozenset({"10.0.3.1"})), second]).like(second) != ()


STRANGER = node(9, hostname="build-3", address="10.0.3.9")
FIRST = node(1, address="10.0.3.1")


def test_a_ready_node_of_which_nothing_is_known_could_be_any_instance() -> None:
    assert like(STRANGER)
    assert not like(replace(STRANGER, state="down"))
    assert not like(FIRST)


def test_a_hostname_tells_an_instance_apart_if_it_is_one_of_ec2s() -> None:
    for name in ("ip-10-0-3-9", "ip-10-0-3-9.ec2.internal", "i-0123456789abcdef0.ec2.internal"):
        assert not like(replace(STRANGER, hostname=name), private_dns_name="ip-10-0-3-2.ec2.internal")
        assert like(replace(STRANGER, hostname=name))
    assert like(STRANGER, private_dns_name="ip-10-0-3-2.ec2.internal")


def test_a_label_tells_an_instance_apart_unless_others_have_it_too() -> None:
    labelled = replace(STRANGER, engine_labels={"instance_id": "i-elsewhere"})
    assert not like(labelled)
    assert like(labelled, [replace(labelled, id="n-0010")])


def test_what_points_to_an_instance_outweighs_a_label_that_names_another() -> None:
    labelled = replace(STRANGER, engine_labels={"instance_id": "i-of-the-image"})
    assert like(labelled, addresses=frozenset({"10.0.3.9"}))
    for domain in ("", ".ec2.internal", ".eu-west-1.compute.internal"):
        assert like(replace(labelled, hostname=f"{host(2)}{domain}"), private_dns_name=f"{host(2)}.ec2.internal")


def test_an_address_tells_an_instance_apart_where_the_swarm_goes_by_those_of_ec2() -> None:
    others = frozenset({"10.0.3.2", "54.1.2.3"})
    assert not like(STRANGER, [FIRST], addresses=others)
    assert like(STRANGER, [FIRST])
    assert like(STRANGER, [replace(FIRST, address="192.168.7.1")], addresses=others)
    for none in ("", "0.0.0.0", "127.0.0.1", "::"):
        assert like(replace(STRANGER, address=none), [FIRST], addresses=others)


def test_a_node_that_came_before_the_machine_was_made_is_not_it() -> None:
    assert not like(replace(STRANGER, created_at=ago(4000)), made_at=ago(3600))
    assert like(replace(STRANGER, created_at=ago(3500)), made_at=ago(3600))
    assert like(replace(STRANGER, created_at=ago(3630)), made_at=ago(3600))


def test_the_ready_nodes_of_a_disputed_instance_could_be_another() -> None:
    both = [node(8, hostname=name, engine_labels={"instance_id": "i-0001"}, id=name) for name in ("x", "y")]
    assert like(both[0], both[1:])


NAMES = ["", *(host(number) for number in (1, 12, 129)), "ip-10-0-3-1.ec2.internal", "IP-10-0-3-1", "ip-10-0-3-12."]
INSTANCES = st.lists(
    st.builds(
        instance,
        st.integers(0, 5),
        private_dns_name=st.sampled_from(NAMES),
        phase=st.sampled_from([Phase.IN_SERVICE, Phase.LEAVING]),
    ),
    max_size=5,
    unique_by=lambda found: found.id,
)
NODES = st.lists(
    st.builds(
        node,
        st.integers(0, 9),
        hostname=st.sampled_from(NAMES),
        state=st.sampled_from(["ready", "down"]),
        engine_labels=st.sampled_from([{}, {"instance_id": ""}, *({"instance_id": f"i-000{n}"} for n in range(4))]),
    ),
    max_size=6,
    unique_by=lambda found: found.id,
)


@given(NODES, INSTANCES)
def test_every_match_has_its_reason_and_no_node_is_matched_twice(nodes: list[Node], instances: list[Instance]) -> None:
    found = matched(nodes, instances)
    by_id = {member.id: member for member in instances}
    for instance_id, mate in found.items():
        label, name = mate.engine_labels.get("instance_id", ""), by_id[instance_id].private_dns_name
        assert label == instance_id or (not label and mate.hostname in {name, name.split(".")[0]} - {""})
    assert len({mate.id for mate in found.values()}) == len(found)


@given(NODES, INSTANCES)
def test_a_ready_node_never_loses_to_one_that_is_not_and_never_wins_over_another(
    nodes: list[Node], instances: list[Instance]
) -> None:
    found, claims = matched(nodes, instances), claimants(nodes, instances)
    ready = {member.id: [n for n in claims.get(member.id, ()) if n.ready] for member in instances}
    labelled = {n.engine_labels["instance_id"] for n in nodes if n.ready and n.engine_labels.get("instance_id")}
    assert all(ready[member.id] for member in instances if member.id in labelled)
    assert all(found[member.id] == ready[member.id][0] for member in instances if len(ready[member.id]) == 1)
    assert all(member.id not in found for member in instances if len(ready[member.id]) > 1)


@given(NODES, INSTANCES)
def test_each_node_claims_one_instance_at_the_most(nodes: list[Node], instances: list[Instance]) -> None:
    claiming = [node.id for each in claimants(nodes, instances).values() for node in each]
    assert len(claiming) == len(set(claiming))


@given(NODES, INSTANCES)
def test_the_order_of_the_answers_does_not_matter(nodes: list[Node], instances: list[Instance]) -> None:
    assert matched(nodes, instances) == matched(nodes[::-1], instances[::-1])
