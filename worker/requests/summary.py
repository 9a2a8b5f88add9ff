"""The summary of an open request: what the status document shows of it. The whole record stands in the journal."""

from shared.status import RequestStatus, StepStatus
from worker.requests.request import OpenRequest


def summary(request: OpenRequest) -> RequestStatus:
    """A request as it is now, with what it waits for before that has been written into its record."""
    record, waiting = request.record, request.waiting
    return RequestStatus(
        id=record.id,
        action=record.action,
        scale=record.scale,
        type=record.type,
        by=record.by,
        service=record.service,
        node=record.request.get("node"),
        state=str(record.state),
        step=record.step,
        steps=tuple(StepStatus.parse(step.document()) for step in record.steps),
        waiting_for=None if waiting is None else waiting.document(),
        message=record.message,
        source=record.source,
        asked_by=dict(record.asked_by or record.request.get("asked_by") or {}) or None,
        reason=record.reason or record.request.get("reason"),
        requested_at=record.requested_at,
        started_at=record.started_at,
    )
