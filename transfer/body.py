"""Replies of aiohttp watched until their body's end: whether it is the end, or somebody cut the connection.

aiohttp takes a reset for the end of a body that has no length, knows nothing of a cut below TLS, and never wakes the
reader of a body that stops being HTTP. Refuses to interpret a byte.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator

import aiohttp
from aiohttp.connector import Connection

from transfer.tls import Stream
from transfer.translate import translated


class Response(aiohttp.ClientResponse):
    """A reply that knows its connection beyond the end of the body. `closed` is done when that is closed."""

    closed_by: "asyncio.Future[None] | None" = None
    tls: ssl.SSLObject | None = None

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        if connection.protocol is not None and connection.transport is not None:
            self.closed_by = connection.protocol.closed
            self.tls = connection.transport.get_extra_info("ssl_object")
        return await super().start(connection)

    @property
    def is_cut(self) -> bool:
        """After the end of a body that ends with its connection: it was not the server that said so."""
        if isinstance(self.tls, Stream):
            return not self.tls.is_ended  # RFC 9112 §9.8
        return self.closed_by is None or not self.closed_by.done() or self.closed_by.exception() is not None


class Body(AsyncIterator[bytes]):
    """In whatever pieces the connection has ready. Raises StalledError or ConnectionLostError when it breaks off."""

    def __init__(self, response: Response) -> None:
        self._url = str(response.url)
        self._response = response
        self._content = response.content
        self._broken: BaseException | None = None
        is_delimited = "content-length" in response.headers or "transfer-encoding" in response.headers
        self._ends_with_connection = not is_delimited and self._content is not aiohttp.EMPTY_PAYLOAD
        closed = response.closed_by
        if closed is not None:
            closed.add_done_callback(self._must_be_over)
            self._content.on_eof(self._forget)

    async def __anext__(self) -> bytes:
        with translated(self._url):
            if self._broken is not None:
                raise self._broken
            try:
                chunk = await self._content.readany()
            except (aiohttp.ClientError, OSError) as error:
                chunk = self._rescue(error)
            if not chunk and self._ends_with_connection and self._response.is_cut:
                raise ConnectionResetError
        if not chunk:
            raise StopAsyncIteration
        return chunk

    def _rescue(self, error: BaseException) -> bytes:
        """What had arrived before the connection broke: aiohttp would let it go, but these bytes are ours."""
        self._broken = error
        self._content.set_exception(None)  # type: ignore[arg-type]
        chunk = self._content.read_nowait()
        if not chunk:
            raise error
        return chunk

    def _forget(self) -> None:
        if self._response.closed_by is not None:
            self._response.closed_by.remove_done_callback(self._must_be_over)

    def _must_be_over(self, _closed: "asyncio.Future[None]") -> None:
        if not self._content.is_eof() and self._content.exception() is None:
            self._content.set_exception(aiohttp.ClientPayloadError("the body is not HTTP"))
