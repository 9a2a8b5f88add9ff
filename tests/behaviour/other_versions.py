"""Records that another version of the worker has left, put into a world that is as that worker left it.

The files (tests/payloads/records) say both: the item of the journal, and what stood around it. Ids differ between the
world that a record was made in and the one that it is put into, so every id in it is exchanged.
"""

import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from shared.table import record_of
from tests.behaviour.scenario import Scenario
from tests.fakes import people
from worker.ports.storage import GroupMemory, LeaseItem

FOLDER = Path(__file__).parents[1] / "payloads" / "records" / "0.1.0"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))

Change = Callable[[dict[str, Any]], None]
"""What is done to a record's document before it is put down."""


def load(name: str) -> dict[str, Any]:
    """A file: `item`, `memory`, `around`."""
    loaded: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return loaded


def size(name: str) -> dict[str, int]:
    """How many machines the world of a file had: options of `world`."""
    around = load(name)["around"]
    return {"managers": len(around["managers"]), "workers": len(around["workers"])}


async def put(s: Scenario, name: str, change: Change | None = None) -> str:
    """Make the world as the file says, and put its record down. The id of the request."""
    file = load(name)
    new_services = await _services(s, file["around"]["services"])
    document = file["item"]["document"]
    file["around"]["rolled"] = document["plan"].get("rolled", [])
    if change is not None:
        change(document)
    ids = {**_machines(s, file["around"]), **new_services, "message-1": "before"}
    file = json.loads(_exchange(json.dumps(file), ids))
    await _as_it_was(s, file["around"])
    await s.passes(max(0.0, file["around"]["seconds"] - (s.clock.now() - _START).total_seconds()))
    item = {**file["item"], "document": {"S": json.dumps(file["item"]["document"])}}
    record = record_of(item)
    s.journal.records[record.id] = record
    for kind, memory in file["memory"].items():
        s.journal.memories[kind] = (memory.pop("token"), _memory(memory))
    s.leases.history.append(LeaseItem(None, record.token, 0, s.swarm.simulated.cluster_id))
    return record.id


MOVED_SECONDS = 2.0
"""Then the tasks of a drained node run elsewhere."""
_START = datetime.fromisoformat("2026-11-01T12:00:00+00:00")


async def _services(s: Scenario, services: list[dict[str, Any]]) -> dict[str, str]:
    """The services, their tasks running; the old ids with the new ones."""
    ids = {}
    for service in services:
        facts = {name: service[name] for name in ("labels", "env", "start_first")}
        constraints = tuple(service["constraints"])
        ids[service["id"]] = s.swarm.create(service["name"], service["replicas"], constraints=constraints, **facts)
    for service in services:
        await s.settled(service["name"], service["replicas"])
    return ids


def _machines(s: Scenario, around: Mapping[str, Any]) -> dict[str, str]:
    ids = {}
    for kind, instances in (("managers", s.managers), ("workers", s.workers)):
        for old, instance in zip(around[kind], instances, strict=True):
            new = {"instance": instance, "node": s.launcher.nodes[instance], "host": s.host(instance)}
            ids.update({old[fact]: new[fact] for fact in new})
    return ids


def _exchange(text: str, ids: Mapping[str, str]) -> str:
    """Every id by its new one, all at once, whole words only."""
    words = "|".join(sorted(map(re.escape, ids), key=len, reverse=True))
    return re.sub(rf"(?<![\w-])({words})(?![\w-])", lambda match: ids[match[0]], text)


async def _as_it_was(s: Scenario, around: Mapping[str, Any]) -> None:
    """What the worker had done, and what others had."""
    for node_id, facts in around["nodes"].items():
        people.set_role(s.swarm, node_id, facts["role"])
        s.swarm.set_availability(node_id, facts["availability"])
    for service_id in around["rolled"]:
        people.replace_tasks(s.swarm, service_id)
    if around["terminated"] or around["taken"]:
        await s.passes(MOVED_SECONDS)
    for instance in around["terminated"]:
        await s.groups.terminate(instance)
    for instance in around["taken"]:
        s.groups.kill(instance)
    for kind, desired in around["desired"].items():
        if s.groups.groups[kind].desired < desired:
            await s.groups.set_desired(kind, desired)


def _memory(memory: Mapping[str, Any]) -> GroupMemory:
    moments: dict[str, Any] = {
        name: datetime.fromisoformat(value) if isinstance(value, str) else value for name, value in memory.items()
    }
    return GroupMemory(**moments)
