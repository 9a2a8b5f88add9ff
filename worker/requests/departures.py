"""What is said to people of nodes that are drained and go: the end, what stops it, what an undo leaves.

The rest is `wording`'s.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from worker.ports.swarm import Service, Task
from worker.requests.wording import count, duration, moment, up

NAMED = 5
"""At most so many tasks are named in a message."""


def task_text(task: Task, services: Sequence[Service]) -> str:
    """A task with its state, and what ails it: `demo.2 (running)`."""
    name = next((service.name for service in services if service.id == task.service_id), task.service_id)
    return f"{name}.{task.slot or task.node_id} ({task.state}{': ' + task.error if task.error else ''})"


def removed(node_type: str, number: int | None, names: Sequence[str]) -> str:
    """The end of a down. `number`: how many nodes of the group are up, where that can be told."""
    gone = f"{', '.join(names)} removed"
    return gone if number is None else f"{up(node_type, number)}, {gone}"


def lowered(node_type: str, group: str, desired: int, expected: int, asked: int) -> str:
    """Somebody else lowered the group while nodes were being removed."""
    number = f"{count(expected, f'{node_type} node')} {'was' if expected == 1 else 'were'}"
    return (
        f"Somebody else lowered the desired capacity of {group} to {desired} while {number} on the way to {asked}. "
        f"Repeat the request if there are still too many {node_type} nodes"
    )


def taken(node_type: str, node: str, group: str, desired: int, asked: int) -> str:
    """Somebody else takes a victim before it is terminated."""
    return (
        f"Somebody else is terminating {node}, or took it out of {group}, while it was drained: the desired capacity "
        f"of {group} is {desired}, {asked} was asked for. Repeat the request if there are still too many "
        f"{node_type} nodes"
    )


def not_joined(node_type: str, node: str, group: str, desired: int, asked: int) -> str:
    """A victim that had not joined was abandoned by its own request (a launch hook held it) before its termination."""
    return (
        f"{node} has not joined the Swarm and was abandoned meanwhile, for which {group} launches another: its desired "
        f"capacity is {desired}, {asked} was asked for. Repeat the request if there are still too many {node_type} "
        "nodes"
    )


def joined_meanwhile(node: str, claiming: Sequence[str]) -> str:
    """A victim's instance is a node of the Swarm that was not drained for it."""
    return (
        f"{node} has joined the Swarm after all, as {', '.join(claiming)}: it stays. Repeat the request if it should "
        "go all the same"
    )


# --- One node that somebody names -------------------------------------------------------------------------------


def draining(node: str, tasks: int, until: datetime) -> str:
    """A drain begins."""
    return f"Draining {node}: {count(tasks, 'task')} to move until {moment(until)}"


def replacing(node: str, tasks: int, until: datetime) -> str:
    """A replacement begins."""
    return f"Replacing {node}: {count(tasks, 'task')} to move until {moment(until)}, then it is terminated"


def replaced(node: str) -> str:
    """Its instance is on its way out."""
    return f"{node} was terminated, its group launches another"


def perhaps_terminated(instance_id: str) -> str:
    """A termination was asked for, and AWS did not say what became of it."""
    return f"AWS may have terminated {instance_id} all the same: look at the group's activities"


def drained(node: str) -> str:
    """It is over, and the node stays."""
    return (
        f"{node} is drained: nothing runs there any more. It stays drained until it is given back "
        f"(POST /v1/drain-node?node={node}&back=true)"
    )


def drained_already(node: str, request: str | None) -> str:
    """Nothing to do."""
    return f"{node} is already drained, {whose_drain(request)}"


def whose_drain(request: str | None) -> str:
    """Who has drained a node."""
    return f"by request {request}" if request else "by somebody else (`docker node update`)"


def not_drained(node: str, availability: str) -> str:
    """Nothing to give back."""
    return (
        f"{node} is already in use" if availability == "active" else f"{node} is already {availability}d, not drained"
    )


def giving_back(node: str) -> str:
    """A drained node is about to be given back."""
    return f"Giving {node} back"


def given_back(node: str, availability: str, whose: str) -> str:
    """A drained node is in use again, or paused as it was. `whose`: who had drained it."""
    state = "active again" if availability == "active" else "paused again, as it was"
    drained_by = f"; it had been drained {whose}" if whose else ""
    return f"{node} is {state}{drained_by}. What ran there does not come back by itself (POST /v1/reschedule-services)"


