"""What may run now. Pure.

Node scales share a lane. What stands at its head begins when nothing of the lane runs, or when it is a scale-up that
may join the scale-ups of its type whose targets are written down already. Requests about services have no lane to
wait in: they only take turns at one and the same service. What steers the scaler itself waits for nothing.

A machine that EC2 recommends to replace is drained in the lane of the node scales, too, and leaves the lane once it is
empty: it may be long until AWS takes it. The next one is not drained before.
"""

from collections.abc import Iterable, Iterator, Sequence

from shared.actions import ACTIONS
from worker.requests.events import is_recommended
from worker.requests.request import OpenRequest

_JOINABLE = frozenset({"apply", "wait", "reschedule"})
"""Steps of a scale-up in which others of its type may join."""

_EMPTIED = frozenset({"join", "remove"})
"""Steps of such a departure in which it changes nothing more."""


def startable(queued: Sequence[OpenRequest], running: Sequence[OpenRequest]) -> list[OpenRequest]:
    """Those of the queued requests (the first is the next) that may begin beside the running ones."""
    free = [request for request in queued if _waits_for_nobody(request)]
    others = [[each for each in requests if not _waits_for_nobody(each)] for requests in (queued, running)]
    return [*free, *_startable(*others)]


def _startable(queued: Sequence[OpenRequest], running: Sequence[OpenRequest]) -> list[OpenRequest]:
    services = _free_services(queued, running)
    one_leaves = any(is_recommended(request.record) for request in running)
    lane = [each for each in queued if _scales_nodes(each) and not (one_leaves and is_recommended(each.record))]
    head = next(iter(lane), None)
    if head is None or not _may_begin(head, filter(_is_in_lane, running)):
        return services
    return [*services, head]


def ahead(queued: Sequence[OpenRequest], running: Sequence[OpenRequest]) -> Iterator[tuple[OpenRequest, OpenRequest]]:
    """Each of the queued requests that waits for its turn, with the one that is next before it."""
    last: dict[str | None, OpenRequest] = {}
    waiting = set(map(id, queued))
    for request in (*running, *queued):
        if _waits_for_nobody(request):
            continue
        if not _scales_nodes(request) and request.record.service is None:
            continue  # it waits for nobody
        lane = None if _scales_nodes(request) else request.record.service
        if id(request) in waiting and lane in last:
            yield request, last[lane]
        last[lane] = request


def _free_services(queued: Iterable[OpenRequest], running: Iterable[OpenRequest]) -> list[OpenRequest]:
    """Requests about services: all but those about a service that an older one is about."""
    busy = {request.record.service for request in running if not _scales_nodes(request)}
    free = []
    for request in queued:
        service = request.record.service
        if not _scales_nodes(request) and (service is None or service not in busy):
            free.append(request)
            busy.add(service)
    return free


def _may_begin(head: OpenRequest, running: Iterable[OpenRequest]) -> bool:
    """Alone, or as a scale-up beside those of its type that have their targets."""
    return all(
        (head.record.scale, head.record.type) == ("up", other.record.type)
        and other.record.scale == "up"
        and other.record.step in _JOINABLE
        for other in running
    )


def _waits_for_nobody(request: OpenRequest) -> bool:
    """It changes nothing: a dry run, or one that was cancelled before it has begun. Nor does anybody wait for it."""
    return request.record.dry_run or (request.record.cancelled is not None and request.record.step is None)


def _is_in_lane(request: OpenRequest) -> bool:
    return _scales_nodes(request) and not (is_recommended(request.record) and request.record.step in _EMPTIED)


def _scales_nodes(request: OpenRequest) -> bool:
    if is_recommended(request.record):
        return True
    action = ACTIONS.get(request.record.action)
    return action is not None and action.lane == "nodes"
