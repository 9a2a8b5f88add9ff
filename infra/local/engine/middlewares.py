"""What happens around every request to the engine: its headers, faults that are wanted, errors, the API's version."""

import asyncio
from http import HTTPStatus

from aiohttp import web
from aiohttp.typedefs import Handler

from infra.local.engine import params
from infra.local.engine.answers import error_answer
from infra.local.engine.engine import API_VERSION, ENGINE_VERSION, OLDEST_API_VERSION, version_text
from infra.local.engine.errors import EngineError, invalid
from infra.local.engine.faults import Faults

ENGINE_HEADERS = {
    "Api-Version": version_text(API_VERSION),
    "Docker-Experimental": "false",
    "Ostype": "linux",
    "Server": f"Docker/{ENGINE_VERSION} (linux)",
}


class Middlewares:
    """Of one engine, outermost first in `all`."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self.all = (self.name_the_engine, self.inject_faults, self.tell_errors, self.check_version)

    @web.middleware
    async def name_the_engine(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        if not response.prepared:
            response.headers.update(ENGINE_HEADERS)
        return response

    @web.middleware
    async def inject_faults(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        fault = self._faults.api_fault(request.method, params.unversioned(request))
        if fault is None:
            return await handler(request)
        await asyncio.sleep(fault.delay)
        if fault.drop and request.transport is not None:
            request.transport.abort()
        if fault.status:
            return error_answer(fault.status, fault.message)
        return await handler(request)

    @web.middleware
    async def tell_errors(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except EngineError as error:
            return error_answer(error.status, error.message)
        except web.HTTPNotFound:
            return error_answer(HTTPStatus.NOT_FOUND, "page not found")
        except web.HTTPException as error:
            return error_answer(error.status, error.reason)

    @web.middleware
    async def check_version(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        asked = params.api_version(request)
        if asked > API_VERSION:
            newest = f"Maximum supported API version is {version_text(API_VERSION)}"
            raise invalid(f"client version {version_text(asked)} is too new. {newest}")
        if asked < OLDEST_API_VERSION:
            oldest = f"Minimum supported API version is {version_text(OLDEST_API_VERSION)}"
            upgrade = "please upgrade your client to a newer version"
            raise invalid(f"client version {version_text(asked)} is too old. {oldest}, {upgrade}")
        return await handler(request)
