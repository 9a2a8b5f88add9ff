"""The verdict: what must hold when all is quiet. What must hold at every moment before is the judge's business."""

from collections import Counter, defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING

from shared.records import Record, State
from tests.simulation.claims import same_key
from tests.simulation.cloud import ROLES
from tests.simulation.evidence import Effect
from tests.simulation.failures import COULD_NOT
from worker.requests.events import EVENTS

if TYPE_CHECKING:
    from tests.simulation.world import World


class Verdict:
    """Judges one world from its end."""

    def __init__(self, world: "World") -> None:
        self._world = world

    def judge(self, *, quiet: bool) -> None:
        """Look at everything. After an earlier violation nothing more is said."""
        if self._world.evidence.violations:
            return
        if not quiet:
            self._violate(1, f"it does not end: {self._unfinished()}")
        self._check_processes()
        self._check_messages()
        self._check_keys()
        self._check_called_duplicates()
        self._check_told()
        self._check_records()
        self._check_deaths()
        self._check_nodes()
        self._world.departures.check_given_back()

    def _unfinished(self) -> str:
        world = self._world
        records = [f"{each.id} {each.state} {each.step}" for each in world.journal.records.values() if not each.settled]
        copies = [copy.message.id for copy in world.queue.copies.values()]
        missing = [s.request_id for s in world.workload.sent if s.good and s.request_id not in world.journal.records]
        untold = world.over_untold()
        return f"steps={world.clockwork.steps} {records=} queue={copies} {missing=} the end of a pause is {untold=}"

    def _check_processes(self) -> None:
        world = self._world
        for process in world.processes:
            if process.failure is not None:
                self._violate(0, f"{process.name} ended with {process.failure!r}")
            for error in process.loop.errors:
                if not str(error.get("message")).startswith("Future exception"):
                    self._violate(0, f"{process.name}: {error}")
        for line in world.trace.unexpected:
            self._violate(8, line)
        if world.loop.errors:
            raise RuntimeError(f"seed {world.seed}: the simulation itself failed: {world.loop.errors[0]}")

    def _check_messages(self) -> None:
        world = self._world
        buried = {letter.message_id: letter for letter in world.queue.dead}
        for sent in world.workload.sent:
            letter = buried.get(sent.message_id)
            record = world.journal.records.get(sent.request_id)
            if letter is not None and (sent.good or not letter.error):
                self._violate(1, f"{sent.message_id} was dead-lettered: {letter.error}")
            elif letter is None and not sent.good:
                self._violate(1, f"{sent.message_id} can never be valid, and was not dead-lettered")
            elif sent.good and (record is None or not record.state.ended or not record.message):
                self._violate(1, f"{sent.message_id} has no ended record with a reason")

        for letter in world.queue.dead:
            if letter.message_id.startswith("word-"):
                self._violate(1, f"an event was dead-lettered: {letter.error}: {letter.body}")

    def _check_keys(self) -> None:
        """Of the requests with one key all but one are duplicates."""
        world, by_key = self._world, defaultdict(set)
        for sent in world.workload.sent:
            if sent.key is not None and "requested_at" not in sent.body:
                by_key[sent.key].add(sent.request_id)
        for key, ids in by_key.items():
            first = [each for each in sorted(ids) if world.journal.records[each].duplicate_of is None]
            if len(first) > 1:
                self._violate(2, f"{', '.join(first)} carry the same key {key}, and all count")

    def _check_called_duplicates(self) -> None:
        """And nothing is called a duplicate of what it does not repeat."""
        keys = {sent.request_id: sent.key for sent in self._world.workload.sent}
        for what in same_key(self._world.journal.records, keys):
            self._violate(9, what)

    def _check_records(self) -> None:
        for record in self._world.journal.records.values():
            self._check_effects(record)
            self._check_notified(record)

    def _check_effects(self, record: Record) -> None:
        evidence = self._world.evidence
        raised = evidence.of(record.id, "desired")
        if any(self._again(one, other) for one, other in pairwise(raised)):
            told = [(effect.before, effect.after, "late" if effect.late else "") for effect in raised]
            self._violate(2, f"{record.id} set desired {len(raised)} times: {told}")
        ended = Counter(effect.target for effect in evidence.of(record.id, "terminate", "replace"))
        for instance_id, count in ended.items():
            if count > 1:
                self._violate(2, f"{record.id} took {instance_id} off the desired capacity {count} times")
        unsaid = ended.keys() - set(record.plan.get("terminated", ()))
        # What AWS never answered is said to be possible, with the instance's id: nobody can know more.
        unsaid = {each for each in unsaid if f"AWS may have terminated {each}" not in record.message}
        if unsaid:
            self._violate(9, f"{record.id} terminated {sorted(unsaid)}, and does not say so: {record.message}")
        # A drain may roll a service once more, where another's label came between; that changes nothing of the service.
        per_service = Counter(
            (before.name, label)
            for label, before, after in self._world.judge.service_effects(record.id)
            if (before.env, before.replicas) != (after.env, after.replicas)
        )
        for (service, label), count in per_service.items():
            if count > 1:
                self._violate(2, f"{record.id} changed {service} {count} times ({label})")
        changes = [*raised, *ended, *per_service, *evidence.of(record.id, "availability")]
        tried = [each for each in evidence.effects if record.dry_run and each.request == record.id and each.changed]
        if tried:
            self._violate(12, f"{record.id} is a dry run, and changed something: {tried}")
        if record.state is State.SKIPPED and changes:
            self._violate(9, f"{record.id} was skipped, and changed something: {changes}")

    def _again(self, one: Effect, other: Effect) -> bool:
        """A second raise. Putting back one's own target after somebody else has changed it is none.

        Nor is a raise for the others of the wave, which goes from one's own target on, or puts that back. Nor is a call
        in flight that was given up, repeated, and arrives after all: nothing can fence it.
        """
        shared = one.after != other.after and any(map(self._is_target_of_another, (one, other)))
        if other.late and (one.after == other.after or shared):
            self._world.trace.counts["in flight: desired set again"] += 1
            return False
        if shared and int(str(other.before)) >= int(str(one.after)):
            return False
        by_people = self._world.judge.changed_between(one.target, one.time, other.time)
        between = (each for each in self._world.evidence.effects if one.time < each.time < other.time)
        by_late_call = any(each.late and each.target == one.target for each in between)
        return (one.after != other.after and not shared) or not (by_people or by_late_call)

    def _is_target_of_another(self, effect: Effect) -> bool:
        """Another scale-up of the group wanted what was set."""
        return any(
            (each.scale, each.nodes_after, each.type) == ("up", effect.after, ROLES.get(effect.target))
            for each in self._world.journal.records.values()
            if each.id != effect.request
        )

    def _check_notified(self, record: Record) -> None:
        if not record.notified:
            self._violate(9, f"{record.id} ended, and nobody was told")

    def _check_told(self) -> None:
        """The end of every request was offered: as often as requests have ended with the same words."""
        ends = Counter(end for record in self._world.journal.records.values() if (end := _end(record)) is not None)
        for (alertname, status, message), count in ends.items():
            heard = [
                alert
                for alert in self._world.offered
                if (alert.alertname, alert.status) == (alertname, status)
                and alert.summary in message
                and (alert.summary == message or not alert.summary.startswith("Changing the number"))
            ]
            if len(heard) < count:
                self._violate(9, f"{count} requests ended so, Alertmanager heard {len(heard)} times: {message}")

    def _check_deaths(self) -> None:
        for death in self._world.groups.deaths:
            if death.hand == "ours":
                self._violate(5, f"{death.instance_id} of {death.group} died of a desired capacity that we wrote")

    def _check_nodes(self) -> None:
        """No node that lives is left out of use, or demoted, by us."""
        machines = self._world.machines
        for node_id, how, request in self._world.judge.drained.left_out():
            if not machines.goes(node_id) and not self._excused(request):
                self._violate(10, f"{node_id} was left {how} by {request}")

    def _excused(self, request: str | None) -> bool:
        """The request says so itself, or was to do just that."""
        record = self._world.journal.records.get(request or "")
        stays = record is not None and record.action == "drain-node" and record.state is State.SUCCEEDED
        return stays or (record is not None and COULD_NOT in record.message)

    def _violate(self, invariant: int, what: str) -> None:
        self._world.judge.violate(invariant, what)


