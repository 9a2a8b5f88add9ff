"""`make up`: the embedded environment in the foreground, until Ctrl-C or SIGTERM.

Prints where everything is and what to try, then each notification as it comes. In a container (compose.yaml) that is
what can be reached from outside it: `PUBLISHED_URL` is ingest's there.
"""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import datetime
from pathlib import Path

from infra.local.board import Message, spoken
from infra.local.children import Child
from infra.local.environment import Environment
from infra.local.surroundings import FOLDER, shield
from infra.local.terminal import log_to, run

_STATUS = {"success": "ok", "pending": "..", "error": "!!"}


def main() -> int:
    """The exit code: 0 after Ctrl-C or SIGTERM."""
    shield(os.environ)
    log_to(FOLDER / "logs" / "environment.log")
    return run(_up(), stopped=0)


async def _up() -> int:
    _say("Setting up:")
    try:
        async with Environment(say=_say_what_happens, greet=_greet):
            await asyncio.Event().wait()
    finally:
        _say("\nEverything that was started has ended.")
    return 0


async def _greet(environment: Environment) -> None:
    outside = os.environ.get("PUBLISHED_URL")
    _say(published(outside) if outside else welcome(environment, await environment.services.active_worker()))
    environment.receiver.board.on_message(lambda message: _say(line(message)))


def welcome(environment: Environment, active: Child | None) -> str:
    """Where everything is, and what to try."""
    values = environment.variables
    token = ' -H "Authorization: Bearer $WEBHOOK_TOKEN"' if environment.services.authorization else ""
    return f"""
Ready. Leave with Ctrl-C.

  ingest     {values["INGEST_URL"]}  (pid {values["INGEST_PID"]}; /docs describes it)
  workers    {values["WORKER_URLS"]}  (pids {values["WORKER_PIDS"]}; {active.pid if active else "one"} is active)
  Docker     {values["DOCKER_HOST"]}
  AWS        {values["AWS_ENDPOINT_URL"]}
  alerts     {values["ALERTMANAGER_ADDRESS"]}/slack
  faults     {values["CONTROL_URL"]}/faults
  logs       {environment.logs}

{_commands(environment, active, token)}
Notifications:
"""


def published(url: str) -> str:
    """Where ingest is, and what to try, of an environment in a container of which nothing else is reached."""
    return f"""
Ready. Leave with Ctrl-C.

  The page       {url}
  described at   {url}/docs

In another terminal:

  # one more worker node; then one less
  curl -X POST "{url}/v1/scale-nodes?by=1&type=worker" -d '{{"groupLabels": {{"scale": "up"}}}}'
  curl -X POST "{url}/v1/scale-nodes?by=1&type=worker" -d '{{"groupLabels": {{"scale": "down"}}}}'

  # the same, followed live
  docker compose exec scaler scaler nodes up
  docker compose exec scaler scaler status

  # what if: slow machines; one that never joins; AWS says no. More: --help
  docker compose exec scaler python3 -m infra.local.fault boot-delay 20
  docker compose exec scaler python3 -m infra.local.fault never-join 1
  docker compose exec scaler python3 -m infra.local.fault refuse-launches InsufficientInstanceCapacity

Notifications:
"""


def _commands(environment: Environment, active: Child | None, token: str) -> str:
    return f"""In another terminal:

  source {environment.folder / "env"}
  PATH="{Path(sys.executable).parent}:$PATH"

  # one more worker node; then one less
  curl -X POST{token} "$INGEST_URL/v1/scale-nodes?by=1&type=worker" -d '{{"groupLabels": {{"scale": "up"}}}}'
  curl -X POST{token} "$INGEST_URL/v1/scale-nodes?by=1&type=worker" -d '{{"groupLabels": {{"scale": "down"}}}}'
  curl -s{token} "$INGEST_URL/v1/requests?limit=1"

  # the same, followed live; every command: scaler --help
  scaler nodes up
  scaler requests

  # the Swarm
  docker node ls
  docker service ps demo

  # the same without HTTP
  aws sqs send-message --queue-url "$SQS_QUEUE_URL" \\
      --message-body '{{"action": "scale-nodes", "scale": "up", "type": "worker", "by": 1}}'

  # what if: slow machines; one that never joins; AWS says no; the active worker dies. More: --help
  {sys.executable} -m infra.local.fault boot-delay 20
  {sys.executable} -m infra.local.fault never-join 1
  {sys.executable} -m infra.local.fault refuse-launches InsufficientInstanceCapacity
  kill -9 {active.pid if active else "PID"}
"""


def line(message: Message) -> str:
    """A notification, as one line."""
    sign = _STATUS.get(message.status, "??")
    return f"  {message.at.astimezone():%H:%M:%S}  {sign}  {message.service}: {spoken(message)}"


def _say_what_happens(what: str) -> None:
    _say(f"  {datetime.now().astimezone():%H:%M:%S}  {what}")


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
