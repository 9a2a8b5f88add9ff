"""The wait of a replacement: until the group has as many Ready nodes again as it desires, without the one that went."""

from collections.abc import Sequence
from dataclasses import replace

from shared.alertmanager import Alert
from worker.decisions.readiness import Progress
from worker.flows.join_wait import JoinWait
from worker.ports.scaling import Group
from worker.ports.swarm import Node
from worker.requests import wording


class RefillWait(JoinWait):
    """The wait of one request for the group to be complete."""

    def _counted(self, group: Group) -> Group:
        """What is desired now counts, whoever set it. The node that went is none any more, so nobody takes an old
        description for a complete group."""
        self._expectation = self._expectation.but(target=group.desired, base=group.desired)
        return group

    def _check_not_lowered(self, group: Group) -> None:
        """What is desired now counts."""

    async def _ready(self, group: Group, nodes: Sequence[Node], found: Progress) -> None:
        self._request.note(nodes_after=group.desired)
        await super()._ready(group, nodes, found)

    def _say(self, alert: Alert) -> None:
        """About the node that went: so its next word is the end of this one."""
        self._request.say(replace(alert, alertname="scale_nodes", service=wording.BACKEND))

    @property
    def _begun(self) -> str:
        return self._request.record.message.partition("; ")[0]
