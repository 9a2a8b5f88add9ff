"""What callers are answered: one JSON shape for everything, errors too."""

from asyncio import CancelledError
from typing import Any

import structlog
from sanic import Request
from sanic.compat import Header
from sanic.exceptions import NotFound, SanicException
from sanic.handlers import ErrorHandler
from sanic.response import HTTPResponse, JSONResponse

from shared.errors import InvalidRequest, ScalerError

HUNG_UP = 499
"""Nobody hears it; in the metrics it stands for callers that went away (nginx's code for the same)."""

_log = structlog.get_logger(__name__)


def answer(code: int, message: str, **more: Any) -> HTTPResponse:
    """An answer: OK below 400, else NOK."""
    return JSONResponse({"status": "OK" if code < 400 else "NOK", "message": message, **more}, status=code)


class Errors(ErrorHandler):
    """Every error as an answer. The causes of unexpected ones go to the logs, not to callers."""

    def default(self, request: Request, exception: Exception) -> HTTPResponse:
        """The answer that an exception stands for."""
        match exception:
            case InvalidRequest():
                return answer(400, str(exception), **({"hint": exception.hint} if exception.hint else {}))
            case ScalerError():
                return answer(503, str(exception))
            case NotFound() if request.route is None:
                return answer(404, "There is no such route; GET /docs says which there are")
            case SanicException() if exception.status_code != 500:
                return _of_sanic(exception)
            case CancelledError():
                _log.info("caller_hung_up", path=request.path)
                return answer(HUNG_UP, "The caller hung up")
            case _:
                _log.error("unexpected_error", path=request.path, exc_info=exception)
                return answer(500, "Internal error; the logs of ingest say more")


def _of_sanic(error: SanicException) -> HTTPResponse:
    response = answer(error.status_code, str(error) or "The request could not be read")
    response.headers = Header({**response.headers, **(error.headers or {})})
    return response
