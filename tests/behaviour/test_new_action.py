"""What CONTRIBUTING says of a new action: its entry in the registry, its flow, a row in the table of flows."""

from datetime import timedelta
from unittest import mock

from shared import action, actions
from shared.records import State
from tests.behaviour.scenario import scenario
from worker.flows import FLOWS
from worker.flows.flow import Context
from worker.requests.request import OpenRequest


class PingSwarm:
    """Answers with the number of Ready nodes."""

    def __init__(self, context: Context) -> None:
        self._leadership = context.leadership

    async def step(self, request: OpenRequest) -> None:
        """The one step."""
        nodes = await self._leadership.swarm.nodes()
        await request.end(State.SUCCEEDED, f"{sum(node.ready for node in nodes)} nodes are Ready")

    async def give_up(self, request: OpenRequest, reason: str) -> None:
        """End it."""
        await request.end(State.FAILED, reason)

    def retry_budget(self, _request: OpenRequest) -> timedelta:
        """How long Swarm may not answer."""
        return timedelta(seconds=30)


PING = action.Action(
    name="ping-swarm",
    model=actions.RescheduleServices,
    lane="services",
    alert_name="ping_swarm",
    summary="Count the Ready nodes",
    description="Changes nothing.",
)


async def test_an_action_needs_an_entry_a_flow_and_a_row() -> None:
    with (
        mock.patch.dict(actions._BY_NAME, {PING.name: PING}),
        mock.patch.dict(FLOWS, {(PING.name, None): PingSwarm}),
    ):
        async with scenario() as s:
            await s.started()
            record = await s.ended(s.ask("ping-swarm"))
            assert (record.state, record.message) == (State.SUCCEEDED, "4 nodes are Ready")
