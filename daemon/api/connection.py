"""One connection of a client. What aiohttp itself answers (to what is not HTTP, or not served) is a document too."""

import asyncio
import logging
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from daemon.access import Caller, caller_of
from daemon.api.problem import problem

log = logging.getLogger(__name__)


class Connection(web.RequestHandler):
    """aiohttp's protocol with this API's errors."""

    __slots__ = ("caller",)

    caller: Caller
    """Who the kernel says connected; known from the first byte on."""

    def __init__(self, server: web.Server, *, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(server, loop=loop, access_log=None)  # type: ignore[arg-type]  # None = no access log

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """As asyncio calls it."""
        self.caller = caller_of(transport.get_extra_info("socket"))
        super().connection_made(transport)

    def log_exception(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as aiohttp has it
        """What a client got wrong is not a failure of the service."""
        error = kwargs.get("exc_info")
        if isinstance(error, (ConnectionError, HttpProcessingError, web.RequestPayloadError)):
            log.debug("refused a client: %s", type(error).__name__)  # its text repeats what the client sent
        else:
            super().log_exception(*args, **kwargs)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The reply to a request that could not be read or whose client went away. Closes the connection."""
        if isinstance(exc, ConnectionError) or status == 504:
            log.debug("a client went away: %s", type(exc).__name__)
            if request.writer.output_size > 0:
                raise ConnectionError("nobody is left to answer") from exc
        elif request.writer.output_size > 0 or status >= 500:
            return super().handle_error(request, status, exc, message)
        first = (message or "it cannot be read").partition("\n")[0][:200]
        response = problem("E_INVALIDARG", f"this is not an HTTP request: {first}", status=max(400, min(status, 499)))
        response.force_close()
        return response

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send the reply; a refusal of aiohttp's own becomes a document."""
        if isinstance(resp, web.HTTPException):
            resp = problem("E_NOTIMPL", f"cannot {request.method} {request.path}: {resp.reason}", status=resp.status)
        return await super().finish_response(request, resp, start_time)
