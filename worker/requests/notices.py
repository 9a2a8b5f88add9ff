"""What every alert of a request carries, and the alerts about an outage that holds it up."""

from dataclasses import replace

from shared.alertmanager import Alert, Status
from shared.records import Record, asker
from worker.requests import happenings, steering, wording
from worker.requests.events import EVENTS

DOCKER = "Docker to answer"
AWS = "AWS to answer"


def signed(alert: Alert, record: Record) -> Alert:
    """The alert with the node that the request is about, its id and who asked: for the link and the name in Slack."""
    return replace(alert, node=alert.node or record.node or "", id=record.id, asked_by=asker(record.asked_by))


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
        case event if event in EVENTS:
            return happenings.held_up(record, status, summary)
        case "scale-service":
            return wording.service(status, str(record.scale), str(record.service), summary)
        case "drain-node" | "replace-node":
            return wording.nodes(status, wording.node_request(record), summary)
        case "pause" | "resume":
            return steering.pausing(status, steering.pause_request(record.action), summary)
        case _:
            request = wording.one_request(record.service) if record.service else wording.ALL_REQUEST
            return wording.rescheduled(request, status, summary)