def _end(record: Record) -> tuple[str, str, str] | None:
    """How an ended request is told to people: alertname, status, message. None: nobody is to hear of it."""
    status = "error" if record.state is State.FAILED else "success"
    if record.state is State.SKIPPED and " already " not in record.message:
        return None  # duplicates, stale requests, cool-downs
    if record.dry_run:
        return None
    match record.action:
        case event if event in EVENTS:
            ours = "nothing is left to do" in record.message or "there is nothing" in record.message
            quiet = ours or "nothing runs there" in record.message or "may " in record.message
            if event == "scheduled-change":
                return ("scale_nodes", "pending", record.message) if record.state is State.SUCCEEDED else None
            return None if quiet or record.state is State.SKIPPED else ("scale_nodes", status, record.message)
        case "pause":
            return "scale_nodes", "error" if record.state is State.FAILED else "pending", record.message
        case "resume" | "cancel":
            return "scale_nodes", status, record.message
        case "scale-service":
            silent = "descaled to the minimum" in record.message  # ALERT_SCALE_MIN is off
            return None if silent else ("scale_service", status, record.message)
        case "drain-node" | "replace-node":
            return "scale_nodes", status, record.message
        case "scale-nodes":
            waited = record.scale == "up" and any(step.name == "wait" for step in record.steps)
            return "reschedule_service" if waited else "scale_nodes", status, record.message
        case _:
            return "reschedule_service", status, record.message
