"""What Alertmanager is told, from the worker's own sentences: each with values as an example."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from infra.reference.markdown import code, table
from shared.alertmanager import Alert
from shared.pause import Pause
from shared.records import Record
from worker.requests import departures, happenings, notices, steering, wording

_RECORD = Record(
    id="6f1c",
    action="scale-nodes",
    requested_at=datetime(2026, 1, 1, tzinfo=UTC),
    source="http",
    request={},
    scale="up",
    type="worker",
    by=1,
)
_DRAIN = replace(_RECORD, action="drain-node", scale=None, node="ip-10-0-3-12")
_REPLACE = replace(_DRAIN, action="replace-node")
_BACK = replace(_DRAIN, request={"back": True})
_GONE = _RECORD.but(action="node-gone", request={"instance": "i-0123456789abcdef0", "state": "terminated"})
_PLANNED = _RECORD.but(
    action="scheduled-change",
    request={"what": "AWS_EC2_INSTANCE_RETIREMENT_SCHEDULED", "starts_at": "2026-12-10T13:19:03.000Z"},
)
_LEAVING = _RECORD.but(action="node-leaving", request={"cause": "spot interruption"})
_UP = wording.nodes_request("up", 1, "worker")
_DOWN = wording.nodes_request("down", 1, "worker")
_NO_CAPACITY = "We currently do not have sufficient t3.large capacity"
_FAILED = wording.reschedule_failures([("web", "its update is paused")], ["api"])


def notifications() -> str:
    """One row for each event."""
    rows = [(event, *_labels(alert), code(alert.request), code(alert.summary)) for event, alert in _events()]
    heads = ("event", "`alertname`", "`service`", "`status`", "`request`", "`summary`")
    return table(heads, rows)


def _labels(alert: Alert) -> tuple[str, str, str]:
    return code(alert.alertname), code(alert.service), code(alert.status)


def _events() -> Iterator[tuple[str, Alert]]:
    yield from _up()
    yield from _down()
    yield from _one_node()
    yield from _services()
    pause = Pause(_RECORD.requested_at, _RECORD.requested_at + timedelta(hours=2), "alice at 10.0.0.7", "maintenance")
    yield "paused", steering.pausing("pending", steering.pause_request("pause"), steering.paused(pause))
    yield "resumed", steering.pausing("success", steering.pause_request("resume"), steering.resumed(pause))
    stopped = steering.stopped("6f1c", "Cancelled by alice at 10.0.0.7; nothing was changed")
    yield "cancelled", steering.cancelling("success", "6f1c", stopped)
    gone = "ip-10-0-3-12 removed from the Swarm: its instance i-0123456789abcdef0 has ended"
    left = happenings.leaving_over(_LEAVING, "ip-10-0-3-12", (), "its node is removed")
    begun = happenings.leaving(_LEAVING, "ip-10-0-3-12", _RECORD.requested_at)
    yield "node-leaving: it begins (`node`: the node)", begun
    yield "node-leaving: done (`node`: the node)", happenings.left(_LEAVING, "ip-10-0-3-12", "success", left)
    planned = happenings.planned(_PLANNED, "ip-10-0-3-12", "i-0123456789abcdef0")
    yield "scheduled-change (`node`: the node)", planned
    lost = (
        "i-0123456789abcdef0 has not joined the Swarm within 1000 seconds; it was abandoned, and AWS launches another"
    )
    yield "node-joining: it does not (`node`: the instance)", happenings.joined(_RECORD, "i-0123456789abcdef0", lost)
    yield "node-gone: done (`node`: the node)", happenings.node_gone(_GONE, "ip-10-0-3-12", "success", gone)
    away = notices.outage(_RECORD, "AWS to answer", 63, "DescribeAutoScalingGroups: no answer in time")
    yield "AWS or Docker have not answered for a minute", away
    yield "they answer again", notices.outage_over(_RECORD, "AWS to answer")
    yield "a message that can never be valid", wording.bad_request("scale-nodes", "No scale direction")


def _up() -> Iterator[tuple[str, Alert]]:
    bound = wording.at_bound("worker", "maximum", 5)
    ready = wording.ready("worker", 2, ["demo"])
    timeout = wording.timeout("worker", 1000, 2)
    yield "nodes: the number changes", wording.nodes("success", _UP, wording.changing("worker", 1, 2))
    yield "at the bound (`ALERT_NODE_MIN`, `ALERT_NODE_MAX`)", wording.nodes("success", _UP, bound)
    yield "up: the wait begins", wording.waiting("worker", 1, 2)
    yield "each `RESCHEDULE_TICKER_INTERVAL`", wording.tick("worker", 60, 2)
    yield "AWS cannot launch; the wait goes on", wording.launch_failed("worker", 2, _NO_CAPACITY)
    yield "up: done", wording.nodes_ready(ready)
    yield "up: done, nothing to reschedule", wording.nodes_ready(wording.ready("worker", 2, []))
    yield "up: the nodes did not come", wording.nodes_timeout(timeout)


def _down() -> Iterator[tuple[str, Alert]]:
    yield "down: done", wording.nodes("success", _DOWN, departures.removed("worker", 1, ["ip-10-0-3-12"]))
    refused = "Nothing was removed: ..."
    yield "failed or refused: what, why, what to do", wording.nodes("error", _DOWN, refused)


def _one_node() -> Iterator[tuple[str, Alert]]:
    """With the label `node`."""
    until = _RECORD.requested_at + timedelta(seconds=300)
    draining = departures.draining("ip-10-0-3-12", 3, until)
    yield "drain-node: begins", wording.nodes("pending", wording.node_request(_DRAIN), draining)
    drained = departures.drained("ip-10-0-3-12")
    yield "drain-node: done", wording.nodes("success", wording.node_request(_DRAIN), drained)
    replacing = departures.replacing("ip-10-0-3-12", 3, until)
    yield "replace-node: begins", wording.nodes("pending", wording.node_request(_REPLACE), replacing)
    gone = departures.replaced("ip-10-0-3-12")
    waits = wording.joined(gone, wording.refilling("worker", 3))
    yield "replace-node: the wait begins", wording.nodes("pending", wording.node_request(_REPLACE), waits)
    done = wording.joined(gone, wording.ready("worker", 3, ["demo"]))
    yield "replace-node: done", wording.nodes("success", wording.node_request(_REPLACE), done)
    back = departures.given_back("ip-10-0-3-12", "active", departures.whose_drain("6f1c"))
    yield "drain-node: given back", wording.nodes("success", wording.node_request(_BACK), back)


def _services() -> Iterator[tuple[str, Alert]]:
    scaling = wording.scaling("web", 3, 5, 2, 5)
    bound = wording.service_at_bound("web", "minimum", 2)
    everything, one = wording.ALL_REQUEST, wording.one_request("web")
    yield "replicas: the number changed", wording.service("success", "up", "web", scaling)
    yield "at the bound (`ALERT_SCALE_MIN`, `ALERT_SCALE_MAX`)", wording.service("success", "down", "web", bound)
    yield "all rescheduled", wording.rescheduled(everything, "success", "web, api rescheduled")
    yield "some not", wording.rescheduled(everything, "error", _FAILED)
    yield "one rescheduled", wording.rescheduled(one, "success", "Rescheduled service: web")
