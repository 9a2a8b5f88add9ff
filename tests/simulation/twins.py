"""Twins of the worker and its world that lack one protection each. The simulation must find every one of them.

A twin is made by putting something else in the place of one method, or of one setting of the world, for as long as a
world runs. Nothing of it is known to the judge.
"""

from collections.abc import Awaitable, Callable, Collection
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from typing import Any
from unittest import mock

from shared.records import Record, State
from tests.fakes.journal import InMemoryJournal
from tests.simulation import departure_twins as departures
from tests.simulation.cloud import SimulatedGroups
from tests.simulation.group_port import GroupsPort
from tests.simulation.ports import JournalPort
from tests.simulation.profile import Profile
from tests.simulation.twin import Twin, instead
from tests.simulation.world import World
from worker.flows.capacity import CapacityView
from worker.flows.down import ScaleDown
from worker.flows.give_back import give_back
from worker.flows.last_look import LastLook
from worker.flows.nodes import fail, group_name
from worker.flows.refill_wait import RefillWait
from worker.flows.terminate import Termination
from worker.intake.receiver import Receiver
from worker.leadership.fence import FencedJournal
from worker.leadership.lease import Lease
from worker.ports.scaling import Group
from worker.ports.storage import Overtaken
from worker.requests.interruption import Interruption
from worker.requests.plans import DepartingNode, DownPlan
from worker.requests.request import OpenRequest


@instead(InMemoryJournal, "save")
async def _save_whatever_the_token(journal: InMemoryJournal, record: Record) -> Record:
    new, present = record.but(revision=record.revision + 1), journal.records[record.id]
    if present.revision != record.revision and present != new:
        raise Overtaken(present)
    journal._write(new)
    return new


_claim = InMemoryJournal.claim


@instead(InMemoryJournal, "claim")
async def _claim_from_the_beginning(journal: InMemoryJournal, request_id: str, token: int) -> Record | None:
    """Who takes a request over sees nothing of what was done already."""
    record = await _claim(journal, request_id, token)
    if record is None or record.state is not State.RUNNING:
        return record
    return record.but(state=State.QUEUED, step=None, steps=(), started_at=None, plan={})


async def prove_nothing(_lease: Lease, _tenure: object, _need: object) -> None:
    """Calls go out whether the lease is ours or not."""


_prove_nothing = instead(Lease, "prove")(prove_nothing)


@instead(GroupsPort, "terminate")
async def _lower_desired(port: GroupsPort, instance_id: str) -> None:
    """Let the group choose."""
    name = port.world.machines.group_of[instance_id]
    group = await port.describe(name)
    await port.set_desired(name, group.desired - 1)


@instead(Receiver, "_first")
async def _never_a_duplicate(_receiver: Receiver, _record: object, _request: object) -> None:
    """Every message is the first of its kind."""


@instead(CapacityView, "look")
async def _believe_describe(view: CapacityView, request: OpenRequest, *, fresh: bool = False) -> tuple[Group, int]:
    """Whatever is described is so."""
    del fresh
    group = await view._leadership.groups.describe(group_name(view._leadership, request))
    return group, group.desired


@instead(Termination, "_is_terminated")
async def _call_again(termination: Termination, node: DepartingNode) -> bool:
    """An intent that is found was not carried out: the call is made again at once."""
    intent = termination._plan.intent
    if intent is not None and intent.instance_id == node.instance_id:
        termination._leadership.terminated.pop(node.instance_id, None)
        await termination._note(intent=None)
    return False


def _plan_alone(_world: World, stack: ExitStack) -> None:
    """What the scale-ups beside it are about to be raised to does not count."""
    stack.enter_context(mock.patch("worker.flows.planning._promised", return_value=0))


def _wait_for_nothing(_world: World, stack: ExitStack) -> None:
    """What was moved away need not run elsewhere."""
    stack.enter_context(mock.patch("worker.decisions.displacement.unsettled", return_value=()))


def _no_protection(profile: Profile) -> Profile:
    return replace(profile, protects=False)


def _slow_joins(profile: Profile) -> Profile:
    """Machines boot for longer than their launch hook's time-out, and nothing else goes wrong."""
    settings = profile.settings.model_copy(update={"reschedule_timeout": timedelta(seconds=150)})
    events = frozenset({"hooks", "launch", "refresh", "retire"})
    return replace(profile, settings=settings, events=events, troubles=frozenset({"boot"}), seconds=100.0)


def _old_answers(profile: Profile) -> Profile:
    """Many requests, answers that are lost, and descriptions that are old."""
    troubles = frozenset({"calls", "pause", "suspend", "lag", "outage"})
    return replace(profile, workers=4, requests=9, troubles=troubles)


@instead(ScaleDown, "give_up")
async def _undo_unwritten(down: ScaleDown, request: OpenRequest, reason: str) -> None:
    """Nodes are given back after the request has ended, without a word in the journal."""
    touched = request.record.step in {"drain", "terminate"}
    await fail(down._leadership, request, reason, request.record.nodes_before)
    if touched:
        await give_back(down._context, request, DownPlan.parse(request.record.plan))


