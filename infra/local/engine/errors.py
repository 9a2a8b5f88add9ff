"""Refusals of the engine: a status code and the message its clients see.

The control plane of a Swarm answers over gRPC and the engine passes the text on, so many messages start with
`rpc error: code = ...`; the HTTP status follows from the code.
"""

from http import HTTPStatus

_STATUS_OF_CODE = {
    "InvalidArgument": HTTPStatus.BAD_REQUEST,
    "FailedPrecondition": HTTPStatus.BAD_REQUEST,
    "NotFound": HTTPStatus.NOT_FOUND,
    "AlreadyExists": HTTPStatus.CONFLICT,
    "Unimplemented": HTTPStatus.NOT_IMPLEMENTED,
    "Unavailable": HTTPStatus.SERVICE_UNAVAILABLE,
    "Unknown": HTTPStatus.INTERNAL_SERVER_ERROR,
}


class EngineError(Exception):
    """A request that the engine answers with an error."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class OutOfSequenceError(EngineError):
    """The object was written since the caller read it."""

    def __init__(self) -> None:
        message = "rpc error: code = Unknown desc = update out of sequence"
        super().__init__(HTTPStatus.INTERNAL_SERVER_ERROR, message)


def refused(code: str, description: str) -> EngineError:
    """An error of the Swarm's control plane, in the words the engine passes on."""
    return EngineError(_STATUS_OF_CODE[code], f"rpc error: code = {code} desc = {description}")


def not_found(kind: str, name: str) -> EngineError:
    return EngineError(HTTPStatus.NOT_FOUND, f"{kind} {name} not found")


def invalid(message: str) -> EngineError:
    return EngineError(HTTPStatus.BAD_REQUEST, message)


NO_LEADER = (
    "The swarm does not have a leader. It's possible that too few managers are online. "
    "Make sure more than half of the managers are online."
)
NOT_A_MANAGER = (
    "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state. "
    "Please run this command on a manager node or promote the current node to a manager."
)
NOT_IN_A_SWARM = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" '
    "to connect this node to swarm and try again."
)
