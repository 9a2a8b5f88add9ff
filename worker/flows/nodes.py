"""What both directions of a node scale say alike: which nodes are meant, how it is announced, how it ends in vain."""

from datetime import timedelta
from typing import cast

from shared.errors import Refused
from shared.messages import Direction, Role
from shared.records import State
from worker.decisions.bounds import AtBound
from worker.requests import wording
from worker.requests.request import OpenRequest
from worker.settings import WorkerSettings


def node_type(request: OpenRequest) -> Role:
    """The type of nodes that a request is about."""
    return cast("Role", request.record.type)


def direction(request: OpenRequest) -> Direction:
    """Up or down."""
    return cast("Direction", request.record.scale)


def group_name(settings: WorkerSettings, request: OpenRequest) -> str:
    """The group of a request's node type. Raises Refused where none is configured."""
    name = settings.aws_manager_asg if node_type(request) == "manager" else settings.aws_worker_asg
    if settings.node_scaler_backend != "aws" or not name:
        raise Refused(
            "Node scaling is off (NODE_SCALER_BACKEND is none). Set it to aws, with AWS_MANAGER_ASG and "
            "AWS_WORKER_ASG, to scale nodes"
        )
    return name


def headline(settings: WorkerSettings, request: OpenRequest) -> str:
    """The `request` annotation of a request's alerts."""
    by = request.record.by
    if by is None:
        by = getattr(settings, f"default_scale_{request.record.type}_node_{request.record.scale}_by")
    return wording.nodes_request(direction(request), by, node_type(request))


def retry_budget(settings: WorkerSettings, request: OpenRequest) -> timedelta:
    """How long a step of a node scale may go on being Unavailable."""
    return settings.request_max_age if request.record.step == "plan" else settings.reschedule_timeout


async def skip_at_bound(settings: WorkerSettings, request: OpenRequest, at: AtBound) -> None:
    """End it: there is nothing to do. It starts no cool-down."""
    summary = wording.at_bound(node_type(request), at.bound, at.number)
    wanted = settings.alert_node_max if at.bound == "maximum" else settings.alert_node_min
    alerts = [wording.nodes("success", headline(settings, request), summary)] if wanted else []
    await request.save(nodes_before=at.number, nodes_after=at.number)
    await request.end(State.SKIPPED, summary, *alerts)


async def fail(settings: WorkerSettings, request: OpenRequest, message: str) -> None:
    """End it: it failed, or was refused."""
    await request.end(State.FAILED, message, wording.nodes("error", headline(settings, request), message))
