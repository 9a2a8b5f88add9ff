"""A process's way to a dependency: every call goes by the network, and an answer comes in time or not at all."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import structlog

from tests.simulation.cloud import at_once
from tests.simulation.network import Call

if TYPE_CHECKING:
    from tests.simulation.processes import Process
    from tests.simulation.world import World


class Port:
    """One process's way to one dependency."""

    port: str
    fenced: frozenset[str] = frozenset()
    """Calls that change nothing outside, and stand behind the lease's proof all the same."""

    def __init__(self, world: "World", process: "Process") -> None:
        self.world = world
        self.process = process
        self.seconds = world.settings.call_timeout().total_seconds()

    def send(
        self, name: str, act: Callable[[Call], Any], about: str, *, changes: bool, seconds: float | None
    ) -> "asyncio.Future[Any]":
        """Send a call. Its answer comes in time, or Unavailable does."""
        world, process = self.world, self.process
        if process.over:
            raise asyncio.CancelledError
        now = world.clockwork.now
        call = Call(
            process=process,
            port=self.port,
            name=f"{self.port}.{name}",
            arguments=about,
            act=act,
            issued_at=now,
            deadline=now + (self.seconds if seconds is None else seconds),
            answer=process.loop.create_future(),
            changes=changes,
            request=structlog.contextvars.get_contextvars().get("request"),
            token=world.token_of(process),
        )
        if changes or name in self.fenced:
            world.judge.issued(call)
        world.network.send(call)
        return call.answer

    async def ask(self, name: str, act: Callable[[Call], Any], about: str = "", seconds: float | None = None) -> Any:
        """A call that changes nothing outside the table."""
        return await self.send(name, act, about, changes=False, seconds=seconds)

    async def change(self, name: str, act: Callable[[Call], Any], about: str) -> Any:
        """A call that changes something outside."""
        return await self.send(name, act, about, changes=True, seconds=None)


def carried(name: str, about: Callable[..., str] = lambda *arguments: str(*arguments[:1])) -> Any:
    """A question, carried to the `target` of its port and answered by the method of its name."""

    async def call(self: Any, *arguments: Any, **options: Any) -> Any:
        method = getattr(self.target, name)
        return await self.ask(name, lambda _: at_once(method(*arguments, **options)), about(*arguments))

    return call
