"""The explanation of a dry run: of every node whether it would go, why or why not, and where its tasks would go.

Looked at when the outcome is known already, and never decided anew: who goes stands in the plan, and why a node that
somebody named stays is the reason for which the flow itself gave up. Where the look fails, there is no explanation.
"""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import structlog

from shared.errors import Refused, Unavailable
from shared.fields import Role
from worker.decisions.displacement import Departures
from worker.decisions.matching import matched
from worker.decisions.preflight import EVER
from worker.decisions.reasons import Reason
from worker.decisions.verdicts import Verdict, destinations, pool_obstacles, verdicts
from worker.errors import GaveUp
from worker.flows.flow import Context
from worker.flows.named_node import Found, find_node, pool_groups
from worker.flows.survey import snapshot, survey
from worker.ports.scaling import Group
from worker.ports.swarm import Node
from worker.requests import wording
from worker.requests.dry_run import DryRequest, Explanation
from worker.requests.plans import DownPlan, DrainPlan

log = structlog.get_logger()

Moves = Mapping[str, Mapping[str, int]]
"""Service name to hostname to how many of its tasks."""


async def explained(context: Context, request: DryRequest, message: str) -> Explanation:
    """What is said of each node, beside the message of the outcome."""
    try:
        match request.record.action:
            case "scale-nodes":
                return await _of_scale(context, request)
            case "replace-node" | "drain-node" if request.record.step is not None:
                return await _of_named(context, request, message)
            case _:
                return ()
    except (Unavailable, Refused) as error:
        log.warning("nodes_not_explained", request=request.id, error=str(error))
        return ()


# --- Scaling: the nodes of the type -----------------------------------------------------------------------------


async def _of_scale(context: Context, request: DryRequest) -> Explanation:
    leadership = context.leadership
    seen = await survey(leadership, context.capacity, request)
    tasks, services = await leadership.swarm.tasks(), await leadership.swarm.services()
    of = snapshot(leadership, seen.kind, seen.group, seen.nodes, tasks, services)
    since = seen.memory.desired_at or EVER
    of_pool = pool_obstacles(seen.group, seen.limits, seen.desired, seen.activities, seen.refreshing, since)
    plan = DownPlan.parse(request.record.plan)
    goes = {node.instance_id for node in plan.nodes}
    moves = destinations(of, [node.node_id for node in plan.nodes if node.node_id])
    return [
        _of_verdict(each, plan, goes=each.instance_id in goes, moves=moves.get(each.node_id or "", {}))
        for each in verdicts(of, of_pool)
    ]


def _of_verdict(verdict: Verdict, plan: DownPlan, *, goes: bool, moves: Moves) -> dict[str, Any]:
    if goes:
        why = plan.chosen.get(verdict.name, verdict.cost)
        return _entry(verdict.name, verdict.node_id, verdict.instance_id, why=why, moves=moves)
    passed = next((each for each in plan.passed_over if each.get("name") == verdict.name), None)
    reasons = [(str(each.reason), each.text) for each in verdict.obstacles]
    if passed is not None and not reasons:
        reasons = [(str(passed.get("reason")), str(passed.get("text")))]
    if not reasons:
        reasons = [(str(Reason.NOT_NEEDED), f"it could go: {verdict.cost}")]
    return _entry(verdict.name, verdict.node_id, verdict.instance_id, *reasons)


# --- One node that somebody names: all nodes of the Swarm -------------------------------------------------------


async def _of_named(context: Context, request: DryRequest, message: str) -> Explanation:
    swarm = context.leadership.swarm
    try:
        found = await find_node(context, request)
    except GaveUp:  # nobody is called so, or two are: the outcome says which
        nodes, groups = await swarm.nodes(), await pool_groups(context.leadership)
        return list(_others(nodes, _instances(nodes, groups)))
    named, node = found.named, found.named.node
    plan = DrainPlan.parse(request.record.plan)
    node_id = None if node is None else node.id
    if plan.nodes and not wording.gives_back(request.record):
        departures = Departures(found.nodes, await swarm.services(), await swarm.tasks())
        moves = departures.destinations([node_id], only=node_id) if node_id else {}
        why = plan.chosen.get(named.name, "")
        meant = _entry(named.name, node_id, named.instance_id or None, why=why, moves=moves)
    else:
        meant = _entry(named.name, node_id, named.instance_id or None, (_why_not(request, found), message))
    others = [each for each in found.nodes if node is None or each.id != node.id]
    return [meant, *_others(others, _instances(found.nodes, found.groups))]


def _why_not(request: DryRequest, found: Found) -> str:
    """The code of the reason for which the node that is meant stays."""
    if request.refused:
        return request.refused
    node = found.named.node
    drained = node is not None and node.availability == "drain" and not wording.gives_back(request.record)
    return Reason.ALREADY_DRAINED if drained else Reason.NOT_ASKED_FOR


def _others(nodes: Sequence[Node], instance_of: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """The nodes that nobody has asked for, by name."""
    for node in sorted(nodes, key=lambda each: (each.hostname, each.id)):
        reason = (Reason.NOT_ASKED_FOR, "nobody has asked for this node")
        yield _entry(node.hostname or node.id, node.id, instance_of.get(node.id), reason)


def _instances(nodes: Sequence[Node], groups: Mapping[Role, Group]) -> dict[str, str]:
    """Node id to instance id, as far as that is known."""
    return {
        node.id: instance_id
        for group in groups.values()
        for instance_id, node in matched(nodes, group.instances).items()
    }


def _entry(
    name: str,
    node_id: str | None,
    instance_id: str | None,
    *reasons: tuple[str, str],
    why: str = "",
    moves: Moves = MappingProxyType({}),
) -> dict[str, Any]:
    """A node as a record shows it: one that goes has no reasons (code and sentence) to stay."""
    return {
        "name": name,
        "node": node_id,
        "instance": instance_id,
        "goes": not reasons,
        "why": why,
        "reasons": [{"code": str(code), "text": text} for code, text in reasons],
        "moves": {service: dict(places) for service, places in moves.items()},
    }
