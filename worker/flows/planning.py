"""How both directions of a node scale begin: look at everything, tidy up, turn the request into a target."""

from dataclasses import replace

from worker.decisions.bounds import AtBound, Target, target
from worker.decisions.preflight import unit_refusal
from worker.errors import GaveUp
from worker.flows.flow import Context
from worker.flows.gone_nodes import remove_gone_nodes
from worker.flows.nodes import direction, skip_at_bound
from worker.flows.survey import Survey, survey
from worker.requests.request import OpenRequest


async def plan(context: Context, request: OpenRequest) -> tuple[Survey, Target] | None:
    """What there is, and where the request leads. None: nowhere, and it has ended so."""
    surveyed = await survey(context.leadership, context.capacity, request)
    removed = await remove_gone_nodes(context.leadership, request, surveyed.group)
    surveyed = replace(surveyed, nodes=tuple(node for node in surveyed.nodes if node.id not in removed))
    if (reason := unit_refusal(surveyed.group)) is not None:
        raise GaveUp(reason)
    if request.record.by is None:
        await request.save(by=surveyed.limits.by)  # whatever becomes of it, people are told the step that a label set
    found = target(direction(request), surveyed.desired, surveyed.limits)
    if isinstance(found, AtBound):
        await skip_at_bound(context.leadership, request, found)
        return None
    return surveyed, found
