"""What the settings say of each node pool."""

from datetime import timedelta

import pytest

from shared.fields import Direction, Role
from tests.unit.build import settings
from worker.decisions.pools import Tunable, node_pools, replica_tunables


def test_each_pool_has_its_group_and_its_role() -> None:
    pools = node_pools(settings(aws_manager_asg="m", aws_worker_asg="w"))
    assert {kind: (pool.name, pool.role, pool.group) for kind, pool in pools.items()} == {
        "worker": ("worker", "worker", "w"),
        "manager": ("manager", "manager", "m"),
    }


def test_without_node_scaling_a_pool_has_no_group_but_its_steps_are_known() -> None:
    pools = node_pools(settings(node_scaler_backend="none", aws_manager_asg="m", aws_worker_asg="w"))
    assert {pool.group for pool in pools.values()} == {""}
    assert pools["worker"].tunables.steps["up"].default == 1


@pytest.mark.parametrize("kind", ["worker", "manager"])
def test_each_number_comes_from_its_own_two_settings(kind: Role) -> None:
    names = [f"min_scale_{kind}_node", f"max_scale_{kind}_node", *(f"scale_{kind}_node_{d}_by" for d in ("up", "down"))]
    defaults = [f"default_min_{kind}_nodes", f"default_max_{kind}_nodes", *(f"default_{name}" for name in names[2:])]
    labels = {f"{name}_label": f"label.{name}" for name in names}
    tunables = node_pools(settings(**labels, **dict(zip(defaults, (1, 9, 3, 2), strict=True))))[kind].tunables
    read = (tunables.minimum, tunables.maximum, tunables.steps["up"], tunables.steps["down"])
    expected = zip(names, (1, 9, 3, 2), defaults, strict=True)
    assert read == tuple(Tunable(f"label.{name}", number, default.upper()) for name, number, default in expected)


def test_the_replicas_numbers_come_from_theirs() -> None:
    numbers = {"default_min_replicas": 2, "default_max_replicas": 8}
    steps = {"default_scale_service_up_by": 3, "default_scale_service_down_by": 4}
    tunables = replica_tunables(settings(**numbers, **steps))
    read = (tunables.minimum, tunables.maximum, tunables.steps["up"], tunables.steps["down"])
    keys = ("com.df.scaleMin", "com.df.scaleMax", "com.df.scaleUpBy", "com.df.scaleDownBy")
    variables = [name.upper() for name in (*numbers, *steps)]
    assert read == tuple(map(Tunable, keys, (2, 8, 3, 4), variables))


@pytest.mark.parametrize(("direction", "seconds"), [("up", 60), ("down", 600)])
def test_each_direction_has_its_cool_down(direction: Direction, seconds: int) -> None:
    pools = node_pools(settings(scale_up_cooldown="60", scale_down_cooldown="600"))
    assert {pool.cooldowns[direction] for pool in pools.values()} == {timedelta(seconds=seconds)}
