"""What AWS does by itself, over HTTP on loopback, beside `control`: it happens once, and is no setting.

``POST /instances/NAME/interrupt``            EC2 takes it as a spot instance: `{"notice_seconds": 120}`
``POST /instances/NAME/recommend-rebalance``  EC2 recommends to replace it
``POST /instances/NAME/retire``               AWS Health announces the end of its machine: `{"days": 14}`
``POST /groups/NAME/rebalance-zones``         one instance more where few are, one less where many are
``POST /groups/NAME/refresh``                 its instances are replaced: `{"protected": "Refresh"}`, `Wait` or `Ignore`

An instance is called by its id, or by its node's name; a group by its name, or by what its nodes are (`worker`). The
answer is the event that EventBridge got. Wrong input: 400, and what is wrong with it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Annotated, Any, Final, Literal

from aiohttp import web
from pydantic import Field

from infra.local.aws.incidents import NOTICE, RETIRED_WITHIN, Incidents
from infra.local.control import BadFault, checked
from infra.local.machines import Role
from infra.local.settings import Seconds, Settings


class Interruption(Settings):
    """How soon EC2 takes it."""

    notice_seconds: Seconds = NOTICE.total_seconds()


class Retirement(Settings):
    """How soon the machine goes."""

    days: Annotated[float, Field(ge=0, le=365)] = RETIRED_WITHIN.days


class Refresh(Settings):
    """What becomes of instances that are protected from scale-in."""

    protected: Literal["Refresh", "Wait", "Ignore"] = "Refresh"


class Nothing(Settings):
    """There is nothing to say."""


Act = Callable[[str, Any], Any]


class IncidentDesk:
    """`add_to` the application of a `Control`."""

    def __init__(self, incidents: Incidents, groups: Mapping[Role, str], instance_of: Callable[[str], str]) -> None:
        """`groups`: names by what they are called here. `instance_of`: the id for a node's name, else what it got."""
        self._groups: Mapping[str, str] = dict(groups.items())
        self._instance_of = instance_of
        self._instance_acts: Final[Mapping[str, tuple[type[Settings], Act]]] = {
            "interrupt": (
                Interruption,
                lambda one, asked: incidents.interrupt(one, timedelta(seconds=asked.notice_seconds)),
            ),
            "recommend-rebalance": (Nothing, lambda one, _: incidents.recommend_rebalance(one)),
            "retire": (Retirement, lambda one, asked: incidents.retire(one, timedelta(days=asked.days))),
        }
        self._group_acts: Final[Mapping[str, tuple[type[Settings], Act]]] = {
            "rebalance-zones": (Nothing, lambda group, _: {"moved": incidents.rebalance_zones(group)}),
            "refresh": (Refresh, lambda group, asked: {"refresh": incidents.refresh(group, asked.protected)}),
        }

    def add_to(self, app: web.Application) -> web.Application:
        """The routes."""
        app.router.add_post("/instances/{name}/{what}", self._instance)
        app.router.add_post("/groups/{name}/{what}", self._group)
        return app

    async def _instance(self, request: web.Request) -> web.Response:
        return await _done(self._instance_acts, request, self._instance_of(request.match_info["name"]))

    async def _group(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        return await _done(self._group_acts, request, self._groups.get(name, name))


async def _done(acts: Mapping[str, tuple[type[Settings], Act]], request: web.Request, subject: str) -> web.Response:
    what = request.match_info["what"]
    if what not in acts:
        raise BadFault(f"there is no {what}; there are: {', '.join(acts)}")
    model, act = acts[what]
    body = await request.read()
    try:
        asked = checked(model, json.loads(body) if body else {})
    except json.JSONDecodeError as error:
        raise BadFault(f"no JSON: {error}") from error
    try:
        return web.json_response(await asyncio.to_thread(act, subject, asked))
    except ValueError as error:
        raise BadFault(str(error)) from error
