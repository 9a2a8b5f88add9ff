"""The worker's ports into the simulated world: every call goes by the network, and its effects become evidence."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

import structlog

from shared.alertmanager import Alert
from shared.errors import Refused, Unavailable
from shared.messages import Role
from shared.records import Record
from tests.fakes.queue import POLL_SECONDS
from tests.simulation.cloud import at_once
from tests.simulation.network import Call
from worker.ports.hooks import Hold, Release
from worker.ports.queue import Message
from worker.ports.scaling import Activities, Group, Member
from worker.ports.storage import LeaseItem
from worker.ports.swarm import Availability, Node, Task, Workload
from worker.ports.swarm_changes import ServiceChange

if TYPE_CHECKING:
    from tests.simulation.processes import Process
    from tests.simulation.world import World


class _Port:
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


def _carried(name: str, about: Callable[..., str] = lambda *arguments: str(*arguments[:1])) -> Any:
    """A question, carried to the `target` of its port and answered by the method of its name."""

    async def call(self: Any, *arguments: Any, **options: Any) -> Any:
        method = getattr(self.target, name)
        return await self.ask(name, lambda _: at_once(method(*arguments, **options)), about(*arguments))

    return call


class InboxPort(_Port):
    """SQS."""

    port = "inbox"

    async def receive(self) -> Sequence[Message]:
        """A long poll."""
        queue = self.world.queue
        limit = POLL_SECONDS + self.seconds
        found: list[Message] = await self.ask(
            "receive", lambda call: queue.receive(lambda: not call.given_up and self.process.alive), seconds=limit
        )
        return found

    async def delete(self, message: Message) -> None:
        """Take a message out."""
        await self.ask("delete", lambda _: self.world.queue.delete(message), message.id)

    async def discard(self, messages: Sequence[Message]) -> None:
        """Take messages out."""

        def discard(_: Call) -> None:
            for message in messages:
                self.world.queue.delete(message)

        await self.ask("discard", discard, ", ".join(message.id for message in messages))

    async def dead_letter(self, message: Message, error: str) -> None:
        """Bury a copy."""
        await self.ask("dead_letter", lambda _: self.world.queue.bury(message, error), message.id)


class JournalPort(_Port):
    """DynamoDB: the journal."""

    port = "journal"
    fenced = frozenset(
        {"create", "save", "claim", "first_of", "recall", "remember", "recall_pause", "remember_pause", "publish"}
    )

    create = _carried("create", lambda record: record.id)
    get = _carried("get")
    open = _carried("open")
    claim = _carried("claim")
    first_of = _carried("first_of")
    recall = _carried("recall")
    remember = _carried("remember", lambda _type, memory, _token: str(memory.desired))
    recall_pause = _carried("recall_pause")
    remember_pause = _carried("remember_pause", lambda memory, _token: str(memory.pause))
    publish = _carried("publish", lambda document, _token, revision: f"{type(document).__name__} {revision}")

    @property
    def target(self) -> Any:
        """The table."""
        return self.world.journal

    async def ask(self, name: str, act: Callable[[Call], Any], about: str = "", seconds: float | None = None) -> Any:
        """A call, after whose answer something may lie in wait."""

        def answered(call: Call) -> Any:
            self.world.chaos.moments.answered(self.process)
            return act(call)

        return await super().ask(name, answered, about, seconds)

    async def save(self, record: Record) -> Record:
        """See Journal."""
        about = f"{record.id} {record.state} {record.step}"
        saved: Record = await self.ask("save", lambda _: self._save(record), about)
        return saved

    def _save(self, record: Record) -> Record:
        before = self.world.journal.records.get(record.id)
        saved = at_once(self.world.journal.save(record))
        self.world.judge.saved(before, saved, self.process)
        self.world.chaos.moments.saved(before, saved)
        self.world.events.saved(saved)
        return saved


class LeasePort(_Port):
    """DynamoDB: the lease."""

    port = "lease"

    read = _carried("read")

    @property
    def target(self) -> Any:
        """The table."""
        return self.world.leases

    async def replace(self, expected: LeaseItem | None, item: LeaseItem) -> bool:
        """See LeaseStore."""
        about = f"token {item.token} renewals {item.renewals} owner {item.owner}"
        done: bool = await self.ask("replace", lambda call: self._replace(call, expected, item), about)
        return done

    def _replace(self, call: Call, expected: LeaseItem | None, item: LeaseItem) -> bool:
        done = at_once(self.world.leases.replace(expected, item))
        if done and item.owner is not None:
            lease = self.world.settings.lease_seconds.total_seconds()
            self.process.proved_until = max(self.process.proved_until, call.issued_at + lease)
        if done and item.renewals == 0 and item.owner is not None:
            self.world.trace.counts["take-overs"] += 1
            self.world.led_since = self.world.clockwork.now
            self.world.trace.add(self.process.name, "* takes the lease", token=item.token)
        return done


class GroupsPort(_Port):
    """Auto Scaling and EC2: questions and changes."""

    port = "groups"

    def __init__(self, world: "World", process: "Process") -> None:
        super().__init__(world, process)
        self.seen: dict[str, int] = {}
        """The desired capacities that this process has read last."""

    @property
    def target(self) -> Any:
        """AWS."""
        return self.world.groups

    async def describe(self, name: str) -> Group:
        """See Groups."""
        group: Group = await self.ask("describe", lambda _: self.world.groups.look(name), name)
        self.seen[name] = group.desired
        return group

    async def activities(self, name: str) -> Activities:
        """See Groups."""
        found: Activities = await self.ask("activities", lambda _: self.world.groups.recent(name))
        return found

    refreshing = _carried("refreshing")
    lifecycle_hooks = _carried("lifecycle_hooks")
    gone = _carried("gone")

    async def members(self, names: Collection[str]) -> Sequence[Member]:
        """See Groups."""
        found: Sequence[Member] = await self.ask("members", lambda _: self.world.groups.look_at_members(names))
        return found

    async def set_desired(self, name: str, desired: int) -> None:
        """See GroupChanges."""
        if desired < self.seen.get(name, 0):
            self.world.evidence.violate(5, f"{self.process.name} writes {desired} where it has read {self.seen[name]}")
        await self.change("set_desired", lambda call: self._set_desired(call, name, desired), f"{name} {desired}")

    async def terminate(self, instance_id: str) -> int | None:
        """See GroupChanges."""
        left: int = await self.change("terminate", lambda call: self._terminate(call, instance_id), instance_id)
        return left

    async def replace(self, instance_id: str) -> None:
        """See GroupChanges."""
        await self.change("replace", lambda call: self._replace(call, instance_id), instance_id)

    async def complete(self, hold: Hold, release: Release) -> None:
        """See GroupChanges."""

        def complete(call: Call) -> None:
            self.world.departures.completes(call, hold)
            at_once(self.world.groups.complete(hold, release))

        await self.change("complete", complete, f"{hold.instance_id} {release}")

    async def heartbeat(self, hold: Hold) -> None:
        """See GroupChanges."""

        def beat(call: Call) -> None:
            self.world.departures.beats(call, hold)
            at_once(self.world.groups.heartbeat(hold))

        await self.change("heartbeat", beat, hold.instance_id)

    def _set_desired(self, call: Call, name: str, desired: int) -> None:
        world, before = self.world, self.world.groups.groups[name].desired
        world.groups.write_desired("ours", name, desired)
        world.note(call, "desired", name, before, desired)

    def _terminate(self, call: Call, instance_id: str) -> int:
        world = self.world
        world.judge.before_terminate(call, instance_id)
        group = world.groups.groups[world.machines.group_of[instance_id]]
        before = group.desired
        world.groups.terminate_named(instance_id)
        world.note(call, "terminate", instance_id, before, group.desired)
        world.judge.after_terminate(call, instance_id)
        world.chaos.moments.terminated()
        return group.desired

    def _replace(self, call: Call, instance_id: str) -> None:
        world = self.world
        world.judge.before_terminate(call, instance_id)
        stays = world.machines.lives(instance_id)
        world.groups.replace_named(instance_id)
        world.note(call, "replace", instance_id, stays, False)
        world.judge.after_terminate(call, instance_id)
        world.chaos.moments.terminated()


class Subscription(AbstractAsyncContextManager["Subscription"]):
    """The events of the Swarm, on their way to one process."""

    def __init__(self, swarm: "SwarmPort") -> None:
        self._swarm = swarm
        self._changed = asyncio.Event()
        self._over = False
        self._told = False

    async def __aenter__(self) -> Self:
        await self._swarm.ask("changes", lambda _: self._swarm.subscribe(self))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._swarm.unsubscribe(self)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> None:
        await self._changed.wait()
        self._changed.clear()
        if self._over:
            raise StopAsyncIteration

    def tell(self) -> None:
        """Something has changed; the process hears of it in a moment."""
        if not self._told:
            self._told = True
            self._swarm.world.loop.call_later(0.01, self._arrive)

    def end(self) -> None:
        """The engine has gone away."""
        self._over = True
        self._changed.set()

    def _arrive(self) -> None:
        self._told = False
        self._changed.set()


class SwarmPort(_Port):
    """The Docker socket of the node that the process runs on."""

    port = "swarm"

    def __init__(self, world: "World", process: "Process") -> None:
        super().__init__(world, process)
        self.target = world.swarm.view(process.node_id)
        self._pending: dict[asyncio.Future[Any], None] = {}

    def send(
        self, name: str, act: Callable[[Call], Any], about: str, *, changes: bool, seconds: float | None
    ) -> "asyncio.Future[Any]":
        """Calls run in threads: who cancels one does not stop it."""
        answer = super().send(name, act, about, changes=changes, seconds=seconds)
        self._pending[answer] = None
        answer.add_done_callback(self._forget)
        return asyncio.shield(answer)

    def _forget(self, answer: "asyncio.Future[Any]") -> None:
        del self._pending[answer]

    identity = _carried("identity")
    services = _carried("services")
    service = _carried("service")

    async def tasks(self, *, service_id: str | None = None, node_id: str | None = None) -> Sequence[Task]:
        """See Swarm."""
        found: Sequence[Task] = await self.ask("tasks", lambda _: self._tasks(service_id, node_id))
        return found

    def _tasks(self, service_id: str | None, node_id: str | None) -> Sequence[Task]:
        self.world.judge.looked()
        found: Sequence[Task] = at_once(self.target.tasks(service_id=service_id, node_id=node_id))
        return found

    async def nodes(self, ids: Collection[str] | None = None) -> Sequence[Node]:
        """See Swarm."""
        found: Sequence[Node] = await self.ask("nodes", lambda _: at_once(self.target.nodes(ids)))
        return found

    async def workload(self, node_ids: Collection[str], service_ids: Collection[str] = ()) -> Workload:
        """See Swarm."""
        found: Workload = await self.ask("workload", lambda _: self._workload(node_ids, service_ids))
        return found

    def _workload(self, node_ids: Collection[str], service_ids: Collection[str]) -> Workload:
        self.world.judge.looked()
        found: Workload = at_once(self.target.workload(node_ids, service_ids))
        return found

    def changes(self) -> Subscription:
        """See Swarm."""
        return Subscription(self)

    def subscribe(self, subscription: Subscription) -> None:
        """From now on it is told."""
        self.world.swarm.listeners.append(subscription.tell)
        self.world.subscriptions.append((self.process, subscription))

    def unsubscribe(self, subscription: Subscription) -> None:
        """It is told nothing any more."""
        listeners = self.world.swarm.listeners
        listeners[:] = [listener for listener in listeners if listener != subscription.tell]
        self.world.subscriptions[:] = [one for one in self.world.subscriptions if one[1] is not subscription]

    async def idle(self) -> None:
        """See SwarmChanges."""
        while self._pending:
            await asyncio.wait([next(iter(self._pending))])

    async def update_node(
        self,
        node_id: str,
        *,
        availability: Availability | None = None,
        role: Role | None = None,
        expected: Collection[Availability] | None = None,
    ) -> None:
        """See SwarmChanges."""
        wishes = " ".join(filter(None, (availability, role)))
        read = self.world.swarm.cluster.nodes.get(node_id)

        def act(call: Call) -> None:
            _in_sequence(call, read, self.world.swarm.cluster.nodes.get(node_id))
            self._update_node(call, node_id, availability, role, expected)

        await self.change("update_node", act, f"{node_id} {wishes}")

    async def remove_node(self, node_id: str, *, force: bool = False) -> None:
        """See SwarmChanges."""
        await self.change("remove_node", lambda call: self._remove_node(call, node_id, force), f"{node_id} {force}")

    async def update_service(self, service_id: str, change: ServiceChange) -> None:
        """See SwarmChanges."""
        about = f"{service_id} replicas={change.replicas} env={change.env} force={change.force} for {change.request_id}"
        read = self.world.swarm.cluster.services.get(service_id)

        def act(call: Call) -> None:
            _in_sequence(call, read, self.world.swarm.cluster.services.get(service_id))
            self._update_service(call, service_id, change)

        await self.change("update_service", act, about)

    def _update_node(
        self,
        call: Call,
        node_id: str,
        availability: Availability | None,
        role: Role | None,
        expected: Collection[Availability] | None,
    ) -> None:
        world, before = self.world, self.world.swarm.cluster.nodes.get(node_id)
        world.judge.before_role(call, node_id, role)
        at_once(self.target.update_node(node_id, availability=availability, role=role, expected=expected))
        after = world.swarm.cluster.nodes[node_id]
        if before is not None:
            world.note(call, "availability", node_id, before.availability, after.availability)
            world.note(call, "role", node_id, before.role, after.role)
            world.judge.touched(call, node_id, before, after)

    def _remove_node(self, call: Call, node_id: str, force: bool) -> None:
        world = self.world
        there = world.swarm.cluster.nodes.get(node_id)
        world.judge.before_removal(call, node_id)
        at_once(self.target.remove_node(node_id, force=force))
        world.note(call, "removed", node_id, there is not None, False)

    def _update_service(self, call: Call, service_id: str, change: ServiceChange) -> None:
        world, before = self.world, self.world.swarm.cluster.services.get(service_id)
        at_once(self.target.update_service(service_id, change))
        after = world.swarm.cluster.services[service_id]
        if before is not None:
            world.note(call, "service", service_id, before, after)


def _in_sequence(call: Call, read: object, present: object) -> None:
    """An update names the version that was read, and the client reads afresh only while somebody waits for it."""
    if call.given_up and read is not present:
        raise Unavailable("update out of sequence")


class AlertsPort(_Port):
    """Alertmanager."""

    port = "alerts"

    async def post(self, alert: Alert, now: datetime, timeout: timedelta) -> None:
        """See AlertSink."""
        await self.ask("post", lambda _: self._take(alert), alert.summary[:60], timeout.total_seconds())

    def _take(self, alert: Alert) -> None:
        if self.world.alerts_broken in {"fails", "hangs"}:
            raise Unavailable("Alertmanager: 500")
        self.world.offered.append(alert)
        if self.world.alerts_broken == "refuses":
            raise Refused("Alertmanager: 400 bad data")
