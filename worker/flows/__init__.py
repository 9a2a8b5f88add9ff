"""How each kind of request is done. A new action has its flow here, and a row in FLOWS."""

from collections.abc import Callable, Mapping

from shared.records import Record
from worker.flows.batches import Batches
from worker.flows.cancel import Cancel
from worker.flows.capacity import CapacityView
from worker.flows.down import ScaleDown
from worker.flows.drain_node import DrainNode
from worker.flows.dry_run import DryRun
from worker.flows.flow import Context, Flow, UnknownAction
from worker.flows.gone import NodeGone
from worker.flows.joining import NodeJoining
from worker.flows.leaving import NodeLeaving
from worker.flows.pauses import Pauses
from worker.flows.replace_node import ReplaceNode
from worker.flows.replicas import ScaleService
from worker.flows.reschedule import Reschedule
from worker.flows.rollout import Rescheduler
from worker.flows.scheduled import ScheduledChange
from worker.flows.shared_look import SharedLook
from worker.flows.up import ScaleUp
from worker.flows.wave import Wave
from worker.leadership.period import Leadership
from worker.requests.open_requests import OpenRequests

FLOWS: Mapping[tuple[str, str | None], Callable[[Context], Flow]] = {
    ("scale-nodes", "up"): ScaleUp,
    ("scale-nodes", "down"): ScaleDown,
    ("drain-node", None): DrainNode,
    ("replace-node", None): ReplaceNode,
    ("scale-service", None): ScaleService,
    ("reschedule-services", None): Reschedule,
    ("reschedule-service", None): Reschedule,
    ("pause", None): Pauses,
    ("resume", None): Pauses,
    ("cancel", None): Cancel,
    ("node-joining", None): NodeJoining,
    ("node-leaving", None): NodeLeaving,
    ("scheduled-change", None): ScheduledChange,
    ("node-gone", None): NodeGone,
}
"""(action, direction) to its flow; None: whatever the direction."""


class Flows:
    """The flows of one leadership period."""

    def __init__(self, leadership: Leadership, requests: OpenRequests) -> None:
        rescheduler = Rescheduler(leadership)
        batches = Batches(leadership, rescheduler, requests)
        capacity, wave, look = CapacityView(leadership), Wave(leadership, requests), SharedLook(leadership)
        context = Context(leadership, requests, capacity, rescheduler, batches, wave, look)
        self._context = context
        self._flows = {key: make(context) for key, make in FLOWS.items()}
        self._unknown = UnknownAction()

    def of(self, record: Record) -> Flow:
        """The flow that does what a record asks for."""
        if record.dry_run:
            make = FLOWS.get((record.action, record.scale)) or FLOWS.get((record.action, None))
            return self._unknown if make is None else DryRun(self._context, make)
        exact = self._flows.get((record.action, record.scale))
        return exact or self._flows.get((record.action, None)) or self._unknown
