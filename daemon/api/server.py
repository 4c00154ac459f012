"""The aiohttp application over the route table: credentials, validation, errors as documents. No rule of its own."""

import asyncio
import contextlib
import ctypes
import json
import logging
from http import HTTPStatus

from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage
from aiohttp.typedefs import Handler, Middleware
from pydantic import BaseModel, ValidationError

from daemon.access import Caller
from daemon.api.call import Backend, Call, Reply
from daemon.api.connection import Connection
from daemon.api.problem import document_of, field_error, problem, refusal_of, response
from daemon.api.routes import ROUTES, Route
from daemon.openapi import document
from jobqueue.errors import JobQueueError, RefusedError

log = logging.getLogger(__name__)

MAX_BODY = 16 * 1024 * 1024
"""Bytes of a request: 10,000 files with long URLs fit, a hostile one does no harm."""
BODY_TIME = 60.0
"""Seconds for a body to arrive; it comes from this machine."""
BIG_BODY = 256 * 1024
TRIM_DELAY = 0.1
MAX_MEMBERS = 250_000
"""Members and items in a body: as many files and ranges as the default limits allow just fit."""


def application(backend: Backend) -> web.Application:
    """The application that answers for `backend`."""
    app = web.Application(client_max_size=MAX_BODY, middlewares=[_errors_as_documents(backend)])
    for route in ROUTES:
        path = route.path.replace("{index}", r"{index:\d{1,18}}")
        for method in ("GET", "HEAD") if route.is_content else (route.method,):
            app.router.add_route(method, path, _handler(backend, route))
    openapi = json.dumps(document()).encode()

    async def describe(_: web.Request) -> web.Response:
        return web.Response(body=openapi, content_type="application/json")

    app.router.add_get("/v1/openapi.json", describe)
    return app


def _handler(backend: Backend, route: Route) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        call = Call(
            backend=backend,
            caller=_caller(request),
            access=route.access,
            request=request,
            parsed_body=await _body(request, route.body),
            parsed_query=_query(request, route.query),
        )
        answer = await route.handler(call)
        if (request.content_length or 0) > BIG_BODY:
            _trim_memory_soon()
        return answer.response() if isinstance(answer, Reply) else answer

    return handle


def _caller(request: web.Request) -> Caller:
    connection = request.protocol
    assert isinstance(connection, Connection)  # noqa: S101 - as the composition root makes them
    return connection.caller


async def _body(request: web.Request, model: type[BaseModel] | None) -> BaseModel | None:
    try:
        # what came with its head need not be waited for
        async with asyncio.timeout(None if request.content.is_eof() else BODY_TIME):
            data = await request.read()
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    if model is None:
        return None  # what comes without being asked for is ignored, as `curl -d ''` sends it
    if data.count(b",") > MAX_MEMBERS:  # each is a value in memory, many times its size on the wire
        raise RefusedError("E_INVALIDARG", f"the body has more than {MAX_MEMBERS} members", limit=MAX_MEMBERS)
    return model.model_validate_json(data)


def _trim_memory_soon() -> None:
    """Give what a big request took back to the system, once it is free; the C library would keep it for good."""
    asyncio.get_running_loop().call_later(TRIM_DELAY, _trim_memory)


def _trim_memory() -> None:
    with contextlib.suppress(AttributeError):  # not every C library has it
        ctypes.CDLL(None).malloc_trim(0)


def _query(request: web.Request, model: type[BaseModel] | None) -> BaseModel | None:
    values = dict(request.query)
    if model is None:
        for name in values:
            raise field_error(name, f"there is no parameter {name}")
        return None
    return model.model_validate(values)


def _errors_as_documents(backend: Backend) -> Middleware:
    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if backend.is_stopping:
            return problem("SERVICE_UNAVAILABLE", "the service is stopping")
        try:
            return await handler(request)
        except (JobQueueError, ValidationError, web.HTTPException) as error:
            return _refusal(request, error)
        except (BadHttpMessage, web.RequestPayloadError) as error:
            return problem("E_INVALIDARG", f"the body cannot be read: {type(error).__name__}")
        except (ConnectionError, TimeoutError):
            raise  # the client went away; there is nobody to answer
        except Exception:
            log.exception("%s %s failed unexpectedly", request.method, request.path)
            return problem("E_FAIL", "an internal error of the service; its log says more")

    return middleware


def _refusal(request: web.Request, error: JobQueueError | ValidationError | web.HTTPException) -> web.Response:
    match error:
        case JobQueueError():
            return response(document_of(error))
        case ValidationError():
            return response(document_of(refusal_of(error)))
        case web.HTTPRequestEntityTooLarge():
            _trim_memory_soon()
            detail = f"the request is larger than {MAX_BODY} bytes"
            return problem("E_INVALIDARG", detail, {"limit": MAX_BODY}, status=413)
        case web.HTTPRequestTimeout():
            refusal = problem("E_INVALIDARG", f"the body did not arrive within {BODY_TIME:g} s", status=408)
            refusal.force_close()
            return refusal
        case _:
            code = "E_ACCESSDENIED" if error.status == HTTPStatus.FORBIDDEN else "E_NOTIMPL"
            refusal = problem(code, f"cannot {request.method} {request.path}: {error.reason}", status=error.status)
            if "Allow" in error.headers:
                refusal.headers["Allow"] = error.headers["Allow"]
            return refusal
