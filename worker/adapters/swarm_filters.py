"""Lists that the engine filters for us, by ids: a large Swarm's lists take seconds, and most of them is not asked for.

Values of one filter are alternatives. The engine takes prefixes of ids, so they are compared exactly here; and it
answers 404 for all where one service or node of a list of tasks is gone, so those are asked for one by one then.
https://github.com/moby/moby/blob/master/daemon/cluster/tasks.go
"""

from collections.abc import Collection, Iterator
from itertools import chain
from typing import Any

from shared.errors import NotFound
from worker.adapters.engine_api import Api
from worker.adapters.swarm_json import services_of, tasks_of
from worker.ports.swarm import OVER, Workload

AT_ONCE = 200
"""So many ids in one filter: a proxy's buffer holds 16 KiB of a request's head (HAProxy's `tune.bufsize`)."""

Json = dict[str, Any]


def with_ids(api: Api, path: str, ids: Collection[str]) -> Iterator[Json]:
    """The objects of a list that have one of the ids."""
    for some in _parts(ids):
        yield from (each for each in api.each(path, {"id": some}) if each["ID"] in ids)


def workload_of(api: Api, node_ids: Collection[str], service_ids: Collection[str]) -> Workload:
    """What concerns some nodes and some services: the nodes' tasks first, then the services', then the services."""
    there = tasks_of(_tasks(api, "node", "NodeID", node_ids))
    wanted = {*service_ids, *(task.service_id for task in there if task.service_id and task.state not in OVER)}
    of_services = tasks_of(_tasks(api, "service", "ServiceID", wanted))
    services = services_of(with_ids(api, "/services", wanted))
    newest = {task.id: task for task in chain(there, of_services)}
    return Workload(tuple(newest.values()), tuple(services))


def _tasks(api: Api, name: str, field: str, ids: Collection[str]) -> Iterator[Json]:
    for some in _parts(ids):
        try:
            yield from (each for each in api.each("/tasks", {name: some}) if each.get(field) in ids)
        except NotFound:
            if len(some) > 1:
                yield from chain.from_iterable(_tasks(api, name, field, [each]) for each in some)


def _parts(ids: Collection[str]) -> Iterator[list[str]]:
    ordered = sorted(ids)
    return (ordered[start : start + AT_ONCE] for start in range(0, len(ordered), AT_ONCE))
