"""An Auto Scaling group, judged by what the worker will ask of it. Pure."""

from collections.abc import Sequence
from datetime import timedelta

from worker.decisions.matching import members
from worker.decisions.pools import NodePool
from worker.doctor.finding import Finding, judged, ok, wrong
from worker.ports.hooks import LifecycleHook
from worker.ports.scaling import Group, Phase


def group(pool: NodePool, facts: Group, hooks: Sequence[LifecycleHook], longest_wait: timedelta) -> list[Finding]:
    """Bounds, protection, processes, hooks, and what its capacity counts."""
    low, high = _bounds(pool, facts)
    problems = [
        *_not_in_bounds(pool, facts, low, high),
        *_unprotected(facts),
        *_suspended(facts),
        *_slow_hooks(hooks, longest_wait),
    ]
    if facts.unit != "instances":
        problems.append(f"it counts its capacity in {facts.unit}; take weights out, set its type to units")
    good = f"protected, from {low} to {high} {pool.name} nodes, {facts.desired} desired"
    return [*judged(_named(facts), problems, good), ok(f"{_named(facts)}: {_hooks(hooks)}"), *_refreshed(facts)]


def rebalancing(action: str, groups: Sequence[Group]) -> list[Finding]:
    """Whether REBALANCE_ACTION does anything: only groups with capacity rebalance replace what is drained for it."""
    if action == "none":
        return []
    names = [facts.name for facts in groups if facts.rebalances]
    if names:
        return [ok(f"REBALANCE_ACTION: {action}, for {', '.join(names)}")]
    command = "aws autoscaling update-auto-scaling-group --capacity-rebalance --auto-scaling-group-name"
    advice = f"run: {command} {groups[-1].name} (a group with spot instances), or set it to none"
    return [wrong(f"REBALANCE_ACTION: {action}, but no group has capacity rebalance on; {advice}")]


def _named(facts: Group) -> str:
    return f"Auto Scaling group {facts.name}"


def _hooks(hooks: Sequence[LifecycleHook]) -> str:
    """Who is told of arrivals and departures, and for how long AWS waits for him."""
    if not hooks:
        return "no lifecycle hooks; a departure is known when it has happened"
    return f"hooks: {', '.join(map(_hook, hooks))}"


def _hook(hook: LifecycleHook) -> str:
    way = "launch" if hook.transition == "launch" else "terminate"
    return f"{hook.name} ({way}, {hook.timeout.total_seconds():.0f} s, then {hook.result})"


def _refreshed(facts: Group) -> list[Finding]:
    """A refresh waits for protected instances unless it is told otherwise, and ends as failed after an hour.

    https://docs.aws.amazon.com/autoscaling/ec2/userguide/instance-refresh-overview.html
    """
    if not facts.protects_new and not any(each.protected for each in members(facts)):
        return []
    how = "start an instance refresh with ScaleInProtectedInstances=Refresh"
    return [ok(f"{_named(facts)}: {how}; its default, Wait, waits an hour for protected instances, then fails")]


def _bounds(pool: NodePool, facts: Group) -> tuple[int, int]:
    """What the settings and the group's sizes leave."""
    low, high = pool.tunables.minimum.default, pool.tunables.maximum.default
    return max(low, facts.min_size), min(high, facts.max_size)


def _not_in_bounds(pool: NodePool, facts: Group, low: int, high: int) -> list[str]:
    kind = pool.role.upper()
    names = f"DEFAULT_MIN_{kind}_NODES, DEFAULT_MAX_{kind}_NODES, MinSize {facts.min_size} and MaxSize {facts.max_size}"
    if low > high:
        return [f"nothing can be scaled, for the minimum is {low} and the maximum {high}; correct {names}"]
    if facts.desired > high:
        return [f"{facts.desired} are desired, more than the maximum, {high}: no up will do anything; correct {names}"]
    return []


def _unprotected(facts: Group) -> list[str]:
    """Whoever is not protected is ended by AWS when capacity falls or zones are balanced, with all that runs there."""
    problems = []
    if not facts.protects_new:
        problems.append(
            "new instances are not protected from scale-in; run: aws autoscaling update-auto-scaling-group "
            f"--auto-scaling-group-name {facts.name} --new-instances-protected-from-scale-in"
        )
    bare = [each.id for each in members(facts) if each.phase is Phase.IN_SERVICE and not each.protected]
    if bare:
        problems.append(
            "these instances are not protected from scale-in; run: aws autoscaling set-instance-protection "
            f"--auto-scaling-group-name {facts.name} --protected-from-scale-in --instance-ids {' '.join(bare)}"
        )
    return problems


def _suspended(facts: Group) -> list[str]:
    states = (("Launch", facts.launches_suspended), ("Terminate", facts.terminations_suspended))
    names = [name for name, suspended in states if suspended]
    command = f"aws autoscaling resume-processes --auto-scaling-group-name {facts.name} --scaling-processes"
    return [f"the process {name} is suspended; run: {command} {name}" for name in names]


def _slow_hooks(hooks: Sequence[LifecycleHook], longest_wait: timedelta) -> list[str]:
    """A hook that may hold an instance for longer than anybody waits for its node."""
    return [
        f"the launch hook {hook.name} may hold an instance for {hook.timeout.total_seconds():.0f} s, and a request "
        f"waits {longest_wait.total_seconds():.0f} s for its node: shorten it, or raise RESCHEDULE_TIMEOUT"
        for hook in hooks
        if hook.transition == "launch" and hook.timeout > longest_wait
    ]
