"""The demo's last act: AWS takes a node's machine, as it takes a spot instance, and nobody is asked.

It says so a few seconds before (two minutes in AWS). Played through the environment's own control, watched like the
others; whether it went as promised is for `verdict` to say.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from typing import Any, Final

import aiohttp

from infra.local.environment import Environment
from infra.local.facts import Cluster, Eyes, NodeFacts
from infra.local.stage import ActScene, Scene, Stage
from infra.local.verdict import REPLICAS, Departure

NOTICE_SECONDS: Final = 4.0
_LOOK_SECONDS: Final = 0.1


@dataclass(slots=True)
class Interruption:
    """One of them, on a scene that others have played on."""

    environment: Environment
    eyes: Eyes
    stage: Stage
    scene: Scene
    patience: float

    async def play(self) -> Departure:
        """Take the machine of the worker with the most tasks; watch until a successor has joined."""
        before, told = await self.eyes.cluster(), len(self.scene.messages)
        node = max((one for one in before.nodes if one.role == "worker"), key=lambda one: one.tasks)
        self.scene.cluster = before
        self.scene.acts.append(ActScene("spot interruption, by AWS"))
        self.stage.say(f"Now: {self.scene.acts[-1].title}")
        warned = time.time()
        await self._interrupt(node)
        self.stage.say(f"AWS warns of the end of {node.name} ({node.instance_id}) in {NOTICE_SECONDS:.0f} s")
        seen = Departure(node, before, before, {"state": "no record", "message": ""}, ())
        while time.time() - warned < self.patience and not seen.over:
            seen = self.after(seen, await self._look(node), time.time() - warned)
            self.scene.seconds = time.time() - warned
            self.stage.show(self.scene)
            await asyncio.sleep(_LOOK_SECONDS)
        return replace(seen, messages=tuple(self.scene.messages[told:]))

    async def _interrupt(self, node: NodeFacts) -> None:
        url = f"{self.environment.variables['CONTROL_URL']}/instances/{node.name}/interrupt"
        async with aiohttp.ClientSession() as http, http.post(url, json={"notice_seconds": NOTICE_SECONDS}) as answer:
            answer.raise_for_status()

    async def _look(self, node: NodeFacts) -> tuple[Cluster, dict[str, Any] | None]:
        cluster, record = await asyncio.gather(
            self.eyes.cluster(), self.eyes.request_about("node-leaving", node.instance_id)
        )
        self.scene.cluster, self.scene.acts[-1].record = cluster, record
        return cluster, record

    @staticmethod
    def after(seen: Departure, look: tuple[Cluster, dict[str, Any] | None], seconds: float) -> Departure:
        """What is known with one look more."""
        cluster, record = look
        now = replace(seen, after=cluster, record=record or seen.record)
        there = next((one for one in cluster.nodes if one.id == seen.node.id), None)
        if now.died is None and (there is None or not there.ready):
            now = replace(now, died=seconds)
        if now.emptied is None and there is not None and not there.tasks and cluster.running == REPLICAS:
            now = replace(now, emptied=seconds)
        if now.joined is None and now.successor is not None:
            now = replace(now, joined=seconds)
        return now
