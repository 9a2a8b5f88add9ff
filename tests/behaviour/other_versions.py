"""Records that another version of the worker has left, put into a world that is as that worker left it.

The files (tests/payloads/records) say both: the item of the journal, and what stood around it. Ids differ between the
world that a record was made in and the one that it is put into, so every id in it is exchanged.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from shared.records import record_of
from tests.behaviour.world import World
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


async def put(w: World, name: str, change: Change | None = None) -> str:
    """Make the world as the file says, and put its record down. The id of the request."""
    file = load(name)
    new_services = await _services(w, file["around"]["services"])
    document = file["item"]["document"]
    file["around"]["rolled"] = document["plan"].get("rolled", [])
    if change is not None:
        change(document)
    ids = {**_machines(w, file["around"]), **new_services, "message-1": "before"}
    file = json.loads(_exchange(json.dumps(file), ids))
    await _as_it_was(w, file["around"])
    await w.passes(max(0.0, file["around"]["seconds"] - (w.clock.now() - _START).total_seconds()))
    item = {**file["item"], "document": {"S": json.dumps(file["item"]["document"])}}
    record = record_of(item)
    w.journal.records[record.id] = record
    for kind, memory in file["memory"].items():
        w.journal.memories[kind] = (memory.pop("token"), _memory(memory))
    w.leases.history.append(LeaseItem(None, record.token, 0, "cluster"))
    return record.id


MOVED_SECONDS = 2.0
"""Then the tasks of a drained node run elsewhere."""
_START = datetime.fromisoformat("2026-11-01T12:00:00+00:00")


async def _services(w: World, services: list[dict[str, Any]]) -> dict[str, str]:
    """The services, their tasks running; the old ids with the new ones."""
    ids = {}
    for service in services:
        facts = {name: service[name] for name in ("labels", "env", "start_first")}
        constraints = tuple(service["constraints"])
        ids[service["id"]] = w.swarm.create(service["name"], service["replicas"], constraints=constraints, **facts)
    for service in services:
        await w.settled(service["name"], service["replicas"])
    return ids


def _machines(w: World, around: Mapping[str, Any]) -> dict[str, str]:
    ids = {}
    for kind, instances in (("managers", w.managers), ("workers", w.workers)):
        for old, instance in zip(around[kind], instances, strict=True):
            new = {"instance": instance, "node": w.launcher.nodes[instance], "host": w.host(instance)}
            ids.update({old[fact]: new[fact] for fact in new})
    return ids


def _exchange(text: str, ids: Mapping[str, str]) -> str:
    """Every id by its new one, all at once, whole words only."""
    words = "|".join(sorted(map(re.escape, ids), key=len, reverse=True))
    return re.sub(rf"(?<![\w-])({words})(?![\w-])", lambda match: ids[match[0]], text)


async def _as_it_was(w: World, around: Mapping[str, Any]) -> None:
    """What the worker had done, and what others had."""
    for node_id, facts in around["nodes"].items():
        w.swarm.cluster.put_node(replace(w.swarm.cluster.nodes[node_id], **facts))
    for service_id in around["rolled"]:
        w.swarm.cluster.put_service(w.swarm.cluster.services[service_id], template_changed=True)
    if around["terminated"] or around["taken"]:
        await w.passes(MOVED_SECONDS)
    for instance in around["terminated"]:
        await w.groups.terminate(instance)
    for instance in around["taken"]:
        w.groups.kill(instance)
    for kind, desired in around["desired"].items():
        if w.groups.groups[kind].desired < desired:
            await w.groups.set_desired(kind, desired)


def _memory(memory: Mapping[str, Any]) -> GroupMemory:
    moments: dict[str, Any] = {
        name: datetime.fromisoformat(value) if isinstance(value, str) else value for name, value in memory.items()
    }
    return GroupMemory(**moments)
