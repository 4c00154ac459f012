"""Replies of aiohttp and their bodies, each with the line it came by, which knows better how it ended.

Refuses to interpret a byte.
"""

from collections.abc import AsyncIterator

import aiohttp
from aiohttp.connector import Connection

from transfer.line import Line
from transfer.translate import translated
from transfer.wire import SocketWire, duplicate


class Response(aiohttp.ClientResponse):
    """`hidden_length`: the Content-Length that came along with chunks."""

    line: Line | None = None
    hidden_length: str | None = None

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        protocol, transport = connection.protocol, connection.transport
        if protocol is None or transport is None:
            raise aiohttp.ServerDisconnectedError
        current = transport.get_protocol()
        self.line = line = current if isinstance(current, Line) else Line(protocol, transport)
        transport.set_protocol(line)
        line.expect(self.method)
        found = await super().start(connection)
        self.hidden_length = line.framing.hidden
        return found

    def take(self, least: int) -> SocketWire | None:
        """The connection in place of the body, if that has so many bytes and nothing of it was read; see Line."""
        length = self.line.framing.length if self.line is not None else None
        if self.line is None or self.connection is None or self.connection.transport is None:
            return None
        if length is None or not 0 <= least <= length:
            return None
        try:
            connection = duplicate(self.connection.transport.get_extra_info("socket"))
        except OSError:  # no descriptor to be had: aiohttp has one
            return None
        if (taken := self.line.take()) is None:
            connection.close()
            return None
        return SocketWire(connection, *taken, str(self.url))


class Body(AsyncIterator[bytes]):
    """In whatever pieces the connection has ready. Raises StalledError or ConnectionLostError when it breaks off."""

    def __init__(self, response: Response) -> None:
        self._url = str(response.url)
        self._content = response.content
        self._line = response.line
        self._broken: BaseException | None = None
        is_delimited = "content-length" in response.headers or "transfer-encoding" in response.headers
        self._ends_with_connection = not is_delimited and self._content is not aiohttp.EMPTY_PAYLOAD
        if self._line is not None and not self._content.is_eof():
            self._line.tell(self._must_be_over)

    async def __anext__(self) -> bytes:
        with translated(self._url):
            if self._broken is not None:
                raise self._broken
            if self._line is not None:
                self._line.flow()
            try:
                chunk = await self._content.readany()
            except (aiohttp.ClientError, OSError) as error:
                chunk = self._rescue(error)
            if not chunk and self._ends_with_connection and self._line is not None and self._line.is_cut:
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

    def _must_be_over(self) -> None:
        if not self._content.is_eof() and self._content.exception() is None:
            self._content.set_exception(aiohttp.ClientPayloadError("the body is not HTTP"))
