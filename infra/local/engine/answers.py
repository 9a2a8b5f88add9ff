"""What the engine answers with: JSON as Docker's clients want it, errors as the API words them."""

from http import HTTPStatus

from aiohttp import web

from infra.local.engine.views import dump


def json_answer(body: object, status: int = HTTPStatus.OK) -> web.Response:
    return json_text(dump(body), status)


def json_text(text: str, status: int = HTTPStatus.OK) -> web.Response:
    headers = {"Content-Type": "application/json"}  # exactly: the command line wants no charset there
    return web.Response(body=text.encode() + b"\n", status=status, headers=headers)


def error_answer(status: int, message: str) -> web.Response:
    return json_answer({"message": message}, status)
