"""Whether Swarm starts a task's slot again: after a drain, after an undo, after a rescheduling.

A drain is a restart to swarmkit: the service's restart policy decides whether the slot is filled again, and each
drain uses one attempt up (https://github.com/moby/swarmkit/blob/master/manager/orchestrator/restart/restart.go).
An update of the service is none: it replaces what runs, whatever the policy says, and begins a new count.
The count itself is in the leader's memory; a new leader makes it from the tasks of the slot, and so do we.
"""

from collections.abc import Collection, Sequence
from datetime import timedelta
from enum import Enum

from worker.decisions.reasons import Obstacle, Reason
from worker.ports.swarm import MOVABLE_LABEL, OVER, Service, Task

HISTORY = 5
"""So many tasks of a slot are kept, unless `docker swarm update --task-history-limit` says otherwise. Where so many
are shown, older ones may have been dropped."""
CLOCKS_APART = timedelta(seconds=60)
"""When a task began to run is told by its node's clock, when it was made by the manager's."""

_JOBS = frozenset({"replicated-job", "global-job"})


class Refill(Enum):
    """What a drain of its node does to a task's slot."""

    REFILLED = "Swarm starts it elsewhere"
    NEEDS_UPDATE = "Swarm would leave it empty, or it cannot be told; an update of the service places it anew"
    LOST = "cut off for good, whatever is done"


def refill(service: Service | None, task: Task, slot: Sequence[Task]) -> Refill:
    """What becomes of a task when its node is drained. `slot`: all tasks of its slot that Swarm shows.

    With limited attempts the doubtful case (the slot's history may have been cut) counts as used up.
    """
    if service is None or service.mode in _JOBS or not service.restarts:
        return Refill.LOST
    if service.mode == "global" or not service.max_attempts:
        return Refill.REFILLED
    used = _attempts_used(service, task, slot)
    return Refill.NEEDS_UPDATE if used is None or used >= service.max_attempts else Refill.REFILLED


def _attempts_used(service: Service, task: Task, slot: Sequence[Task]) -> int | None:
    """How many replacements count against the task. None: more than Swarm still shows.

    All tasks of the slot with the present specification but the first are replacements: at least as many as swarmkit
    counts, for it begins anew with each update, and one of the placement is not seen here. With a window only those
    count that were made within it before the task began to run, however long it has been running.
    """
    same = [each for each in slot if each.template == task.template]
    cut = len(slot) >= HISTORY
    counted = [each for each in same if _within(service.attempts_window, each, task)]
    if cut and len(counted) == len(same):
        return None
    return len(counted) if len(counted) < len(same) else max(len(same) - 1, 0)


def _within(window: timedelta, replacement: Task, task: Task) -> bool:
    if not window or replacement.created_at is None or task.since is None:
        return True
    return replacement.created_at > task.since - window - CLOCKS_APART


def keeps(service: Service | None, task: Task, where: str) -> Obstacle | None:
    """Why a task must not be taken from its node (named `where`) at all. None: it may be moved."""
    if service is None:
        text = f"A service that has just been made or removed has a task on {where}. Repeat the request"
        return Obstacle(Reason.UNKNOWN_SERVICE, text)
    if service.mode in _JOBS:
        text = (
            f"A task of the job {service.name} runs on {where} and would be cut off. "
            f"Wait until it has ended, or remove the job (`docker service rm {service.name}`)"
        )
        return Obstacle(Reason.JOB_RUNNING, text)
    if not service.restarts:
        text = (
            f"A task of {service.name} runs on {where} and would never be started again (restart condition none). "
            "Wait until it has ended, or give the service another restart condition"
        )
        return Obstacle(Reason.NEVER_RESTARTS, text)
    return _volume(service, where) if service.mode == "replicated" and task.desired != "remove" else None


def _volume(service: Service, where: str) -> Obstacle | None:
    if not service.local_volumes or service.labels.get(MOVABLE_LABEL, "").strip().lower() == "true":
        return None
    text = (
        f"A task of {service.name} runs on {where} and writes the local volume {', '.join(service.local_volumes)}, "
        "which would stay behind. Where that does no harm, allow it: "
        f"`docker service update --label-add {MOVABLE_LABEL}=true {service.name}`"
    )
    return Obstacle(Reason.LOCAL_VOLUME, text)


def not_reschedulable(service: Service, tasks: Collection[Task]) -> str | None:
    """Why a service is not one to reschedule: a rescheduling would do finished work again, or cut work off.

    Only what is meant to run for ever is rescheduled. `tasks`: at least those of the service. None: it may be.
    """
    if service.mode in _JOBS:
        return "a job: it would begin anew"
    if not service.restarts:
        return "its tasks are to run once (restart condition none)"
    if service.mode == "replicated" and service.replicas == 0:
        return "it has no replicas"
    own = [task for task in tasks if task.service_id == service.id]
    if not service.restarts_completed and _finished(own):
        return "its tasks have completed (restart condition on-failure)"
    return None


def _finished(tasks: Sequence[Task]) -> bool:
    """Something completed, and nothing is on its way."""
    going_on = any(task.state not in OVER and not task.told_to_stop for task in tasks)
    return not going_on and any(task.state == "complete" for task in tasks)


def update_running(service: Service) -> bool:
    """Whether Swarm is still replacing tasks of the service, forwards or back."""
    return service.update_state in {"updating", "rollback_started"}
