"""An instance on its way in, held by a launch hook: it may serve once it is a Ready node of the Swarm.

One that does not join within RESCHEDULE_TIMEOUT, or for as long as heartbeats can keep it (100 time-outs of its hook or
48 hours), is let go as LAUNCH_HOOK_RESULT says. ABANDON ends the machine, so it needs proof that it is none of the
nodes: Docker answered throughout, the group's other nodes can be matched, and no node ever was this instance. Two in a
row without a join between them are a fault of the image or the network, not of machines: then the next one is kept, and
told.
"""

from collections.abc import Sequence
from datetime import timedelta

from shared.errors import Refused, Unavailable
from shared.fields import Role
from shared.records import State
from worker.decisions.matching import claimants, matched
from worker.decisions.readiness import serves
from worker.flows.flow import Context, ContextFlow
from worker.flows.holding import hold_of, kept, let_go, longest
from worker.leadership.period import TICK_SECONDS
from worker.ports.hooks import Release
from worker.ports.scaling import Instance, Phase
from worker.ports.swarm import Node
from worker.requests import happenings
from worker.requests.events import instance_of
from worker.requests.plans import JoiningPlan
from worker.requests.request import OpenRequest

MOST_ABANDONED = 2
"""In a row."""
ONE_AT_A_TIME = "abandoned instances"
LAST_MARGIN = timedelta(seconds=20)
"""So long before AWS lets it go by itself, heartbeats or not, an instance is let go: the default of its hook may be
another result."""


