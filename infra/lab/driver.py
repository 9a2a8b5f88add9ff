"""The lab as its users have it, for tests and measurements: what `.local/env` names, asked and told over the network.

Nothing here knows how the lab is made. The Swarm in it, and waiting, are left to `swarm_driver`.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import aiohttp

from infra.lab.swarm_driver import PATIENCE, Json, NeverCame, SwarmDriver
from infra.local.aws.embedded import EndpointSession

_ENDED: Final = ("succeeded", "failed", "skipped")
_ANSWER: Final = aiohttp.ClientTimeout(total=120)


class Driver(SwarmDriver):
    """Use as an asynchronous context manager."""

    def __init__(self, env: Path) -> None:
        super().__init__(env)
        self._aws = EndpointSession(self.values["AWS_ENDPOINT_URL"])

    async def __aenter__(self) -> Self:
        self.http = aiohttp.ClientSession(timeout=_ANSWER)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.http.close()

    # Docker Scaler

    async def ask(self, path: str, **body: Any) -> str:
        """POST to ingest; the id of the request."""
        async with self.http.post(f"{self.values['INGEST_URL']}/v1/{path}", json=body or None) as answer:
            told = await answer.json()
            if answer.status != 202:
                raise NeverCame(f"{path}: {answer.status} {told}")
            return str(told["id"])

    async def scale(self, direction: str, kind: str = "worker", by: int = 1) -> str:
        """As the tutorial's curl; the id of the request."""
        return await self.ask(f"scale-nodes?by={by}&type={kind}", groupLabels={"scale": direction})

    async def record(self, request_id: str) -> Json:
        """The request's record; empty while no worker has taken it."""
        async with self.http.get(f"{self.values['INGEST_URL']}/v1/requests/{request_id}") as answer:
            record: Json = await answer.json() if answer.status == 200 else {}
            return record

    async def records(self, action: str) -> list[Json]:
        """The newest records, of any request, that have this action; the newest first."""
        async with self.http.get(f"{self.values['INGEST_URL']}/v1/requests?limit=100") as answer:
            return [one for one in (await answer.json())["requests"] if one["action"] == action]

    async def newest(self, action: str = "scale-nodes") -> Json:
        """The newest record of that action; empty where there is none."""
        return next(iter(await self.records(action)), {})

    async def in_step(self, request_id: str, step: str) -> Json:
        """Wait until the request is in that step."""

        async def reached() -> Json | None:
            record = await self.record(request_id)
            if record.get("state") in _ENDED:
                raise NeverCame(f"{step}: it ended before: {record['message']}")
            return record if record.get("step") == step else None

        return await self.eventually(reached, f"step {step}")

    async def ended(self, request_id: str, within: float = PATIENCE) -> Json:
        """Wait until the request has ended, however; its record."""

        async def over() -> Json | None:
            record = await self.record(request_id)
            return record if record.get("state") in _ENDED else None

        return await self.eventually(over, f"the end of {request_id}", within)

    async def succeeded(self, request_id: str, within: float = PATIENCE) -> Json:
        """Wait until the request has ended well; its record."""
        record = await self.ended(request_id, within)
        if record["state"] != "succeeded":
            raise NeverCame(f"success: {record['state']}: {record['message']}")
        return record

    async def active_worker(self) -> Json:
        """Wait until one worker is active; it: `pid`, `url`, and the `socket` of its manager."""

        async def found() -> Json | None:
            for worker in await self.control("GET", "/workers"):
                if worker["alive"] and await self._is_active(worker["url"]):
                    return dict(worker)
            return None

        return await self.eventually(found, "an active worker")

    async def add_worker(self) -> None:
        """One more worker, on the socket of a manager that lives."""
        await self.control("POST", "/workers")

    # The machines and what watches them

    async def control(self, method: str, path: str, body: Json | None = None) -> Any:
        """The lab's own control: see `control`."""
        async with self.http.request(method, f"{self.values['CONTROL_URL']}{path}", json=body) as answer:
            told = await answer.json()
            if answer.status != 200:
                raise NeverCame(f"{method} {path}: {told}")
            return told

    async def machines(self, role: str | None = None) -> list[Json]:
        """The machines of the lab, or those of a role."""
        machines: list[Json] = await self.control("GET", "/machines")
        return [one for one in machines if role in (None, one["role"])]

    async def owning(self, **number: int) -> None:
        """Wait until there are so many machines of a role (`workers=1`): one is taken apart after its node has gone."""
        for role, wanted in number.items():
            kind = role.removesuffix("s")

            async def as_many(kind: str = kind, wanted: int = wanted) -> bool:
                return len(await self.machines(kind)) == wanted

            await self.eventually(as_many, f"{wanted} machines that are {role}")

    async def machine(self, name: str) -> Json:
        """The machine of that name."""
        return next(one for one in await self.machines() if one["name"] == name)

    async def slack(self) -> list[str]:
        """What Slack shows."""
        async with self.http.get(self.values["SLACK_URL"]) as answer:
            return (await answer.text()).splitlines()

    async def slack_says(self, text: str, after: int = 0) -> None:
        """Wait until Slack shows it, among what came after so many messages."""

        async def said() -> bool:
            return text in (await self.slack())[after:]

        try:
            await self.eventually(said, text)
        except NeverCame as error:
            raise NeverCame(f"in Slack: {text}; there is: {(await self.slack())[after:]}") from error

    async def alerts_over(self) -> None:
        """Wait until no alert of Docker Scaler lasts: Alertmanager tells one that has changed only when it ended."""

        async def none() -> bool:
            async with self.http.get(f"{self.values['ALERTMANAGER_ADDRESS']}/api/v2/alerts?active=true") as answer:
                return not [one for one in await answer.json() if one["labels"]["alertname"].startswith("scale_")]

        await self.eventually(none, "the end of alerts")

    # AWS

    async def group(self, kind: str = "worker") -> Json:
        """The group as AWS describes it."""
        name = self.values[f"AWS_{kind.upper()}_ASG"]
        client = await asyncio.to_thread(self._aws.client, "autoscaling")
        described = await asyncio.to_thread(client.describe_auto_scaling_groups, AutoScalingGroupNames=[name])
        group: Json = described["AutoScalingGroups"][0]
        return group

    async def replace(self, instance_id: str) -> None:
        """Have AWS end an instance that the group replaces."""
        client = await asyncio.to_thread(self._aws.client, "autoscaling")
        await asyncio.to_thread(
            client.terminate_instance_in_auto_scaling_group,
            InstanceId=instance_id,
            ShouldDecrementDesiredCapacity=False,
        )

    async def _is_active(self, url: str) -> bool:
        try:
            async with self.http.get(f"{url}/metrics") as answer:
                return "scaler_active 1.0" in await answer.text()
        except aiohttp.ClientError:
            return False


def step(record: Json, name: str, edge: str = "started_at") -> float:
    """When a step of a request began (or `ended_at`), in seconds of the wall clock."""
    return moment(next(one for one in record["steps"] if one["name"] == name)[edge])


def moment(text: str) -> float:
    """RFC 3339 as seconds of the wall clock."""
    head, _, rest = text.partition(".")
    fraction = rest.rstrip("Z")[:6] or "0"
    return datetime.fromisoformat(f"{head.removesuffix('Z')}.{fraction:0<6}+00:00").timestamp()
