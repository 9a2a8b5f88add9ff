"""What a person sees of the demo, on the board that `scaler` has as well: nodes, steps, notifications."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from cli.board import Board, Line, step_cells, step_lines
from infra.local.board import Message, spoken
from infra.local.facts import Cluster, NodeFacts

_COLOURS: Final = {"success": "green", "pending": "yellow", "error": "red", "": "white"}
_NARROW: Final = 100
_TALL: Final = 30
_GAPS: Final = 3


@dataclass(slots=True)
class ActScene:
    """One request as it stands."""

    title: str
    record: Mapping[str, Any] | None = None


@dataclass(slots=True)
class Scene:
    """Everything to be seen at one moment."""

    seconds: float = 0.0
    cluster: Cluster | None = None
    acts: list[ActScene] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)

    def copy(self) -> Scene:
        """As it is now, whatever becomes of this one."""
        acts = [ActScene(act.title, act.record) for act in self.acts]
        return Scene(self.seconds, self.cluster, acts, list(self.messages))

    def picture(self, height: int, width: int) -> RenderableType:
        """Nodes, steps and notifications, in as many lines as there are."""
        nodes, steps = _nodes(self, width), _steps(self.acts)
        title = self.acts[-1].title if self.acts else ""
        head = Text.assemble((" Docker Scaler ", "bold reverse"), f"  {title}  ", (f"{self.seconds:.1f} s", "bold"))
        used = 1 + (nodes.row_count + 1) + (steps.row_count + 1) + 2
        parts: list[RenderableType] = [head, nodes, steps, _messages(self.messages, max(3, height - used - _GAPS))]
        if height >= _TALL:
            parts = [one for part in parts for one in (part, Text())][:-1]
        return Group(*parts)

    def changes(self, before: Scene | None) -> Iterator[Line]:
        """What has happened since another one."""
        before = before or Scene()
        if before.cluster is not None and self.cluster is not None:
            yield from _cluster_changes(before.cluster, self.cluster)
        yield from (Line("told", spoken(message)) for message in self.messages[len(before.messages) :])
        for number, act in enumerate(self.acts):
            known = step_lines(before.acts[number].record) if number < len(before.acts) else []
            yield from step_lines(act.record)[len(known) :]


class Stage:
    """Shows scenes; says lines. Plain: what has changed since the last scene, in lines."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._board: Board[Scene] = Board(console, self._tell, live=console.is_terminal)

    def lit(self) -> AbstractContextManager[None]:
        """While the show goes on."""
        return self._board.lit()

    async def pause(self, seconds: float) -> None:
        """Time to look, where somebody does."""
        if self._board.seen:
            await asyncio.sleep(seconds)

    def say(self, text: str) -> None:
        """A line for the person, above the picture if there is one."""
        self._console.print(Text(f"{datetime.now().astimezone():%H:%M:%S}  {text}"), soft_wrap=True)

    def show(self, scene: Scene) -> None:
        """How things stand now."""
        self._board.show(scene.copy())

    def _tell(self, scene: Scene, line: Line) -> None:
        self.say(f"{scene.seconds:5.1f} s  {line.kind:<6} {line.text}")


# --- lines --------------------------------------------------------------------------------------------------------


def _cluster_changes(before: Cluster, after: Cluster) -> Iterator[Line]:
    if before.desired != after.desired:
        yield Line("group", f"desired capacity {before.desired} -> {after.desired}")
    was, now = {node.id: node for node in before.nodes}, {node.id: node for node in after.nodes}
    for node_id, node in now.items():
        if _standing(node) != _standing(was.get(node_id)):
            yield Line("node", f"{node.name} ({node.role}) is {_standing(node)}")
        elif node.role == "worker" and node.tasks != was[node_id].tasks:
            yield Line("tasks", f"{_tasks_on(node)} on {node.name} ({node.role})")
    yield from (Line("node", f"{node.name} has left the Swarm") for node_id, node in was.items() if node_id not in now)


def _standing(node: NodeFacts | None) -> str:
    return f"{node.state.capitalize()}, {node.availability}" if node else ""


def _tasks_on(node: NodeFacts) -> str:
    return f"{node.tasks or 'no'} task{'' if node.tasks == 1 else 's'} of demo"


# --- picture ------------------------------------------------------------------------------------------------------


def _nodes(scene: Scene, width: int) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), title_justify="left", header_style="dim")
    for column in ("NODE", "ROLE", "STATUS", "AVAILABILITY", "TASKS OF DEMO"):
        table.add_column(column, no_wrap=True, min_width=12)
    if width >= _NARROW:
        table.add_column("INSTANCE", no_wrap=True)
    if scene.cluster is None:
        return table
    for node in scene.cluster.nodes:
        table.add_row(*_node_cells(node), node.instance_id if width >= _NARROW else None)
    for instance in sorted(scene.cluster.booting):
        table.add_row(Text(instance, "yellow"), "", Text("Booting", "yellow"), "", "", "")
    running = Text(f"{scene.cluster.running} of 6 run", "green" if scene.cluster.running == 6 else "yellow")
    table.add_row(f"desired {scene.cluster.desired} workers", "", "", "", running, style="dim")
    return table


def _node_cells(node: NodeFacts) -> Sequence[Text]:
    calm = node.availability == "active"
    return (
        Text(node.name),
        Text("leader" if node.leader else node.role, "dim" if node.role == "manager" else ""),
        Text(node.state.capitalize(), "green" if node.ready else "red"),
        Text(node.availability.capitalize(), "" if calm else "yellow"),
        Text("■ " * node.tasks, "cyan"),
    )


def _steps(acts: Sequence[ActScene]) -> Table:
    """The requests side by side."""
    table = Table(box=None, pad_edge=False, padding=(0, 4, 0, 0), header_style="dim")
    columns = [step_cells(act.record) for act in acts]
    for act in acts:
        table.add_column(act.title.upper(), no_wrap=True, min_width=30)
    for number in range(max((len(cells) for cells in columns), default=0)):
        table.add_row(*(cells[number] if number < len(cells) else Text() for cells in columns))
    return table


def _messages(messages: Sequence[Message], most: int) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", show_edge=False)
    table.add_column("NOTIFICATIONS", no_wrap=True, overflow="ellipsis")
    for message in messages[-most:]:
        moment = f"{message.at.astimezone():%H:%M:%S}  "
        table.add_row(Text.assemble((moment, "dim"), (spoken(message), _COLOURS.get(message.status, ""))))
    return table