def kept(node: str, done: str, why: str) -> str:
    """A node must not go. `done`: drained or replaced."""
    return f"{node} was not {done}: {why.rstrip('.')}. Then repeat the request"


def no_node(instance: str) -> str:
    """An instance was named that has no node."""
    return f"{instance} has not joined the Swarm: there is nothing to drain, or to give back"


def gone(node: str) -> str:
    """A node has left the Swarm."""
    return f"{node} is no node of the Swarm any more (`docker node ls`)"


# --- What stops a drain -----------------------------------------------------------------------------------------


def taken_over(node: str, other: str) -> str:
    """A departure that nobody can stop has taken a node over."""
    return f"{node} leaves by itself meanwhile, which request {other} sees to: it is not given back"


def revised(node: str, availability: str) -> str:
    """Somebody has another wish for a node than what it is drained for."""
    if availability == "active":
        return f"Somebody made {node} active again while it was drained: it stays"
    return f"Somebody set the availability of {node} to {availability} while it was drained: it stays"


def just_begun(nodes: str) -> str:
    """Something that cannot move runs on nodes that have been paused, and did not when they were chosen."""
    return (
        f"A job, or a task that must not be moved, has just begun on {nodes} and would be cut off: it stays. "
        "Wait until it has ended, then repeat the request"
    )


def lost_by_drain(tasks: Sequence[str]) -> str:
    """A drain would lose tasks for good."""
    return (
        f"A drain would stop {', '.join(tasks)}, and Swarm would not start it again (its restart attempts are used up, "
        "or it has just begun): it stays. Look at `docker service ps`, then repeat the request"
    )


def abandoned(tasks: Sequence[str], more: int, services: Sequence[str]) -> str:
    """After an undo: slots that Swarm leaves empty."""
    and_more = f" and {more} more" if more else ""
    again = ", ".join(f"`docker service update --force {name}`" for name in services)
    return f"Swarm will not start {', '.join(tasks)}{and_more} again by itself: {again} does"


def ended_by_others(node_type: str, node: str, group: str, desired: int, expected: int) -> str:
    """A victim was terminated, and not by our call."""
    short = "" if desired == expected else f", not {expected}"
    return (
        f"Somebody else terminated {node} while it was being removed: the desired capacity of {group} is {desired}"
        f"{short}. Repeat the request if there are still too many {node_type} nodes"
    )


@dataclass(frozen=True, slots=True)
class Problem:
    """A task that keeps a drain from its end."""

    task: str
    """Its name, with what Swarm says of it."""
    told_to_stop: bool
    """Its container has been told to stop, and has not; else the task finds no place elsewhere."""


def moving(nodes: str, problems: Sequence[Problem] = ()) -> str:
    """What a drain waits for. `problems`: what has not moved for a while."""
    return f"what ran on {nodes} to run elsewhere{f'; {_advice(problems, named=False)}' if problems else ''}"


def drain_stuck(nodes: str, seconds: float, problems: Sequence[Problem]) -> str:
    """A drain that did not come to its end: tasks that do not stop, tasks that find no place."""
    return (
        f"The tasks on {nodes} did not move within {duration(seconds)} seconds (DRAIN_TIMEOUT): "
        f"{_some([problem.task for problem in problems])}. The nodes were given back as they were; "
        f"{_advice(problems, named=True)}, then repeat the request"
    )


def _advice(problems: Sequence[Problem], *, named: bool) -> str:
    """What to do about tasks that do not move. `named`: all of them have been, just before it."""
    stuck = [problem.task for problem in problems if problem.told_to_stop]
    homeless = [problem.task for problem in problems if not problem.told_to_stop]
    look = (
        f"{_some(stuck)} was told to stop and has not: look at its container (`docker ps` on the node) and at the "
        "service's stop grace period"
    )
    room = f"make room for {_some(homeless) if stuck or not named else 'these tasks'}"
    return ", and ".join([look] * bool(stuck) + [room] * bool(homeless))


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{', '.join(names[:NAMED])}{more}"


def not_given_back(why: str, nodes: str, reason: str) -> str:
    """Undo came no further."""
    return (
        f"{why}; and {nodes} could not be given back: {reason}. Look at `docker node ls`, and give them back with "
        "`docker node update --availability active` (and `docker node promote`)"
    )


def not_removed(message: str, nodes: str, reason: str) -> str:
    """The instances are terminated, and their nodes are still in `docker node ls`."""
    return (
        f"{message}; {nodes} terminated, but not removed from the Swarm: {reason}. The next node scale removes them, "
        "or `docker node rm --force` does"
    )
