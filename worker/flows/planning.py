"""How both directions of a node scale begin: look at everything, tidy up, turn the request into a target."""

from dataclasses import replace

from shared.at_once import AtOnce
from shared.records import State
from worker.decisions.bounds import AtBound, Target, target
from worker.decisions.preflight import unit_refusal
from worker.errors import GaveUp
from worker.flows.admission import no_node_scale_now
from worker.flows.flow import Context
from worker.flows.gone_nodes import remove_gone_nodes
from worker.flows.nodes import direction, skip_at_bound
from worker.flows.survey import Survey, survey
from worker.requests.request import OpenRequest


async def plan(context: Context, request: OpenRequest) -> tuple[Survey, Target] | None:
    """What there is, and where the request leads. None: nowhere, and it has ended so."""
    surveyed = await _surveyed(context, request)
    if surveyed is None:
        return None
    removed = await remove_gone_nodes(context.leadership, request, surveyed.group, surveyed.nodes)
    surveyed = replace(surveyed, nodes=tuple(node for node in surveyed.nodes if node.id not in removed))
    if (reason := unit_refusal(surveyed.group)) is not None:
        raise GaveUp(reason)
    if request.record.by is None:
        request.note(by=surveyed.limits.by)  # whatever becomes of it, people are told the step that a label set
    found = target(direction(request), surveyed.desired, surveyed.limits)
    if isinstance(found, AtBound):
        await skip_at_bound(context.leadership, request, found)
        return None
    return surveyed, found


async def _surveyed(context: Context, request: OpenRequest) -> Survey | None:
    """What there is. A request that begins writes that down meanwhile. None: it does not begin, and has ended so."""
    if request.record.step is not None:
        return await survey(context.leadership, context.capacity, request)
    if (reason := await no_node_scale_now(context.leadership, request)) is not None:
        await request.end(State.SKIPPED, reason)
        return None
    async with AtOnce() as at_once:
        at_once.ask(request.enter("plan"))
        looking = at_once.ask(survey(context.leadership, context.capacity, request))
    return looking.result()