class NodeJoining(ContextFlow):
    """The flow of `node-joining`."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._unseen: set[str] = set()
        """Requests for which Docker or AWS did not answer at some time."""
        self._condemned: set[tuple[str, str]] = set()
        """Groups and instances that are about to be abandoned, though the journal may not say so yet."""

    async def step(self, request: OpenRequest) -> None:
        """Do the present step of a request."""
        match request.record.step:
            case None:
                await self._begin(request)
            case "wait":
                await self._wait(request)
            case "release":
                await self._release(request)

    async def give_up(self, request: OpenRequest, reason: str) -> None:
        """The hook's own default counts, once its time is over."""
        message = f"{reason}; the hook of {instance_of(request.record)} runs out by itself"
        await request.end(
            State.FAILED, message, happenings.joined(request.record, instance_of(request.record), message)
        )

    async def _begin(self, request: OpenRequest) -> None:
        if request.record.request.get("warm"):
            await let_go(self._leadership, request, "CONTINUE")
            await request.end(State.SUCCEEDED, f"{instance_of(request.record)} may enter the warm pool")
            return
        held = await longest(self._leadership, request) - LAST_MARGIN
        seconds = min(self._leadership.settings.reschedule_timeout, max(held, timedelta())).total_seconds()
        await request.enter(
            "wait",
            plan=JoiningPlan().but(watched_by=self._leadership.token, seconds=seconds),
            waits=f"{instance_of(request.record)} to be a Ready node of the Swarm",
            seconds=seconds,
        )

    async def _wait(self, request: OpenRequest) -> None:
        instance = instance_of(request.record)
        deadline = self._leadership.deadline(request.entered("wait"), self._longest(request))

        async def joined() -> str | None:
            if self._is_over(request) or keeping.lapsed:
                return ""
            node = matched(*await self._look(request)).get(instance)
            return node.hostname or node.id if node is not None and serves(node, node.role) else None

        async with kept(self._leadership, request) as keeping:
            with request.waiting_for(f"{instance} to be a Ready node of the Swarm", seconds=deadline.remaining):
                name = await self._leadership.poll(request.id, joined, every=TICK_SECONDS, deadline=deadline)
            if name:
                await self._note_abandoned(request)
                await let_go(self._leadership, request, "CONTINUE")
                await request.end(State.SUCCEEDED, f"{name} is a Ready node of the Swarm, and may serve")
            elif name == "":
                why = ", for want of a heartbeat that AWS took" if keeping.lapsed else ""
                await request.end(State.SKIPPED, f"The hook of {instance} is over: AWS does not hold it any more{why}")
            else:
                release, why = await self._judge(request)
                await request.enter(
                    "release", plan=JoiningPlan.parse(request.record.plan).but(release=release, why=why)
                )

    def _longest(self, request: OpenRequest) -> timedelta:
        """How long it may take to join."""
        seconds = JoiningPlan.parse(request.record.plan).seconds
        return self._leadership.settings.reschedule_timeout if seconds is None else timedelta(seconds=seconds)

    async def _release(self, request: OpenRequest) -> None:
        """As it was journaled. A last look goes before an ABANDON: the machine ends of it."""
        plan, instance = JoiningPlan.parse(request.record.plan), instance_of(request.record)
        release: Release = "ABANDON" if plan.release == "ABANDON" else "CONTINUE"
        nodes, instances = await self._look(request)
        if claimants(nodes, instances).get(instance):
            release = "CONTINUE"
        if release == "ABANDON":
            await self._note_abandoned(request, instance)
        held = await let_go(self._leadership, request, release)
        seconds = self._longest(request).total_seconds()
        how = "it was abandoned, and AWS launches another" if release == "ABANDON" else f"it stays: {plan.why}"
        if not held and any(each.id == instance and each.phase is Phase.IN_SERVICE for each in instances):
            how = "AWS had let it go before, as the default of its hook says"  # no worker before us did: it serves
        message = f"{instance} has not joined the Swarm within {seconds:.0f} seconds; {how}. Look at its boot log"
        await request.end(State.FAILED, message, happenings.joined(request.record, instance, message))
        self._condemned.discard((_group(request), instance))

    async def _judge(self, request: OpenRequest) -> tuple[Release, str]:
        """How an instance goes on that has not joined, and why it is kept."""
        if self._leadership.settings.launch_hook_result == "CONTINUE":
            return "CONTINUE", "LAUNCH_HOOK_RESULT is CONTINUE"
        try:
            why = await self._doubt(request)
        except (Unavailable, Refused) as error:
            why = str(error)
        return ("ABANDON", "") if why is None else ("CONTINUE", why)

    async def _doubt(self, request: OpenRequest) -> str | None:
        """Why it must not be abandoned. None: nothing speaks for it."""
        plan, instance = JoiningPlan.parse(request.record.plan), instance_of(request.record)
        nodes, instances = await self._look(request)
        if await self._leadership.pausing.present() is not None:
            return "node scaling is paused"
        if plan.watched_by != self._leadership.token or request.id in self._unseen:
            return "Docker did not answer throughout, so nobody knows whether it was a node for a moment"
        if claimants(nodes, instances).get(instance):
            return "a node says that it is this instance"
        if not matched(nodes, instances):
            return "no node can be matched to any instance of its group"
        memory = await self._leadership.memory.of(self._kind(request))
        if len(self._in_a_row(_group(request)).union(memory.abandoned)) >= MOST_ABANDONED:
            return f"{MOST_ABANDONED} before it did not join either: see to the image, the network and the join token"
        self._condemned.add((_group(request), instance))  # at once: several may be judged at the same moment
        return None

    def _in_a_row(self, group: str) -> frozenset[str]:
        """The instances of a group that are about to be abandoned."""
        ending = (record for record in self._context.requests.begun() if record.plan.get("release") == "ABANDON")
        journaled = {instance_of(record) for record in ending if record.request.get("group") == group}
        return frozenset(journaled | {instance for its_group, instance in self._condemned if its_group == group})

    async def _note_abandoned(self, request: OpenRequest, *instance: str) -> None:
        """Remember that an instance is abandoned, whoever goes on; or, without one, that some instance has joined."""
        memory, kind = self._leadership.memory, self._kind(request)
        async with self._leadership.turn(request.id, ONE_AT_A_TIME):
            known = (await memory.of(kind)).abandoned
            abandoned = tuple(dict.fromkeys((*known, *instance)))[-MOST_ABANDONED:] if instance else ()
            if abandoned != known:
                await memory.update(kind, abandoned=abandoned)

    def _kind(self, request: OpenRequest) -> Role:
        """The pool that the instance's group is of."""
        kinds = (kind for kind, pool in self._leadership.pools.items() if pool.group == _group(request))
        return next(kinds, "worker")

    async def _look(self, request: OpenRequest) -> tuple[Sequence[Node], Sequence[Instance]]:
        try:
            group = await self._leadership.groups.describe(_group(request))
            return await self._leadership.swarm.nodes(), group.instances
        except Unavailable:
            self._unseen.add(request.id)
            raise

    def _is_over(self, request: OpenRequest) -> bool:
        hold = hold_of(request)
        return hold is None or hold.key in self._leadership.let_go


def _group(request: OpenRequest) -> str:
    return str(request.record.request.get("group"))
