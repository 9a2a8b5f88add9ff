"""The worker's ports in memory: small, stateful, on one event loop, and quick enough to be simulated by the thousand.

All time in them is the loop's (`call_later`), so they run under a loop with fake time as well. State may be read and
changed from outside at any moment. `through(hooks)` gives another process's view of the same thing: whatever that
process calls passes its hooks, which may wait, raise, or look on.
"""

from tests.fakes.alerts import InMemoryAlerts
from tests.fakes.clock import LoopClock
from tests.fakes.groups import InMemoryGroups
from tests.fakes.hooks import Hooks, Scripted
from tests.fakes.inbox import InMemoryInbox
from tests.fakes.journal import InMemoryJournal
from tests.fakes.launcher import Launcher
from tests.fakes.lease import InMemoryLeaseStore
from tests.fakes.swarm import InMemorySwarm

__all__ = [
    "Hooks",
    "InMemoryAlerts",
    "InMemoryGroups",
    "InMemoryInbox",
    "InMemoryJournal",
    "InMemoryLeaseStore",
    "InMemorySwarm",
    "Launcher",
    "LoopClock",
    "Scripted",
]
