"""The judge of departures (invariant 11): nobody leaves unnoticed.

Nothing that could have moved in time is cut off; every hook is completed, or has timed out at AWS while nobody could
see to it; a node is drained by one record only; nothing is heartbeaten once its record has ended. How long somebody
could see to it is counted generously: by one worker, after all trouble.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

from shared.records import Record
from tests.fakes.swarm import wanted
from tests.simulation.hindsight import MOMENT_SECONDS, STEP_SECONDS, nodes_of
from tests.simulation.network import Call
from tests.simulation.processes import START
from worker.ports.hooks import Hold
from worker.ports.swarm import Node, Task
from worker.requests.events import instance_of, is_recommended

if TYPE_CHECKING:
    from tests.simulation.world import World

UNDISTURBED_SECONDS = 60.0
"""In so much time a worker that is not disturbed empties a node, or sends a heartbeat to each hook."""
NOTICE = timedelta(minutes=2)
UNTAKEN = "AWS did not take the machine"


class Departures:
    """Judges those of one world."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._owners: dict[str, tuple[str, float]] = {}
        """Nodes, the record that has taken each over, and when."""
        self._ended: dict[str, float] = {}
        self._held: dict[tuple[str, str], float] = {}
        """Instances, hooks, and since when they are held."""

    # --- Records ------------------------------------------------------------------------------------------------

    def saved(self, before: Record | None, record: Record) -> None:
        """A record was written."""
        now = self._world.clockwork.now
        if (
            record.action == "node-leaving"
            and record.plan.get("cut_off")
            and not (before and before.plan.get("cut_off"))
        ):
            self._check_cut_off(record)
        if record.state.ended:
            self._count_end(record)
            self._ended.setdefault(record.id, now)
        if record.action == "node-leaving" and record.plan.get("forced") is True and not record.state.ended:
            for node_id in nodes_of(record):
                self._take_over(record, node_id, now)
            for node_id in set(() if before is None else nodes_of(before)) - set(nodes_of(record)):
                self._owners.pop(node_id, None)  # the engine has joined again, and the departure has its new node

    def _count_end(self, record: Record) -> None:
        """What has become of what only some worlds have."""
        if record.id in self._ended:
            return
        counts = self._world.trace.counts
        counts["answer: a machine that is not taken is given back"] += UNTAKEN in record.message
        if record.action == "replace-node" and record.source == "eventbridge":
            counts[f"answer: replacement for a planned change {record.state}"] += 1
        if is_recommended(record) and any(step.name == "drain" for step in record.steps):
            counts["answer: a recommended machine is drained"] += 1

    def _take_over(self, record: Record, node_id: str, now: float) -> None:
        other, _ = self._owners.get(node_id, (record.id, now))
        if other != record.id and not self._world.journal.records[other].state.ended:
            self._violate(f"{record.id} and {other} both drain {node_id}")
        if node_id not in self._owners or other != record.id:
            self._owners[node_id] = record.id, now

    def took(self, node_id: str, since: float) -> bool:
        """Whether a departure has taken a node over since then."""
        return self._owners.get(node_id, ("", float("-inf")))[1] > since

    def whose(self, node_id: str, request: str | None) -> str | None:
        """Who has to give back a node that a late call of a request changes: a departure that has it by now."""
        owner, _ = self._owners.get(node_id, (request, 0.0))
        return request if owner in {None, request} or self._world.journal.records[owner].state.ended else owner

    def touched(self, call: Call, node_id: str) -> None:
        """The availability of a node was changed."""
        owner, since = self._owners.get(node_id, (call.request, 0.0))
        if owner == call.request or owner is None or call.issued_at < since + MOMENT_SECONDS:
            return
        if not self._world.journal.records[owner].state.ended:
            self._violate(f"{call.request} changes {node_id}, which {owner} has taken over")

    # --- Holds --------------------------------------------------------------------------------------------------

    def holds(self, instance: str, hook: str) -> None:
        """A hook begins to hold an instance."""
        self._held[instance, hook] = self._world.clockwork.now

    def _is_told(self, instance: str) -> bool:
        """Whether a record says itself that it could not see to it."""
        told = (each for each in self._world.journal.records.values() if "runs out by itself" in each.message)
        return any(each.request.get("instance") == instance for each in told)

    def released(self, instance: str, hook: str, how: str) -> None:
        """It holds it no longer. A worker that could have seen to it must not have let its time run out."""
        held_for = self._held_for(instance, hook)
        if how != "timeout" or hook not in self._world.settings.hooks() or self._in_doubt(instance):
            return
        if self._is_told(instance):
            return
        seen_to = min(held_for, self._undisturbed)
        if seen_to >= min(UNDISTURBED_SECONDS, self._timeout(instance, hook)) - 1 and self._world.machines.lives(
            instance
        ):
            self._violate(f"{hook} of {instance} has timed out, though a worker could see to it for {seen_to:.0f} s")

    def completes(self, call: Call, hold: Hold) -> None:
        """A call to complete a hook has arrived. The request that moves what runs there has moved it, or names it.

        Others complete theirs without a look: those of our own terminations, and of nodes that were none yet.
        """
        if hold.hook not in self._world.settings.hooks():
            self._violate(f"{call.request} completes {hold.hook} of {hold.instance_id}, which is somebody else's")
        record = self._world.journal.records.get(call.request or "")
        if record is None or record.plan.get("forced") is not True or record.step != "complete":
            return
        held = (hold.instance_id, hold.hook) in self._world.groups.groups[hold.group].holds.held
        node = self._world.machines.node_of(hold.instance_id)
        if not held or node is None or not node.ready or node.id not in nodes_of(record):
            return
        there = list(self._working(node))
        if there and not self._is_new(node, UNDISTURBED_SECONDS) and not self._is_named(hold.instance_id):
            self._violate(f"{record.id} lets {hold.instance_id} go, where {there[0].service_id} still runs")

    def beats(self, call: Call, hold: Hold) -> None:
        """A heartbeat has arrived."""
        ended = self._ended.get(call.request or "")
        if ended is not None and call.issued_at > ended + MOMENT_SECONDS:
            self._violate(f"{call.request} has ended, and still sends heartbeats for {hold.instance_id}")
        if hold.hook not in self._world.settings.hooks():
            self._violate(f"{call.request} sends a heartbeat to {hold.hook}, which is somebody else's")

    def _timeout(self, instance: str, hook: str) -> float:
        group = self._world.groups.groups[self._world.machines.group_of[instance]]
        return group.holds.hooks[hook].timeout.total_seconds()

    def _held_for(self, instance: str, hook: str) -> float:
        now = self._world.clockwork.now
        return now - self._held.get((instance, hook), now)

    def _is_named(self, instance: str) -> bool:
        """What was cut off is named by a record about the instance, and not before its time was over."""
        return any(record.plan.get("cut_off") for record in self._about(instance))

    # --- Ends ---------------------------------------------------------------------------------------------------

    def dies(self, instance: str) -> None:
        """A machine is about to end."""
        node, heard = self._world.machines.node_of(instance), self._world.events.words.heard.get(instance)
        if node is None or heard is None or not node.ready or self._in_doubt(instance):
            return
        noticed = self._world.clockwork.now - heard
        if min(noticed, self._undisturbed) < UNDISTURBED_SECONDS or self._is_new(node, noticed):
            return
        there = list(self._working(node))
        if there and not self._is_named(instance):
            names = f"{there[0].service_id}.{there[0].slot}"
            self._violate(f"{instance} was announced {noticed:.0f} s before its end, and {names} was cut off")

    def _check_cut_off(self, record: Record) -> None:
        """A record names what was cut off: its time must be over."""
        over = min((self._deadline(each) for each in self._about(instance_of(record))), default=0.0)
        node = self._world.machines.node_of(instance_of(record))
        if node is None or not node.ready:
            return  # nothing was left to be cut off
        late = 2 * STEP_SECONDS if self._world.profile.has("clock") else 1.0  # a clock may step more than once
        if self._world.clockwork.now + late < over and "It was tried for" not in str(record.plan["cut_off"]):
            self._violate(
                f"{record.id} cuts off {record.plan['cut_off']}, with {over - self._world.clockwork.now} s left"
            )

    def _deadline(self, record: Record) -> float:
        if record.request.get("cause") == "spot interruption":
            return (record.requested_at + NOTICE - START).total_seconds()
        began = record.started_at or record.requested_at
        return (began + self._world.settings.drain_timeout - START).total_seconds()

    def check_given_back(self) -> None:
        """At the end: who drained a node for AWS, which did not take its machine, has given it back, and says so."""
        for instance in self._world.events.untaken:
            for record in self._about(instance):
                self._check_given_back(record, instance)

    def _check_given_back(self, record: Record, instance: str) -> None:
        drained, (node_id, *_) = any(step.name == "remove" for step in record.steps), (*nodes_of(record), "")
        if drained and self._stays(instance, node_id) and UNTAKEN not in record.message:
            self._violate(
                f"{record.id} was about {instance}, which serves still, and does not say so: {record.message}"
            )

    # --- What is so ---------------------------------------------------------------------------------------------

    def leaves(self, instance: str) -> bool:
        """A departure of it is under way, or was."""
        return self._world.machines.leaves(instance) or any(True for _ in self._about(instance))

    def _about(self, instance: str) -> Iterator[Record]:
        for record in self._world.journal.records.values():
            if record.action == "node-leaving" and instance_of(record) == instance:
                yield record

    def _working(self, node: Node) -> Iterator[Task]:
        """What runs on a node, and is to go on."""
        return (task for task in self._world.swarm.running_on(node.id) if wanted(task))

    @property
    def _undisturbed(self) -> float:
        """For how many seconds one worker has led without trouble."""
        world, item = self._world, self._world.leases.item
        leader = next((each for each in world.processes if item is not None and each.owner == item.owner), None)
        if leader is None or not leader.alive or leader.loop.asleep or not world.chaos.over:
            return 0.0
        return world.clockwork.now - max(world.chaos.calm_since, world.led_since)

    def _in_doubt(self, instance: str) -> bool:
        """Nobody can tell which node it is, or its engine has left: a departure is one of a node, not of the next."""
        machines = self._world.machines
        return instance in machines.baked.values() or any(
            machines.instances.get(node_id) == instance for node_id in machines.left
        )

    def _is_new(self, node: Node, seconds: float) -> bool:
        """It has joined within that time, or somebody else has changed it."""
        now = self._world.clockwork.now
        since = now - seconds - MOMENT_SECONDS
        return (
            self._world.judge.changed_between(node.id, since, now + 1) or self._world.machines.joined[node.id] > since
        )

    def _stays(self, instance: str, node_id: str) -> bool:
        """Whether an instance is still a member, and that node of it."""
        node, left = self._world.machines.node_of(instance), self._world.machines.leaves(instance)
        return node is not None and node.id == node_id and not left and not self._in_doubt(instance)

    def _violate(self, what: str) -> None:
        self._world.judge.violate(11, what)
