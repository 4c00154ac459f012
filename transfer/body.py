"""Replies of aiohttp and their bodies, each with the line it came by, which knows better how it ended.

Owns the three ways to read a body: from aiohttp (`ParsedBody`), from the line (`LineBody`), and from the connection
itself (wire.py). Refuses to interpret a byte.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator

import aiohttp
from aiohttp.connector import Connection

from transfer.line import Line
from transfer.tls import Stream
from transfer.translate import translated
from transfer.wire import SocketWire, duplicate

READ_AHEAD = 2 << 20
"""Bytes that may have come while others are written: the socket and the disk work at the same time."""
SEGMENT_AHEAD = 256 << 10
"""The same for each of several connections."""


class Response(aiohttp.ClientResponse):
    """`hidden_length`: the Content-Length that came along with chunks, or that aiohttp took for chunks."""

    line: Line | None = None
    hidden_length: str | None = None
    is_disguised = False
    """What it says of chunks is not the server's."""

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        protocol, transport = connection.protocol, connection.transport
        if protocol is None or transport is None:
            raise aiohttp.ServerDisconnectedError
        current = transport.get_protocol()
        self.line = line = current if isinstance(current, Line) else Line(protocol, transport)
        transport.set_protocol(line)
        line.expect(self.method)
        found = await super().start(connection)
        self.is_disguised = line.is_holding
        self.hidden_length = str(line.framing.length) if line.is_holding else line.framing.hidden
        return found

    def body(self, silence: float, ahead: int = READ_AHEAD) -> AsyncIterator[bytes]:
        """In whatever pieces the connection has ready, so many bytes of it read ahead.

        Raises StalledError (after `silence` seconds without a byte) or ConnectionLostError when it breaks off.
        """
        if self.line is not None and self.is_disguised:
            return LineBody(self.line, str(self.url), silence, ahead)
        return ParsedBody(self, silence)

    async def take(self, least: int) -> SocketWire | None:
        """The connection in place of the body, where the line allows that and the body has so many bytes."""
        line, transport = self.line, None if self.connection is None else self.connection.transport
        if line is None or transport is None or not line.may_take or not 0 <= least <= (line.framing.length or 0):
            return None
        tls = transport.get_extra_info("ssl_object")
        if not isinstance(tls, Stream | None) or (own := duplicate(transport.get_extra_info("socket"))) is None:
            return None
        wire = SocketWire(own, tls, *line.take(), str(self.url))
        try:
            await asyncio.sleep(0)  # only then has asyncio let go of the TLS state
        except asyncio.CancelledError:
            own.close()
            raise
        return wire


class LineBody(AsyncIterator[bytes]):
    """Of a known length, straight from the line.

    Once all of it has come the line may serve the next reply, while this body is still being read: it must not touch
    the line any more then.
    """

    def __init__(self, line: Line, url: str, silence: float, ahead: int = READ_AHEAD) -> None:
        self._line = line
        self._url = url
        self._silence = silence
        self._ahead = ahead
        self._to_come = self._left = line.framing.length or 0
        self._chunks: deque[bytes] = deque()
        self._waiting = 0
        self._has_begun = self._is_paused = False
        self._news = asyncio.Event()
        self._broken: Exception | None = None

    def feed(self, data: bytes) -> None:
        """Line's side: the next bytes."""
        self._chunks.append(data)
        self._waiting += len(data)
        self._to_come -= len(data)
        self._news.set()
        self._is_paused = bool(self._to_come) and self._waiting >= self._ahead
        if self._is_paused:
            self._line.pause()

    def lose(self, reason: Exception | None) -> None:
        """Line's side: no more will come."""
        self._broken = reason if isinstance(reason, OSError) else ConnectionResetError()
        self._news.set()

    async def __anext__(self) -> bytes:
        if not self._left:
            raise StopAsyncIteration
        if not self._has_begun:
            self._has_begun = True
            self._line.flow(self)
        while not self._chunks:
            with translated(self._url):
                if self._broken is not None:
                    raise self._broken
                self._news.clear()
                async with asyncio.timeout(self._silence):
                    await self._news.wait()
        chunk = self._chunks.popleft()
        self._waiting -= len(chunk)
        self._left -= len(chunk)
        if self._is_paused and self._waiting < self._ahead:
            self._is_paused = False
            self._line.resume()
        return chunk


class ParsedBody(AsyncIterator[bytes]):
    """In chunks, without a length, or together with its head: as aiohttp's parser understands it."""

    def __init__(self, response: Response, silence: float) -> None:
        self._silence = silence
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
            try:
                async with asyncio.timeout(self._silence):
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
