"""Rehearsals: a dry run, and the real request right after it, in a random Swarm where nothing happens in between.

Each Swarm is a world of the simulation without its trouble: what may keep a node, or a group, from being scaled is
there from the beginning, and stays. One worker serves it. What is compared, `difference` says.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from shared.records import Record, State
from tests.simulation.evidence import Effect
from tests.simulation.oddities import Oddities
from tests.simulation.profile import Profile, draw
from tests.simulation.run import Change
from tests.simulation.trace import captured_logs
from tests.simulation.world import World

BEGIN_SECONDS = 5.0
"""By then the services run, and the worker is active."""
SETTLE_SECONDS = 100.0
"""Until nothing moves any more: longer than RESCHEDULE_TIMEOUT, after which an instance that never joined is spoken of
in other words."""
REST_SECONDS = 30.0
"""From the end of a request to the next."""
ANSWER_SECONDS = 400.0
MOST_WORKERS = 7
QUICK = 0.3
"""A factor of all latencies with which every call is answered in time."""
PAIRS = 3
"""In one Swarm; the first is a scale-down."""
NAMED = frozenset({"drain-node", "replace-node"})
"""What is asked about one node."""
UNKNOWN = "No node and no instance is called"
SERVICES = ("demo", "api", "plain", "agent", "heavy", "nowhere")


@dataclass(frozen=True, slots=True)
class Pair:
    """A dry run, and the real one."""

    seed: int
    request: Mapping[str, Any]
    dry: Record
    real: Record
    changes: tuple[Effect, ...]
    """What the dry run has changed."""

    @property
    def difference(self) -> str | None:
        """What the dry run has not said, or has said that was not so. None: it named what was done."""
        if self.changes:
            return f"the dry run changed something: {self.changes}"
        dry, real = self.dry, self.real
        if dry.action in NAMED and _foreseen(dry) != _gone(dry, real):
            return f"{_foreseen(dry)} - but {_gone(dry, real)} ({real.state}: {real.message})"
        if dry.state is not State.SUCCEEDED:
            same = (dry.state, dry.message) == (real.state, real.message)
            return None if same else f"{dry.state}: {dry.message} - but {real.state}: {real.message}"
        if real.state is State.SKIPPED:
            return f"{dry.message} - but {real.state}: {real.message}"
        foreseen, done = dict(_outline(dry)), dict(_outline(real))
        if dry.scale == "down" and dry.action == "scale-nodes":
            done["goes"] = done["leaving"]
        return None if foreseen == done else f"{foreseen} - but {done} ({real.state}: {real.message})"

    def __str__(self) -> str:
        return f"SEED={self.seed}: {json.dumps(self.request)}: {self.difference}"


def _foreseen(dry: Record) -> tuple[list[str], set[str]]:
    """What the plan of a dry run about one node says: who would go, and why the node that is meant would not."""
    nodes = dry.plan["nodes"]
    reasons = [reason for each in nodes for reason in each["reasons"] if reason["code"] != "not-asked-for"]
    return [each["name"] for each in nodes if each["goes"]], {reason["text"] for reason in reasons}


def _gone(dry: Record, real: Record) -> tuple[list[str], set[str]]:
    """What the real one has come to, in the same form."""
    if real.request.get("back") is True or UNKNOWN in real.message:
        return [], set()
    went = [each["name"] for each in real.plan.get("leaving", ())]
    return (went, set()) if dry.state is State.SUCCEEDED else ([], {real.message})


def _outline(record: Record) -> Iterator[tuple[str, object]]:
    """What a plan comes to. The capacity that a down leaves is what AWS made of it, so there it counts what goes."""
    plan = record.plan
    if record.action in {"scale-nodes", "drain-node", "replace-node"} and record.scale != "up":
        yield "leaving", sorted(each["name"] for each in plan.get("leaving", ()))
    if record.action == "scale-nodes":
        yield "from", record.nodes_before
        yield "limited by", record.limited_by
    if record.action == "scale-nodes" and record.scale == "up":
        yield "to", record.nodes_after
    if record.action == "scale-nodes" and record.scale == "down" and record.dry_run:
        yield "goes", sorted(each["name"] for each in plan["nodes"] if each["goes"])
    if record.action == "scale-service":
        yield "replicas", (plan.get("before"), plan.get("after"))
    if record.action.startswith("reschedule-"):
        yield "services", plan.get("services")


def _quiet(seed: int) -> Profile:
    """A world of one worker process, in which nothing is asked and nothing goes wrong; down to one manager."""
    luck = Random(f"{seed} profile")
    profile = draw(luck)
    workers = luck.randint(1, MOST_WORKERS)
    return replace(
        profile,
        settings=profile.settings.model_copy(update={"default_min_manager_nodes": 1}),
        workers=workers,
        requests=0,
        seconds=1.0,
        troubles=frozenset(),
        only=frozenset(f"instance-{number}" for number in range(2, workers + 1)),
    )


class Rehearsal:
    """One Swarm, and what is asked of it."""

    def __init__(self, seed: int) -> None:
        self._world = World(seed, _quiet(seed))
        self._luck = self._world.random("rehearsal")

    def run(self, change: Change | None = None) -> list[Pair]:
        """Ask for everything twice."""
        with ExitStack() as stack:
            stack.enter_context(captured_logs(self._world.take_log))
            if change is not None:
                change(self._world, stack)
            try:
                return self._pairs()
            finally:
                self._world.dispose()

    def _pairs(self) -> list[Pair]:
        self._world.loop.call_soon(self._world.begin)
        self._pass(BEGIN_SECONDS)
        self._world.network.weather.slow = QUICK
        self._world.loop.call_soon(Oddities(self._world, self._luck).arrange)
        self._pass(SETTLE_SECONDS)
        return [self._pair(number) for number in range(PAIRS)]

    def _pair(self, number: int) -> Pair:
        request = self._request(first=number == 0)
        dry = self._ask(f"dry-{number}", {**request, "dry_run": True, "version": 2})
        real = self._ask(f"real-{number}", request)
        effects = self._world.evidence.effects
        changes = tuple(each for each in effects if each.request == dry.id and each.changed)
        self._pass(REST_SECONDS)
        return Pair(self._world.seed, request, dry, real, changes)

    def _ask(self, name: str, request: Mapping[str, Any]) -> Record:
        records = self._world.journal.records
        self._world.loop.call_soon(self._world.queue.send, json.dumps(request), name)
        until = self._world.clockwork.now + ANSWER_SECONDS
        self._world.clockwork.run_until(until, lambda: name in records and records[name].state.ended)
        return records[name]

    def _pass(self, seconds: float) -> None:
        self._world.clockwork.run_until(self._world.clockwork.now + seconds)

    # --- What is asked ------------------------------------------------------------------------------------------

    def _request(self, *, first: bool) -> dict[str, Any]:
        luck = self._luck
        draw = 0.3 * luck.random() if first else luck.random()
        if draw < 0.3:
            return self._nodes("down")
        if draw < 0.5:
            return self._nodes("up")
        if draw < 0.7:
            way = luck.choice(("up", "down"))
            return {"action": "scale-service", "service": luck.choice(SERVICES), "scale": way, "by": luck.randint(1, 2)}
        if draw < 0.8:
            return {"action": "reschedule-service", "service": luck.choice(SERVICES)}
        if draw < 0.85:
            return {"action": "reschedule-services"}
        action = luck.choice(("drain-node", "replace-node"))
        back = {"back": True} if action == "drain-node" and luck.random() < 0.3 else {}
        return {"action": action, "node": self._some_node(), **back}

    def _nodes(self, way: str) -> dict[str, Any]:
        kind = "manager" if self._luck.random() < 0.25 else "worker"
        return {"action": "scale-nodes", "scale": way, "type": kind, "by": self._luck.choice((1, 1, 1, 2, 3))}

    def _some_node(self) -> str:
        names = sorted(node.hostname for node in self._world.swarm.cluster.nodes.values())
        return self._luck.choice([*names, "nobody"])
