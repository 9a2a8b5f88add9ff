"""What happens inside the Swarm in memory: nodes that come and go, tasks that move, updates that roll.

One function, `_settle`, looks at everything and does what is to be done now; every change has it run again, and what
takes time is a timer. Simplified, but never kinder than a real Swarm: drain is stop-first and takes no account of
whether the tasks fit elsewhere, nothing is ever rebalanced, a task on a dead node is said to run for ever, a lost
quorum stops everything, and an update's status is nothing at all until the update has begun.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta

from tests.fakes.clock import START
from tests.fakes.places import Places, eligible, meets
from worker.ports.swarm import Manager, Node, Service, Task

ENDED = frozenset({"complete", "shutdown", "failed", "rejected", "orphaned"})
OLD_TASKS_KEPT = 2


@dataclass(slots=True)
class Pace:
    """How long things take, in seconds. May be changed at any moment."""

    start: float = 0.5
    stop: float = 0.5
    down: float = 1.0
    """Until the managers notice that a node is dead."""
    election: float = 0.3
    role: float = 0.3
    """From the wish for a role to the role."""
    update: float = 0.05
    """From a new spec to an update's status."""


@dataclass(slots=True)
class Job:
    """A task as the Swarm keeps it."""

    id: str
    service_id: str
    slot: int
    generation: int
    env: Mapping[str, str]
    node_id: str | None = None
    state: str = "new"
    desired: str = "running"
    error: str = ""
    template: int = 0
    """The task template that it was made from, placement aside."""
    after: "Job | None" = None
    """The task that must have stopped before this one may start."""
    moving: bool = False
    """A timer for its next state runs."""

    @property
    def wanted(self) -> bool:
        """It is the present task of its slot."""
        return self.desired in {"running", "ready"}

    @property
    def holds(self) -> bool:
        """It holds a place on its node."""
        return self.node_id is not None and self.state not in ENDED


@dataclass(slots=True)
class Rollout:
    """An update that rolls, one slot at a time."""

    generation: int
    begun: bool = False
    old: Job | None = None
    new: Job | None = None


