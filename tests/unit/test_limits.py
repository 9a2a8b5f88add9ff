"""Bounds, steps and targets."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.fields import Direction, Role
from tests.unit.build import group, settings
from worker.decisions.bounds import AtBound, Limits, Target, node_limits, service_limits, target
from worker.decisions.pools import node_pools

DIRECTIONS = st.sampled_from(["up", "down"])
HUGE = 9223372036854775807
POOLS = node_pools(settings())


def nodes(labels: dict[str, str] | None = None, by: int | None = None, **changes: Any) -> Limits:
    return node_limits(POOLS["worker"], labels or {}, "up", by, group(**{"desired": 1, **changes}))


def test_without_labels_the_defaults_count() -> None:
    assert nodes() == Limits(0, 5, 1)
    assert node_limits(POOLS["manager"], {}, "down", None, group(min_size=1)) == Limits(3, 7, 1)


@pytest.mark.parametrize("node_type", ["worker", "manager"])
@pytest.mark.parametrize("direction", ["up", "down"])
def test_labels_beat_the_defaults_and_the_requests_own_step_beats_the_label(
    node_type: Role, direction: Direction
) -> None:
    kind = node_type.capitalize()
    labels = {
        f"com.df.scale{kind}NodeMin": "2",
        f"com.df.scale{kind}NodeMax": "9",
        f"com.df.scale{kind}Node{direction.capitalize()}By": "4",
    }
    assert node_limits(POOLS[node_type], labels, direction, None, group()) == Limits(2, 9, 4)
    assert node_limits(POOLS[node_type], labels, direction, 3, group()) == Limits(2, 9, 3)


def test_label_keys_come_from_the_settings() -> None:
    own = settings(max_scale_worker_node_label="mine.max", scale_up_by_label="mine.by")
    assert node_limits(node_pools(own)["worker"], {"mine.max": "8"}, "up", None, group()).maximum == 8
    assert service_limits(own, {"mine.by": "7", "com.df.scaleUpBy": "2"}, "up", None).by == 7


@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_services_own_labels_bound_its_replicas(direction: Direction) -> None:
    labels = {"com.df.scaleMin": "2", "com.df.scaleMax": "30", f"com.df.scale{direction.capitalize()}By": "3"}
    assert service_limits(settings(), labels, direction, None) == Limits(2, 30, 3)
    assert service_limits(settings(), labels, direction, 9) == Limits(2, 30, 9)
    assert service_limits(settings(), {}, direction, None) == Limits(1, 5, 1)


def test_the_groups_own_sizes_narrow_the_bounds() -> None:
    assert nodes(min_size=1, max_size=4) == Limits(1, 4, 1)
    assert nodes(min_size=0, max_size=100) == Limits(0, 5, 1)


@pytest.mark.parametrize("value", ["", "-1", "3.5", "many", "٣", "10001", "1e3", " 3", "9" * 5000, str(HUGE)])
def test_a_label_that_is_no_whole_number_in_range_is_passed_over_and_told(value: str) -> None:
    found = nodes({"com.df.scaleWorkerNodeMax": value})
    assert found.maximum == 5
    (warning,) = found.warnings
    assert f"com.df.scaleWorkerNodeMax={value[:30]}" in warning
    assert "from 0 to 10000: 5 is used" in warning
    assert len(warning) < 250


def test_a_step_of_zero_makes_no_sense_but_a_bound_of_zero_does() -> None:
    found = service_limits(settings(), {"com.df.scaleMin": "0", "com.df.scaleDownBy": "0"}, "down", None)
    assert found == Limits(0, 5, 1, found.warnings)
    assert "com.df.scaleDownBy=0 is not a whole number from 1" in found.warnings[0]


def test_a_bad_step_label_is_of_no_interest_where_the_request_says_how_many() -> None:
    assert nodes({"com.df.scaleWorkerNodeUpBy": "lots"}, by=2) == Limits(0, 5, 2)


def test_a_minimum_above_the_maximum_is_told_and_moves_as_little_as_can_be() -> None:
    found = service_limits(settings(), {"com.df.scaleMin": "8"}, "up", 3)
    assert (found.minimum, found.maximum) == (8, 5)
    assert "The minimum of replicas, 8, is more than the maximum, 5" in found.warnings[0]
    assert target("up", 4, found) == Target(4, 5)
    assert target("up", 6, found) == AtBound(6, "maximum")
    assert target("down", 6, found) == AtBound(6, "minimum")
    assert target("down", 12, found) == Target(12, 9)
    assert target("down", 9, found) == Target(9, 8)


def test_a_group_outside_our_bounds_stays_where_it_is() -> None:
    assert target("up", 8, Limits(0, 5, 1)) == AtBound(8, "maximum")
    assert target("down", 1, Limits(3, 7, 1)) == AtBound(1, "minimum")


def test_a_group_outside_our_bounds_may_come_back_but_a_down_takes_no_more_than_its_step() -> None:
    assert target("down", 8, Limits(0, 5, 1)) == Target(8, 7)
    assert target("up", 1, Limits(3, 7, 1)) == Target(1, 3)


def test_a_scale_ends_at_the_bound() -> None:
    assert target("up", 4, Limits(0, 5, 3)) == Target(4, 5)
    assert target("down", 2, Limits(1, 5, 3)) == Target(2, 1)
    assert target("up", 5, Limits(0, 5, 1)) == AtBound(5, "maximum")
    assert target("down", 0, Limits(0, 5, 1)) == AtBound(0, "minimum")


NUMBER = st.integers(0, 12) | st.sampled_from([10_000, HUGE])


@given(DIRECTIONS, NUMBER, NUMBER, NUMBER, st.integers(1, 9) | st.just(HUGE))
def test_a_target_goes_the_right_way_within_the_bounds(
    direction: Direction, present: int, minimum: int, maximum: int, by: int
) -> None:
    found = target(direction, present, Limits(minimum, maximum, by))
    if isinstance(found, AtBound):
        assert found.number == present
        assert present >= maximum if direction == "up" else present <= minimum
    elif direction == "up":
        assert present < found.after <= maximum
        assert found.after in {present + by, minimum, maximum}
    else:
        assert minimum <= found.after < present
        assert present - found.after <= by
    if isinstance(found, Target):
        assert found.before == present


@given(
    st.sampled_from(["worker", "manager"]),
    DIRECTIONS,
    st.dictionaries(
        st.sampled_from([f"com.df.scale{k}Node{w}" for k in ("Worker", "Manager") for w in ("Min", "Max", "UpBy")]),
        st.text("0123456789-. x٣", max_size=6) | st.integers(-3, 20_000).map(str),
    ),
    st.integers(0, 20),
    st.integers(0, 20),
)
def test_no_label_leads_out_of_the_groups_own_sizes(
    node_type: Role, direction: Direction, labels: dict[str, str], least: int, most: int
) -> None:
    found = node_limits(POOLS[node_type], labels, direction, None, group(min_size=least, max_size=most))
    assert found.minimum >= least
    assert found.maximum <= most
    assert 1 <= found.by <= 10_000
    assert (found.minimum > found.maximum) == any("is more than the maximum" in text for text in found.warnings)