@instead(LastLook, "check_claims")
async def _match_once(_look: LastLook, _node: object) -> None:
    """Who is which instance is what it was when the victims were chosen."""


@instead(SimulatedGroups, "gone")
async def _unknown_is_gone(groups: SimulatedGroups, ids: Collection[str], _members: object) -> frozenset[str]:
    """What EC2 here does not know has been terminated."""
    known = {each for group in groups.groups.values() for each in group.instances}
    return frozenset(ids) - known


@instead(RefillWait, "_counted")
def _content_with_none(wait: RefillWait, group: Group) -> Group:
    """A replacement is over as soon as the old node has gone."""
    wait._expectation = wait._expectation.but(target=0, base=0)
    return group


def _unproven(name: str) -> Callable[..., Awaitable[Any]]:
    async def write(journal: FencedJournal, *arguments: Any) -> Any:
        return await getattr(journal.inner, name)(*arguments)

    return write


def _write_unproven(_world: World, stack: ExitStack) -> None:
    """The journal's writes go out whether the lease is ours or not; calls to the outside do not."""
    for name in JournalPort.fenced:
        stack.enter_context(mock.patch.object(FencedJournal, name, _unproven(name)))


def _save_late(world: World, stack: ExitStack) -> None:
    """Writes with an old token count. The proof before them stands in front of the token, so it goes as well."""
    _save_whatever_the_token(world, stack)
    _write_unproven(world, stack)


async def _never_paused(_leadership: object) -> None:
    """Nobody asks whether the cluster is paused."""


def _go_on_paused(_world: World, stack: ExitStack) -> None:
    stack.enter_context(mock.patch("worker.flows.admission.paused", _never_paused))


def _try_in_earnest(_world: World, stack: ExitStack) -> None:
    """What a dry run's flow changes before it ends is changed."""
    stack.enter_context(mock.patch("worker.flows.dry_run._without_effects", lambda context: context))


def _write_on(_world: World, stack: ExitStack) -> None:
    """The flow of a cancelled request goes on until its step has ended."""
    for name in ("check", "interrupt"):
        stack.enter_context(mock.patch.object(Interruption, name, return_value=None))


TWINS = (
    Twin("token", "the fencing token of the journal", 3, _save_late, known=2),
    Twin("done", "the journal's knowledge of what was done already", 2, _claim_from_the_beginning, known=6),
    Twin("lease", "the lease check before outside calls", 3, _prove_nothing, known=2),
    Twin("smaller", "scale-down by name only", 5, _lower_desired, known=5),
    Twin("duplicates", "the duplicate check", 2, _never_a_duplicate, known=3),
    Twin("replacements", "the wait for replacements", 6, _wait_for_nothing, known=41),
    Twin("protection", "the group's protection of its instances", 5, reshape=_no_protection, known=963),
    Twin("undo", "the journaled undo", 10, _undo_unwritten, known=35),
    Twin("base", "one's own last result as the base of a plan", 9, _believe_describe, known=52),
    Twin("wave", "the targets of the scale-ups beside it as the base of a plan", 9, _plan_alone, known=7),
    Twin("claims", "the look at who claims the instance now", 6, _match_once, known=324),
    Twin("foreign", "the care for nodes of other accounts", 6, _unknown_is_gone, known=3),
    Twin("writes", "the proof before the journal's writes", 3, _write_unproven, known=2),
    Twin("refill", "the wait for the node that replaces another", 9, _content_with_none, known=39),
    Twin("paused", "the pause that is asked for before a node scale", 9, _go_on_paused, known=195),
    Twin("tried", "the ports of a dry run that change nothing", 12, _try_in_earnest, known=102),
    Twin("cancelled", "the stop to the writes of a cancelled request", 9, _write_on, known=119),
    Twin("moves", "the moves before a hook is completed", 11, departures.move_nothing),
    Twin("notices", "the notice of a spot interruption", 11, departures.hear_no_notice),
    Twin("lookout", "the look for holds of which no event tells", 11, departures.look_for_nothing, known=2),
    Twin("endless", "the end of the heartbeats", 11, departures.heartbeats_without_end),
    Twin("heartbeats", "the heartbeats while there is work", 11, departures.no_heartbeats, _slow_joins, known=3),
    Twin("untaken", "the look whether AWS has taken what it announced", 10, departures.always_taken, known=32),
    Twin("owner", "the question who owns a node now", 11, departures.own_what_others_took, known=129),
    Twin("causes", "the one departure for all of its causes", 11, departures.lead_each, known=37),
    Twin("hooks", "the names of our own hooks", 11, departures.complete_any_hook, known=37),
    Twin(
        "lag", "the look at what became of a termination before it is repeated", 2, _call_again, _old_answers, known=32
    ),
)
