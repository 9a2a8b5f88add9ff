"""Event loops that are run handle by handle, by one scheduler, on one virtual time.

Each simulated process has a loop of its own. Which of the loops runs its next handle is drawn from the seed; time
moves only when none of them has anything to do. So a process can be stopped exactly between any two handles: for
good (a crash), or for a while, after which all its timers are overdue (a pause).
"""

import asyncio
import contextvars
import heapq
from asyncio import Handle, TimerHandle
from collections import deque
from collections.abc import Callable, Coroutine
from math import inf
from random import Random
from typing import Any

_Context = contextvars.Context

STEP_SECONDS = 1e-5
"""What a handle costs. Without it, code that waits for an instant that has all but come would wait for ever."""
AT_A_STRETCH = 500
"""So many handles at most before timers are looked at, as a loop that is never idle has to."""


class _Task(asyncio.Task[Any]):
    """A task whose place in a set does not depend on where in memory it lies: TaskGroups keep their tasks in sets."""

    def __init__(self, serial: int, coro: Coroutine[Any, Any, Any], **options: Any) -> None:
        self.serial = serial
        super().__init__(coro, **options)
        asyncio._unregister_task(self)  # nobody asks for all tasks, and finding a place among them takes time

    def __hash__(self) -> int:
        return self.serial

    def __eq__(self, other: object) -> bool:
        return self is other


class SimulatedLoop(asyncio.AbstractEventLoop):
    """The part of an event loop that tasks, futures, locks and timeouts need."""

    def __init__(self, clockwork: "Clockwork", name: str) -> None:
        self._clockwork = clockwork
        self.name = name
        self.ready: deque[Handle] = deque()
        self.timers: list[tuple[float, int, TimerHandle]] = []
        self.asleep = False
        """Not run at present: paused, or crashed."""
        self.behind = 0.0
        """For how long the machine was suspended: a loop's time stands still then."""
        self.errors: list[dict[str, Any]] = []
        """What the loop was told by tasks and handles that failed unheard."""
        self._serial = 0
        self._tasks: list[_Task] = []

    def time(self) -> float:
        """The world's time, without the time for which the machine was suspended."""
        return self._clockwork.now - self.behind

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: _Context | None = None
    ) -> Handle:
        """Run it after what is ready already."""
        handle = Handle(callback, args, self, context)
        self.ready.append(handle)
        return handle

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: _Context | None = None
    ) -> TimerHandle:
        """Run it after some seconds."""
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: _Context | None = None
    ) -> TimerHandle:
        """Run it at a time."""
        handle = TimerHandle(when, callback, args, self, context)
        self._serial += 1
        heapq.heappush(self.timers, (when, self._serial, handle))
        return handle

    def create_future(self) -> "asyncio.Future[Any]":
        """A future of this loop."""
        return asyncio.Future(loop=self)

    def create_task(  # type: ignore[override]
        self, coro: Coroutine[Any, Any, Any], *, name: str | None = None, context: _Context | None = None
    ) -> "asyncio.Task[Any]":
        """A task of this loop."""
        self._serial += 1
        task = _Task(self._serial, coro, loop=self, name=name, context=context)
        self._tasks.append(task)
        return task

    def get_debug(self) -> bool:
        """Never."""
        return False

    def is_running(self) -> bool:
        """Whether a handle of this loop runs now."""
        return asyncio._get_running_loop() is self

    def is_closed(self) -> bool:
        """Never: what is over is simply not run any more."""
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Keep it, for the judge."""
        self.errors.append(context)

    def _timer_handle_cancelled(self, handle: TimerHandle) -> None:
        """Cancelled timers are passed over when they are due."""

    # --- For the scheduler --------------------------------------------------------------------------------------

    def next_due(self) -> float:
        """The world's time at which this loop has something to do; infinite where it has not, as things are."""
        timers = self.timers
        while timers and timers[0][2].cancelled():
            heapq.heappop(timers)
        return timers[0][0] + self.behind if timers else inf

    def wake_due(self) -> None:
        """Make ready what is due."""
        timers = self.timers
        while timers and timers[0][0] + self.behind <= self._clockwork.now:
            handle = heapq.heappop(timers)[2]
            if not handle.cancelled():
                self.ready.append(handle)

    def run_one(self) -> None:
        """Run the next handle."""
        handle = self.ready.popleft()
        if not handle.cancelled():
            asyncio._set_running_loop(self)
            try:
                handle._run()
            finally:
                asyncio._set_running_loop(None)

    def dispose(self) -> None:
        """After the end of everything: unwind what is left, so that nothing complains when memory is freed."""
        for _ in range(20):
            for task in self._tasks:
                if not task.done():
                    task.cancel()
            while self.ready:
                self.run_one()
            if all(task.done() for task in self._tasks):
                break
        for task in self._tasks:
            if not task.done():
                task._log_destroy_pending = False  # type: ignore[attr-defined]
            elif not task.cancelled():
                task.exception()
        self.timers.clear()


class Clockwork:
    """Runs all loops of a world."""

    def __init__(self, random: Random) -> None:
        self.now = 0.0
        self.steps = 0
        self.loops: list[SimulatedLoop] = []
        self.before_step: Callable[[SimulatedLoop], bool] = lambda _loop: True
        """Asked before each handle; False: the loop is not run now."""
        self._random = random

    def loop(self, name: str) -> SimulatedLoop:
        """A new loop."""
        made = SimulatedLoop(self, name)  # type: ignore[abstract] # the rest is about sockets and threads
        self.loops.append(made)
        return made

    def forget(self, loop: SimulatedLoop) -> None:
        """It will never run again."""
        self.loops = [other for other in self.loops if other is not loop]

    def run_until(self, end: float, over: Callable[[], bool] = lambda: False) -> None:
        """Run to a time, or until nothing is left, or `over` says so (asked whenever time moves)."""
        while not over():
            self._run_ready()
            awake = [loop for loop in self.loops if not loop.asleep]
            dues = [loop.next_due() for loop in awake]
            due = self.now if any(loop.ready for loop in awake) else min(dues, default=inf)
            if due > end:
                self.now = max(self.now, end)
                return
            self.now = max(self.now, due)
            for loop, its_due in zip(awake, dues, strict=True):
                if its_due <= self.now:
                    loop.wake_due()

    def _run_ready(self) -> None:
        for _ in range(AT_A_STRETCH):
            able = [loop for loop in self.loops if loop.ready and not loop.asleep]
            if not able:
                return
            loop = able[0] if len(able) == 1 else able[int(self._random.random() * len(able))]
            if self.before_step(loop):
                self.steps += 1
                self.now += STEP_SECONDS
                loop.run_one()
