"""How both directions of a node scale begin: look at everything, tidy up, turn the request into a target."""

from dataclasses import replace

from shared.at_once import AtOnce
from shared.records import State
from worker.decisions.bounds import Target, target
from worker.decisions.preflight import unit_refusal
from worker.errors import GaveUp
from worker.flows.admission import no_node_scale_now
from worker.flows.flow import Context
from worker.flows.gone_nodes import remove_gone_nodes
from worker.flows.nodes import direction, skip_at_bound
from worker.flows.survey import Survey, for_another, survey
from worker.requests.request import OpenRequest


async def plan(context: Context, request: OpenRequest) -> tuple[Survey, Target] | None:
    """What there is, and where the request leads. None: nowhere, and it has ended so."""
    promised = _promised(context, request)
    surveyed = await _surveyed(context, request)
    if surveyed is None:
        return None
    if _promised(context, request) < promised:  # the wave was raised, or has failed, and what was seen may be older
        return await plan(context, request)
    if (reason := unit_refusal(surveyed.group)) is not None:
        raise GaveUp(reason)
    if request.record.by is None:
        request.note(by=surveyed.limits.by)  # whatever becomes of it, people are told the step that a label set
    base = max(surveyed.desired, _promised(context, request))
    found = target(direction(request), base, surveyed.limits)
    if isinstance(found, Target):
        return replace(surveyed, desired=base), found
    if base > surveyed.desired:
        await context.wave.over(request)
        return await plan(context, request)
    await skip_at_bound(context.leadership, request, found)
    return None


def _promised(context: Context, request: OpenRequest) -> int:
    """The capacity that other scale-ups are about to be raised to. 0: none."""
    return context.wave.target(request) if direction(request) == "up" else 0


async def _surveyed(context: Context, request: OpenRequest) -> Survey | None:
    """What there is, tidied up. A request that begins writes that down meanwhile, unless the wave has seen all already.

    None: it does not begin, and has ended so.
    """
    leadership = context.leadership
    if request.record.step is None and (reason := await no_node_scale_now(leadership, request)) is not None:
        await request.end(State.SKIPPED, reason)
        return None
    if direction(request) == "up" and (seen := context.wave.survey(request)) is not None:
        return await for_another(leadership, seen, request)
    began = leadership.clock.uptime()
    async with AtOnce() as at_once:
        if request.record.step is None:
            at_once.ask(request.enter("plan"))
        looking = at_once.ask(survey(leadership, context.capacity, request))
    surveyed = looking.result()
    removed = await remove_gone_nodes(leadership, request, surveyed.group, surveyed.nodes)
    surveyed = replace(surveyed, nodes=tuple(node for node in surveyed.nodes if node.id not in removed))
    if direction(request) == "up":
        context.wave.seen(began, surveyed)
    return surveyed
