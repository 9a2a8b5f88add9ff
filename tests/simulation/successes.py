"""What records of requests that succeeded say, held against what was so."""

import re
from collections.abc import Iterator

from shared.records import Record
from tests.fakes.swarm import wanted
from tests.simulation.hindsight import LAG_SECONDS, Hindsight, group_of
from worker.requests.events import EVENTS

_UP = re.compile(r"^(?:1 \w+ node is|(?!1 )\d+ \w+ nodes are) up, ")
_UP_AT_THE_END = re.compile(
    r"; (?:(?P<number>1) \w+ node is|(?P<numbers>(?!1 )\d+) \w+ nodes are) up, (?P<names>.*removed)"
)
_FROM_TO = re.compile(r"from (\d+) to (\d+)")


class Successes(Hindsight):
    """Judges what is said to be done."""

    def check(self, record: Record) -> None:
        """A request is said to have succeeded."""
        match record.action, record.scale:
            case "scale-nodes", "up":
                self._check_up(record)
            case "scale-nodes", _:
                self._check_down(record)
            case "drain-node", _:
                self._check_drained(record)
            case "replace-node", _:
                self._check_replaced(record)
            case "scale-service", _:
                self._check_service_scale(record)
            case "node-gone", _:
                self._check_gone(record)
            case event, _ if event in EVENTS:
                return
            case _:
                self._check_pass(record)

    def _check_gone(self, record: Record) -> None:
        """Only what lives no more was removed."""
        instance = str(record.request.get("instance"))
        if "its instance" in record.message and self._world.machines.lives(instance):
            self._violate(f"{record.id} removed the node of {instance}, which lives")

    def _check_up(self, record: Record) -> None:
        if record.nodes_after is None or record.nodes_before is None or record.nodes_after <= record.nodes_before:
            self._violate(f"{record.id}, an up, says from {record.nodes_before} to {record.nodes_after}")
        self._check_pass(record)

    def _check_down(self, record: Record) -> None:
        ended = {effect.target for effect in self._world.evidence.of(record.id, "terminate")}
        for each in record.plan["leaving"]:
            if each["instance_id"] not in ended:
                self._violate(f"{record.id} says it removed {each['name']}, but did not terminate it")
            if each["node_id"] in self._world.swarm.cluster.nodes:
                self._violate(f"{record.id} says it removed {each['name']}, but its node is there")
        self._check_left(record)
        planned = _FROM_TO.search(record.message)
        wanted = int(planned[1]) - int(planned[2]) if planned else 0
        if not 0 < wanted == len(record.plan["leaving"]):
            self._violate(f"{record.id} names {len(record.plan['leaving'])} victims for {wanted}")

    def _check_drained(self, record: Record) -> None:
        """The node is as it is said to be, and empty where it is said to be drained."""
        (leaving,) = record.plan["leaving"]
        node_id, cluster = leaving["node_id"], self._world.swarm.cluster
        node = cluster.nodes.get(node_id)
        if node is None or self._changed_of_late(node_id):
            return
        back = bool(record.request.get("back"))
        if node.availability != (leaving["availability"] if back else "drain"):
            self._violate(f"{record.id} says: {record.message}, but {node.hostname} is {node.availability}")
        there = [task.id for task in cluster.tasks if task.node_id == node_id and task.alive]
        if there and not back and cluster.lives(node_id):
            self._violate(f"{record.id} says that {node.hostname} is empty, but {there} are there")

    def _check_replaced(self, record: Record) -> None:
        """The instance ends, by our hand or another's, and the group has as many Ready nodes as it wants.

        Somebody else's hook may hold its machine for as long as it likes: nothing keeps the instance any more.
        """
        (leaving,) = record.plan["leaving"]
        if not self._world.machines.leaves(leaving["instance_id"]):
            self._violate(f"{record.id} says: {record.message}, but {leaving['instance_id']} stays")
        group = group_of(record)
        wanted = int(record.nodes_after or 0) - len(record.plan["expectation"]["excluded"])
        since = self._world.clockwork.now - self._entered[record.id, "wait"]
        most = max(self._seen_ready(group, since))  # the old node was removed before that
        if most < wanted:
            self._violate(f"{record.id} says: {record.message}, but since it was removed {most} were Ready at most")
        self._check_pass(record)

    def _check_left(self, record: Record) -> None:
        """How many the last termination left, whatever others did: AWS says so, in answers and activities.

        And how many are up, as it was to be seen of late; no number is told only where AWS could not be asked.
        """
        effects = self._world.evidence.of(record.id, "terminate")
        if effects and effects[-1].after != record.nodes_after:
            self._violate(f"{record.id} left {effects[-1].after}, but says {record.nodes_after}")
        told = _UP_AT_THE_END.search(record.message)
        if told is None:
            if f"; {_removed(record)}" not in record.message:
                self._violate(f"{record.id} does not say what it removed: {record.message}")
            return
        group, number = group_of(record), int(told["number"] or told["numbers"])
        least, most = self._long_ready(group), max(self._seen_ready(group, LAG_SECONDS))
        if not least <= number <= most or told["names"] != _removed(record):
            self._violate(f"{record.id}: of late {least} to {most} were up, but it says: {record.message}")

    def _check_service_scale(self, record: Record) -> None:
        """It was set, from the number and to the number that is told, unless people came in between."""
        plan, effects = record.plan, self._world.judge.service_effects(record.id)
        if not any(after.replicas == plan["after"] for _, _, after in effects):
            self._violate(f"{record.id} says {plan['after']} replicas, but did not set them")
        since = self._began(record)
        for _, before, after in effects:
            by_people = self._world.judge.changed_between(before.id, since, self._world.clockwork.now)
            if before.replicas != plan["before"] and before.replicas != after.replicas and not by_people:
                self._violate(f"{record.id} says {before.name} had {plan['before']} replicas, not {before.replicas}")

    def _check_pass(self, record: Record) -> None:
        """Each service that was to be rescheduled is named, and no task of it is older than the pass."""
        ending = {each.name for each in self._world.swarm.cluster.services.values() if not each.restarts_completed}
        named, due = set(_rescheduled(record)) - ending, set(self._to_reschedule(record))
        if named != due:
            self._violate(f"{record.id} says that {named} were rescheduled, it should have been {due}")
        key, stamp = self._world.settings.reschedule_env_key, record.plan["reschedule"]["stamp"]
        cluster = self._world.swarm.cluster
        for service in cluster.services.values():
            if service.name not in named:
                continue
            if service.env.get(key, "") < stamp:
                self._violate(f"{record.id} says {service.name} is rescheduled, but its service is not")
            for task in cluster.tasks:
                if task.service_id == service.id and wanted(task) and task.env.get(key, "") < stamp:
                    self._violate(f"{record.id} says {service.name} is rescheduled, but {task.id} is old")

    def _to_reschedule(self, record: Record) -> Iterator[str]:
        label, _, value = self._world.settings.reschedule_filter_label.partition("=")
        for service in self._world.swarm.cluster.services.values():
            lasts = service.mode in {"replicated", "global"} and service.restarts_completed
            if lasts and service.labels.get(label) == value and record.service in {None, service.name}:
                yield service.name


def _removed(record: Record) -> str:
    return f"{', '.join(each['name'] for each in record.plan['leaving'])} removed"


def _rescheduled(record: Record) -> Iterator[str]:
    """The services that a record says it has rescheduled."""
    if record.service is not None and record.action == "reschedule-service":
        yield record.message.removeprefix("Rescheduled service: ")
        return
    for sentence in record.message.split("; "):
        told = _UP.sub("", sentence)
        if told.endswith(" rescheduled"):
            yield from told.removesuffix(" rescheduled").split(", ")
