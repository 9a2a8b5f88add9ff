"""What may come between a caller and a port in memory: a wait, an error, a crash, or somebody who only looks on."""

from collections import deque
from collections.abc import Callable, Coroutine
from copy import copy
from functools import wraps
from typing import Any, ClassVar, Concatenate, ParamSpec, Self, TypeVar


class Hooks:
    """Nothing comes between. A call's name is its port's and its method's: `journal.save`."""

    async def before(self, call: str) -> None:
        """Runs before the call. Raise, and the call has not happened."""

    async def after(self, call: str) -> None:
        """Runs after the call. Raise, and it has happened, but its answer is lost."""


class Scripted(Hooks):
    """Errors by plan, and the list of the calls."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self._refused: dict[str, deque[Exception]] = {}
        self._lost: dict[str, deque[Exception]] = {}

    def refuse(self, call: str, *errors: Exception) -> None:
        """The next of these calls raise, and do nothing."""
        self._refused.setdefault(call, deque()).extend(errors)

    def lose_answer(self, call: str, *errors: Exception) -> None:
        """The next of these calls do their work, and raise."""
        self._lost.setdefault(call, deque()).extend(errors)

    async def before(self, call: str) -> None:
        """Note the call."""
        self.calls.append(call)
        _raise_next(self._refused.get(call))

    async def after(self, call: str) -> None:
        """Lose the answer, if it is to be lost."""
        _raise_next(self._lost.get(call))


def _raise_next(errors: deque[Exception] | None) -> None:
    if errors:
        raise errors.popleft()


class Port:
    """One process's view of something that others see too. State stays in objects that all views share."""

    port: ClassVar[str]

    def __init__(self, hooks: Hooks | None = None) -> None:
        self.hooks = hooks or Hooks()

    def through(self, hooks: Hooks) -> Self:
        """The same thing, as another process sees it."""
        view = copy(self)
        view.hooks = hooks
        return view


V = TypeVar("V", bound=Port)
P = ParamSpec("P")
R = TypeVar("R")
Method = Callable[Concatenate[V, P], Coroutine[Any, Any, R]]


def hooked(method: Method[V, P, R]) -> Method[V, P, R]:
    """A method of a port: its caller's hooks run before and after it."""

    @wraps(method)
    async def call(self: V, /, *args: P.args, **kwargs: P.kwargs) -> R:
        name = f"{self.port}.{method.__name__}"
        await self.hooks.before(name)
        answer = await method(self, *args, **kwargs)
        await self.hooks.after(name)
        return answer

    return call
