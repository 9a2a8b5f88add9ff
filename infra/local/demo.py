"""`make demo`: the main job, live, and checked against the public contract (docs/reference.md).

On a fresh environment: an Alertmanager webhook asks for one worker node more, then a person with curl for one less.
Shows what happens as it happens; exit 0 where everything was as promised, 1 with the reasons where not.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from infra.local.departure import Interruption
from infra.local.environment import Environment
from infra.local.facts import Eyes
from infra.local.stage import ActScene, Scene, Stage
from infra.local.surroundings import FOLDER, boot_delay, shield
from infra.local.terminal import log_to, run
from infra.local.verdict import Act, Departure, checks, departure_checks

PATH: Final = "/v1/scale-nodes?by=1&type=worker"
WEBHOOK: Final = Path(__file__).with_name("payloads") / "tutorial_firing.json"
CURL: Final = b'{"groupLabels": {"scale": "down"}}'
_LOOK_SECONDS: Final = 0.1
_PAUSE_SECONDS: Final = 2.0
_PATIENCE_SECONDS: Final = 60.0
_INTERRUPTED: Final = 130
_ENDS: Final = ("succeeded", "failed", "skipped")


@dataclass(frozen=True, slots=True)
class Timed:
    """An act, and how long its parts took, in seconds; None where they cannot be told."""

    act: Act
    answer: float
    changed: float | None
    noticed: float | None
    total: float
    fewest: int


def main() -> int:
    """The exit code."""
    shield(os.environ)
    log_to(FOLDER / "demo" / "logs" / "environment.log")
    console = Console(highlight=False)
    code = run(_demo(console), stopped=_INTERRUPTED)
    if code == _INTERRUPTED:
        console.print("Interrupted. Everything that was started has ended.")
    return code


async def _demo(console: Console) -> int:
    stage, begun = Stage(console), time.monotonic()
    async with Environment(FOLDER / "demo", say=stage.say) as environment, Eyes(environment) as eyes:
        stage.say(f"Set up in {time.monotonic() - begun:.1f} s")
        begun = time.monotonic()
        with stage.lit():
            show = _Show(environment, eyes, stage)
            acts = [await show.play("up", WEBHOOK.read_bytes(), "application/json")]
            if not any(check.problem for check in checks(acts[0].act)):
                await stage.pause(_PAUSE_SECONDS)
                acts += [await show.play("down", CURL, "application/x-www-form-urlencoded")]
            departure = None
            if not any(check.problem for act in acts for check in checks(act.act)):
                await stage.pause(_PAUSE_SECONDS)
                departure = await show.interruption()
        seconds = time.monotonic() - begun
    return _report(console, acts, departure, seconds)


class _Show:
    """Plays the acts, one after the other, on one scene."""

    def __init__(self, environment: Environment, eyes: Eyes, stage: Stage) -> None:
        self._eyes = eyes
        self._environment = environment
        self._stage = stage
        self._scene = Scene()
        self._patience = _PATIENCE_SECONDS + boot_delay(os.environ)
        environment.receiver.board.on_message(self._scene.messages.append)

    async def play(self, scale: str, body: bytes, content_type: str) -> Timed:
        """Post one request and watch it to its end."""
        before, told = await self._eyes.cluster(), len(self._scene.messages)
        self._scene.cluster = before
        who = "an Alertmanager webhook" if scale == "up" else "a person with curl"
        self._scene.acts.append(ActScene(f"scale {scale}, by {who}"))
        self._stage.say(f"Now: {self._scene.acts[-1].title}")
        posted = time.time()
        status, location, answer = await self._eyes.post(PATH, body, content_type)
        answered = time.time() - posted
        self._stage.say(f"POST {PATH}: {status} {answer.get('message', '')}")
        fewest = await self._watch(location, posted) if status == 202 else before.running
        total = time.time() - posted
        act = Act(
            scale=scale,
            before=before,
            after=await self._eyes.cluster(),
            status=status,
            location=location,
            record=self._scene.acts[-1].record or _no_record(answer),
            messages=self._scene.messages[told:],
            changes=self._eyes.changes_since(posted),
        )
        return Timed(act, answered, self._changed(act, posted), self._noticed(act), total, fewest)

    async def interruption(self) -> Departure:
        """AWS takes a machine, and nobody asks for anything."""
        return await Interruption(self._environment, self._eyes, self._stage, self._scene, self._patience).play()

    async def _watch(self, location: str, posted: float) -> int:
        """Until the record has ended, or patience; the fewest tasks of `demo` that ran on the way."""
        act, fewest = self._scene.acts[-1], 10**6
        while time.time() - posted < self._patience:
            act.record, self._scene.cluster = await asyncio.gather(self._eyes.record(location), self._eyes.cluster())
            fewest = min(fewest, self._scene.cluster.running)
            self._scene.seconds = time.time() - posted
            self._stage.show(self._scene)
            if act.record is not None and act.record["state"] in _ENDS:
                break
            await asyncio.sleep(_LOOK_SECONDS)
        return fewest

    @staticmethod
    def _changed(act: Act, posted: float) -> float | None:
        """From the POST until AWS was told to change the group."""
        moments = [moment for found in act.changes.values() for moment in found]
        return min(moments) - posted if moments else None

    def _noticed(self, act: Act) -> float | None:
        """From the new node's being Ready until Swarm began to update `demo`."""
        demo = self._environment.swarm.control.service("demo").update_status
        nodes = [self._environment.swarm.store.nodes.get(node.id) for node in act.came]
        if demo is None or len(nodes) != 1 or nodes[0] is None:
            return None
        return (demo.started_ns - nodes[0].meta.created_ns) / 1e9


