"""`make lab-status`: what there is of a lab, where it is, and what to try."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, Final

import aiohttp

from infra.lab.engine import EngineClient, EngineError
from infra.lab.places import DOCKER_SOCKET
from infra.lab.sweep import left, marked, recalled
from infra.local.folder import variables

_ANSWER: Final = aiohttp.ClientTimeout(total=5)
_LINE: Final = "  {:<16} {:<8} {:<12} {:<8} {:<20} {}"


async def report(env: Path) -> tuple[str, bool]:
    """For a person; and whether a lab runs."""
    if recalled().get("pid") not in marked():
        remains = await left()
        return "\n".join(["No lab is running.", *(f"left of one: {one}" for one in remains)]), False
    values = variables(Path(recalled().get("env", env)))
    if not values:
        return "A lab is being set up.", True
    return "\n".join([await _nodes(values), _places(values, env), _to_try(env)]), True


async def _nodes(values: dict[str, str]) -> str:
    try:
        async with aiohttp.ClientSession(timeout=_ANSWER) as http:
            async with http.get(f"{values['CONTROL_URL']}/machines") as answer:
                machines = await answer.json()
            async with http.get(f"{values['PROMETHEUS_URL']}/api/v1/targets") as answer:
                targets = (await answer.json())["data"]["activeTargets"]
        async with EngineClient(DOCKER_SOCKET) as engine:
            nodes, tasks = await engine.call("GET", "/nodes"), await engine.call("GET", "/tasks")
    except (aiohttp.ClientError, TimeoutError, EngineError) as error:
        return f"It does not answer: {error}"
    watched = {target["labels"]["instance"].partition(":")[0]: target["health"] for target in targets}
    return "\n".join(
        [_LINE.format("node", "role", "state", "watched", "instance", "tasks"), *_rows(machines, nodes, tasks, watched)]
    )


def _rows(machines: list[Any], nodes: list[Any], tasks: list[Any], watched: dict[str, str]) -> list[str]:
    by_instance = {one["Description"]["Engine"]["Labels"].get("instance_id"): one for one in nodes}
    running = Counter(task.get("NodeID") for task in tasks if task["Status"]["State"] == "running")
    rows = []
    for machine in machines:
        node = by_instance.get(machine["instance_id"], {"ID": "", "Status": {"State": "no node"}})
        state = node["Status"]["State"] if machine["alive"] else "no power"
        seen = watched.get(machine["address"], "no")
        rows.append(
            _LINE.format(machine["name"], machine["role"], state, seen, machine["instance_id"], running[node["ID"]])
        )
    return rows


def _places(values: dict[str, str], env: Path) -> str:
    return f"""
  ingest        {values["INGEST_URL"]}  (pid {values["INGEST_PID"]})
  workers       {values["WORKER_URLS"]}  (pids {values["WORKER_PIDS"]}; one is active)
  Docker        {values["DOCKER_HOST"]}
  AWS           {values["AWS_ENDPOINT_URL"]}
  Prometheus    {values["PROMETHEUS_URL"]}
  Alertmanager  {values["ALERTMANAGER_ADDRESS"]}
  Slack         {values["SLACK_URL"]}
  control       {values["CONTROL_URL"]}/machines
  logs          {recalled().get("logs", env.parent)}"""


def _to_try(env: Path) -> str:
    return f"""
  source {env}
  docker node ls
  curl -X POST "$INGEST_URL/v1/scale-nodes?by=1&type=worker" -d '{{"groupLabels": {{"scale": "up"}}}}'
  curl -X PUT "$CONTROL_URL/thresholds" -d '{{"above": 0.005}}'   # Prometheus asks for a worker
  curl "$SLACK_URL"
"""
