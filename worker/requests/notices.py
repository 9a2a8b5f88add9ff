"""The alerts about an outage that holds a request up, under the labels that its other alerts have."""

from shared.alertmanager import Alert, Status
from shared.records import Record
from worker.requests import wording

DOCKER = "Docker to answer"
AWS = "AWS to answer"


def outage(record: Record, what: str, seconds: float, error: str) -> Alert:
    """It has lasted for long enough to be told."""
    summary = (
        f"Waiting for {what} for {wording.duration(round(seconds))} seconds: {error}. Request {record.id} goes on by "
        "itself, or fails when its time is over"
    )
    return _about(record, "pending", summary)


def outage_over(record: Record, what: str) -> Alert:
    """It goes on."""
    return _about(record, "success", f"No longer waiting for {what}: request {record.id} goes on")


def _about(record: Record, status: Status, summary: str) -> Alert:
    match record.action:
        case "scale-nodes":
            request = wording.nodes_request(str(record.scale), record.by or 1, str(record.type))
            return wording.nodes(status, request, summary)
        case "scale-service":
            return wording.service(status, str(record.scale), str(record.service), summary)
        case _:
            request = wording.one_request(record.service) if record.service else wording.ALL_REQUEST
            return wording.rescheduled(request, status, summary)