def _no_record(answer: dict[str, Any]) -> dict[str, Any]:
    """Where nothing was queued, or no worker took it."""
    state = f"no record ({answer.get('message', 'no message')})"
    return {"state": state, "message": "", "steps": [], "nodes_before": None, "nodes_after": None}


def _report(console: Console, acts: Sequence[Timed], departure: Departure | None, seconds: float) -> int:
    console.print()
    found = [(f"scale {timed.act.scale}", check) for timed in acts for check in checks(timed.act)]
    found += [("spot interruption", check) for check in (departure_checks(departure) if departure else ())]
    wrong = [(act, check) for act, check in found if check.problem]
    console.print(_table(acts))
    console.print()
    if departure is not None:
        console.print(_told(departure))
        console.print()
    for act, check in wrong:
        complaint = Text.assemble(("OFF  ", "bold red"), f"{act}: {check.name}: {check.problem}")
        console.print(complaint, soft_wrap=True)
    if wrong:
        console.print(f"{len(wrong)} of {len(found)} checks failed. The logs: {FOLDER / 'demo' / 'logs'}")
        return 1
    console.print(f"All {len(found)} checks against the contract hold. {seconds:.1f} s after set-up.")
    return 0


def _told(departure: Departure) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    table.add_column("")
    table.add_column("spot interruption", justify="right")
    table.add_row("warning to the node empty, demo complete", _seconds(departure.emptied))
    table.add_row("warning to its machine's end", _seconds(departure.died))
    table.add_row("warning to a Ready successor", _seconds(departure.joined))
    return table


def _table(acts: Sequence[Timed]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    table.add_column("")
    for timed in acts:
        table.add_column(f"scale {timed.act.scale}", justify="right")
    table.add_row("POST to its answer", *(f"{timed.answer:.3f} s" for timed in acts))
    table.add_row("POST to the group changed", *(_seconds(timed.changed) for timed in acts))
    table.add_row("node Ready to rescheduling begun", *(_seconds(timed.noticed) for timed in acts))
    table.add_row("POST to the request's end", *(_seconds(timed.total) for timed in acts))
    table.add_row("fewest tasks of demo running", *(f"{timed.fewest} of 6" for timed in acts))
    table.add_row("desired capacity", *(f"{one.act.before.desired} -> {one.act.after.desired}" for one in acts))
    table.add_row("Ready nodes", *(f"{_ready(one.act.before.nodes)} -> {_ready(one.act.after.nodes)}" for one in acts))
    return table


def _ready(nodes: Sequence[Any]) -> int:
    return sum(1 for node in nodes if node.ready)


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.2f} s"


if __name__ == "__main__":
    sys.exit(main())
