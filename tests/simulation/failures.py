"""What records of requests that failed say, held against what was so."""

from shared.records import Record
from tests.simulation.hindsight import LAG_SECONDS, Hindsight, group_of

COULD_NOT = "could not be given back"


class Failures(Hindsight):
    """Judges what is said to have failed, and why."""

    def check(self, record: Record) -> None:
        """A request is said to have failed."""
        self._check_given_back(record)
        self._check_unchanged(record)
        if "Somebody else lowered" in record.message:
            self._check_lowered(record)
        if "Somebody else terminated" in record.message or "Somebody else is terminating" in record.message:
            self._check_taken(record)
        known = {service.name for service in self._world.swarm.cluster.services.values()}
        if "docker inspect failed" in record.message and record.service in known:
            self._violate(f"{record.id} says that {record.service} is not there: {record.message}")

    def _check_given_back(self, record: Record) -> None:
        """What was touched in vain is as it was before the end is written down, not some time after it."""
        machines = self._world.machines
        for node_id, how, request in self._world.judge.drained.left_out():
            lives = not machines.goes(node_id)
            if request == record.id and lives and COULD_NOT not in record.message:
                self._world.judge.violate(10, f"{record.id} has ended, and {node_id} is still {how}: {record.message}")

    def _check_unchanged(self, record: Record) -> None:
        """A down that has terminated nothing leaves the number as it was; so does a replacement of nothing.

        One whose instance others took has waited for as many nodes as they desired then.
        """
        ended = self._world.evidence.of(record.id, "terminate") or self._world.evidence.of(record.id, "replace")
        changed = record.scale == "up" or ended or record.nodes_after in self._waited_for(record)
        if (
            record.action in {"scale-nodes", "replace-node"}
            and not changed
            and record.nodes_after != record.nodes_before
        ):
            self._violate(f"{record.id} changed nothing, but says from {record.nodes_before} to {record.nodes_after}")

    def _waited_for(self, record: Record) -> set[int]:
        """The desired capacities that a replacement may have seen while it waited for its group to be complete."""
        began = self._entered.get((record.id, "wait"))
        if record.action != "replace-node" or began is None:
            return set()
        return self._seen_desired(group_of(record), began - LAG_SECONDS)

    def _check_lowered(self, record: Record) -> None:
        """Nobody is accused of what an old description only seemed to show."""
        group = self._world.groups.groups[group_of(record)]
        planned = record.nodes_after if record.scale == "up" else record.nodes_before
        since = self._entered[record.id, "wait" if record.scale == "up" else "drain"]
        lowest = min((seen.desired for time, seen in group.history if time >= since), default=group.desired)
        ours = len(record.plan.get("terminated", ()))
        if min(lowest, group.desired) >= int(planned or 0) - ours:
            self._violate(f"{record.id} says somebody lowered {group.name} below {planned}: nobody did")

    def _check_taken(self, record: Record) -> None:
        """Nor of a termination that was ours, of this request or of an earlier one."""
        for each in record.plan["leaving"]:
            if f"terminated {each['name']} while" in record.message or f"terminating {each['name']}," in record.message:
                hands = {death.hand for death in self._world.groups.deaths if death.instance_id == each["instance_id"]}
                if not hands - {"named"}:
                    self._violate(f"{record.id} says somebody else took {each['name']}: that was us")