@dataclass(slots=True)
class Cluster:
    """The state, and what makes it move. `changed` is called on every event of nodes and services."""

    changed: Callable[[], None]
    pace: Pace = field(default_factory=Pace)
    nodes: dict[str, Node] = field(default_factory=dict)
    dead: set[str] = field(default_factory=set)
    services: dict[str, Service] = field(default_factory=dict)
    generations: dict[str, int] = field(default_factory=dict)
    templates: Counter[str] = field(default_factory=Counter)
    """How often each service's task template was changed, placement aside."""
    jobs: dict[str, Job] = field(default_factory=dict)
    rollouts: dict[str, Rollout] = field(default_factory=dict)
    attempts: Counter[tuple[str, int]] = field(default_factory=Counter)
    """How often each slot was filled again since its service last replaced its task."""
    abandoned: set[tuple[str, int]] = field(default_factory=set)
    """Slots whose attempts are used up: empty until an update fills them."""
    stuck: set[str] = field(default_factory=set)
    """Names of services whose tasks do not stop."""
    broken: set[str] = field(default_factory=set)
    """Names of services whose new tasks fail."""
    numbers: int = 0
    settling: bool = False

    # --- Nodes --------------------------------------------------------------------------------------------------

    def put_node(self, node: Node) -> None:
        """Write a node."""
        self.nodes[node.id] = node
        self.changed()
        self.settle_soon()

    def drop_node(self, node_id: str) -> None:
        """Remove a node; its tasks will never be heard of again."""
        del self.nodes[node_id]
        self.dead.discard(node_id)
        for job in self._on(node_id):
            self._finish(job, "orphaned")
        self.changed()
        self.settle_soon()

    def lose(self, node_id: str) -> None:
        """The machine dies."""
        node = self.nodes.get(node_id)
        if node is None or node_id in self.dead:
            return
        self.dead.add(node_id)
        if node.manager is not None:
            self.nodes[node_id] = replace(node, manager=Manager(leader=node.manager.leader, reachable=False))
            self.later(self.pace.election, self.elect)
        self.later(self.pace.down, self._notice, node_id)

    def revive(self, node_id: str) -> None:
        """The machine boots again; what ran there does not run any more."""
        self.dead.discard(node_id)
        for job in self._on(node_id):
            self._finish(job, "failed" if job.wanted else "shutdown")
        node = self.nodes[node_id]
        manager = None if node.manager is None else replace(node.manager, reachable=True)
        self.put_node(replace(node, state="ready", manager=manager))
        self.elect()

    def _notice(self, node_id: str) -> None:
        if self.leader is None:
            self.later(self.pace.down, self._notice, node_id)
        elif node_id in self.dead and node_id in self.nodes:
            self.put_node(replace(self.nodes[node_id], state="down"))

    def take_role(self, node_id: str) -> None:
        """Make the wanted role the real one, unless it is not wanted any more or would cost the quorum."""
        node = self.nodes.get(node_id)
        if node is None or (node.role == "manager") == (node.manager is not None):
            return
        if node.role == "manager":
            self.put_node(replace(node, manager=Manager()))
        elif self.quorum_without(node_id):
            self.put_node(replace(node, manager=None))
            self.elect()

    @property
    def managers(self) -> list[Node]:
        """The members of the consensus."""
        return [node for node in self.nodes.values() if node.manager is not None]

    def quorum_without(self, node_id: str | None = None) -> bool:
        """Whether most of the managers are alive, one of them left out."""
        members = [node for node in self.managers if node.id != node_id]
        return 2 * sum(node.id not in self.dead for node in members) > len(members)

    @property
    def leader(self) -> Node | None:
        """Who leads; None while nobody can."""
        leaders = (node for node in self.managers if node.manager is not None and node.manager.leader)
        return next((node for node in leaders if node.id not in self.dead and self.quorum_without()), None)

    def elect(self) -> None:
        """Have a leader, if the quorum is there."""
        if self.leader is not None or not self.quorum_without():
            return
        first = next(node for node in self.managers if node.id not in self.dead)
        for node in self.managers:
            reachable = node.id not in self.dead
            self.nodes[node.id] = replace(node, manager=Manager(leader=node is first, reachable=reachable))
        self.changed()
        self.settle_soon()

    # --- Services -----------------------------------------------------------------------------------------------

    def put_service(self, service: Service, *, template_changed: bool, placement_changed: bool = False) -> None:
        """Write a service. A new task template begins a new generation of tasks, and a rollout.

        Where only the placement constraints are new, tasks on nodes that meet them stay as they are.
        """
        generation = self.generations.get(service.id, 0) + (template_changed or placement_changed)
        self.generations[service.id] = generation
        self.templates[service.id] += template_changed
        if template_changed:
            self.abandoned = {slot for slot in self.abandoned if slot[0] != service.id}
        elif placement_changed:
            for job in self._current(service.id):
                if job.node_id is not None and meets(self.nodes[job.node_id], service):
                    job.generation = generation
        service = replace(service, updated_at=START + timedelta(seconds=asyncio.get_running_loop().time()))
        self.rollouts.pop(service.id, None)
        self._write_service(service)
        if generation > 1 and any(job.generation < generation for job in self._current(service.id)):
            self.rollouts[service.id] = rollout = Rollout(generation)
            self.later(self.pace.update, self._begin, service.id, rollout)
        self.settle_soon()

    def drop_service(self, service_id: str) -> None:
        """Remove a service and its tasks."""
        del self.services[service_id]
        self.jobs = {job.id: job for job in self.jobs.values() if job.service_id != service_id}
        self.changed()

    def _write_service(self, service: Service) -> None:
        self.services[service.id] = replace(service, version=self.number())
        self.changed()

    def _current(self, service_id: str) -> list[Job]:
        return [job for job in self.jobs.values() if job.service_id == service_id and job.wanted]

    def _begin(self, service_id: str, rollout: Rollout) -> None:
        if self.rollouts.get(service_id) is rollout:
            rollout.begun = True
            self._say(service_id, "updating", "update in progress")
            self.settle_soon()

    def _say(self, service_id: str, state: str, message: str) -> None:
        self._write_service(replace(self.services[service_id], update_state=state, update_message=message))

    # --- What moves ---------------------------------------------------------------------------------------------

    def number(self) -> int:
        """The next number: of a version, of a task."""
        self.numbers += 1
        return self.numbers

    def later(self, seconds: float, action: Callable[..., None], *arguments: object) -> None:
        """Do something after a while."""
        asyncio.get_running_loop().call_later(seconds, action, *arguments)

    def settle_soon(self) -> None:
        """Have `_settle` run once, after what happens now."""
        if not self.settling:
            self.settling = True
            asyncio.get_running_loop().call_soon(self._settle)

    def _settle(self) -> None:
        """Do everything that is to be done now. Without a leader nothing is decided, but machines go on."""
        self.settling = False
        if self.leader is not None:
            for service in list(self.services.values()):
                self._leave_bad_nodes(service)
                self._match_slots(service)
                self._roll(service)
            self._place()
        for job in list(self.jobs.values()):
            self._move(job)

    def _leave_bad_nodes(self, service: Service) -> None:
        for job in self._current(service.id):
            node = self.nodes.get(job.node_id or "")
            lost = job.node_id is not None and (node is None or node.state == "down" or job.state in ENDED)
            if job.state in ENDED and not service.restarts:
                continue
            if lost or (node is not None and node.availability == "drain"):
                self._stop(job)
                if service.mode not in {"global", "global-job"}:
                    self._restart(service, job, lost=lost)

    def _restart(self, service: Service, job: Job, *, lost: bool) -> None:
        """Fill its slot again, while there are attempts; a drain uses one up like a failure."""
        slot = (service.id, job.slot)
        if service.max_attempts and self.attempts[slot] >= service.max_attempts:
            self.abandoned.add(slot)
            return
        self.attempts[slot] += 1
        self._add(service, job.slot, after=None if lost else job)

    def _match_slots(self, service: Service) -> None:
        current = self._current(service.id)
        if service.mode in {"global", "global-job"}:
            served = {job.node_id for job in current}
            for node in eligible(self.nodes.values(), service):
                if node.id not in served:
                    self._add(service, 0, node_id=node.id)
            return
        for slot in set(range(1, service.replicas + 1)) - {job.slot for job in current}:
            if (service.id, slot) not in self.abandoned:
                self.attempts.pop((service.id, slot), None)
                self._add(service, slot)
        for job in current:
            if job.slot > service.replicas:
                self._stop(job, "remove")

    def _add(self, service: Service, slot: int, *, node_id: str | None = None, after: Job | None = None) -> Job:
        job = Job(f"task-{self.number()}", service.id, slot, self.generations[service.id], service.env, node_id)
        job.state, job.after = "pending" if node_id is None else "assigned", after
        job.template = self.templates[service.id]
        self.jobs[job.id] = job
        self._forget_old(service.id, slot, node_id)
        return job

    def _forget_old(self, service_id: str, slot: int, node_id: str | None) -> None:
        old = [
            job
            for job in self.jobs.values()
            if job.service_id == service_id
            and (job.slot, job.slot or job.node_id) == (slot, slot or node_id)
            and job.state in ENDED
            and not job.wanted
        ]
        for job in old[:-OLD_TASKS_KEPT]:
            del self.jobs[job.id]

    def _stop(self, job: Job, desired: str = "shutdown") -> None:
        job.desired = desired
        if job.node_id is None or job.state in ENDED:
            self._finish(job, job.state if job.state in ENDED else "shutdown")

    def _finish(self, job: Job, state: str) -> None:
        job.state = state
        if job.desired == "remove":
            self.jobs.pop(job.id, None)

    def _on(self, node_id: str) -> list[Job]:
        """The tasks there that have not ended."""
        return [job for job in self.jobs.values() if job.node_id == node_id and job.state not in ENDED]

    # --- Updates ------------------------------------------------------------------------------------------------

    def _roll(self, service: Service) -> None:
        """Take an update as far as it goes now."""
        rollout = self.rollouts.get(service.id)
        while rollout is not None and rollout.begun and self._slot_done(service, rollout):
            outdated = [job for job in self._current(service.id) if job.generation < rollout.generation]
            if not outdated:
                del self.rollouts[service.id]
                self._say(service.id, "completed", "update completed")
                return
            rollout.old = outdated[0]
            node_id = rollout.old.node_id if service.mode == "global" else None
            if not service.start_first:
                self._stop(rollout.old)
            after = None if service.start_first else rollout.old
            self.attempts.pop((service.id, rollout.old.slot), None)
            rollout.new = self._add(service, rollout.old.slot, node_id=node_id, after=after)

    def _slot_done(self, service: Service, rollout: Rollout) -> bool:
        """Whether the slot in hand is through; a new task that failed pauses the update."""
        if rollout.new is None or rollout.old is None:
            return True
        if rollout.new.state == "failed":
            del self.rollouts[service.id]
            words = f"update paused due to failure or early termination of task {rollout.new.id}"
            self._say(service.id, "paused", words)
            return False
        if rollout.new.state == "running" and rollout.old.wanted:
            self._stop(rollout.old)
        return rollout.new.state == "running" or not rollout.new.wanted

    # --- Tasks --------------------------------------------------------------------------------------------------

    def _place(self) -> None:
        waiting = [job for job in self.jobs.values() if job.node_id is None and job.wanted]
        if not waiting:
            return
        places = Places(self.nodes, self.jobs.values(), self.services)
        for job in waiting:
            node_id, why = places.take(self.services[job.service_id])
            job.node_id, job.error = node_id, why
            job.state = "pending" if node_id is None else "assigned"

    def _move(self, job: Job) -> None:
        """Start the timer of a task's next state."""
        if job.moving or job.node_id is None or job.node_id in self.dead or job.state in ENDED:
            return
        if not job.wanted:
            if self._name_of(job) not in self.stuck:
                self._in(self.pace.stop, job, self._stopped)
        elif job.state != "running":
            waits = job.after is not None and job.after.state not in ENDED
            job.desired, job.state = ("ready", "ready") if waits else ("running", "starting")
            if not waits:
                self._in(self.pace.start, job, self._started)

    def _in(self, seconds: float, job: Job, action: Callable[[Job], None]) -> None:
        job.moving = True
        self.later(seconds, self._moved, job, action)

    def _moved(self, job: Job, action: Callable[[Job], None]) -> None:
        job.moving = False
        if job.node_id not in self.dead and job.state not in ENDED:
            action(job)
        self.settle_soon()

    def _started(self, job: Job) -> None:
        if job.wanted:
            failed = self._name_of(job) in self.broken
            job.state, job.error = ("failed", "task: non-zero exit (1)") if failed else ("running", "")

    def _stopped(self, job: Job) -> None:
        self._finish(job, "shutdown")

    def _name_of(self, job: Job) -> str:
        service = self.services.get(job.service_id)
        return "" if service is None else service.name

    def task(self, job: Job) -> Task:
        """A task as the Swarm shows it."""
        return Task(
            id=job.id,
            service_id=job.service_id,
            node_id=job.node_id,
            slot=job.slot,
            state=job.state,
            desired=job.desired,
            error=job.error,
            env=job.env,
            template=str(job.template) if self.services[job.service_id].max_attempts else "",
        )
