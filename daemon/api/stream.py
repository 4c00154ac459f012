"""One event stream (Server-Sent Events): everything stored after a number, in order, none left out.

PROGRESS comes between, as it is when the client has room for it. A slow client is waited for and costs no more memory
than one batch; one that takes nothing at all is given up.
"""

import asyncio
import socket

from aiohttp import web

from daemon.api.call import Call
from daemon.progress import PROGRESS
from jobqueue.errors import JobQueueError
from jobqueue.transaction import EventQuery

KEEP_ALIVE = 15.0
"""Seconds of silence after which a stream says that it is alive (and notices a client that is gone)."""
PATIENCE = 300.0
"""Seconds for a client to make room for the next batch."""
BATCH = 64
BATCH_SIZE = 16 * 1024
"""Events and bytes that are sent at once."""
HIGH_WATER = 8 * 1024
"""Bytes waiting for the kernel to take them; with more, nothing is sent."""
KERNEL_BUFFER = 32 * 1024


class Stream:
    """Answers one request."""

    def __init__(self, call: Call, query: EventQuery) -> None:
        self._log = call.backend.events
        self._request = call.request
        self._query = query
        self._response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        )

    async def serve(self, seq: int) -> web.StreamResponse:
        """Send what comes after this number until the service stops or the log fails. Raises ConnectionError."""
        await self._response.prepare(self._request)
        self._limit_buffers()
        await self._write(b": bitsd\n\n")
        has_progress = self._query.types is None or PROGRESS in self._query.types
        with self._log.follow(self._query, seq, has_progress=has_progress) as follower:
            while not self._log.is_closed:
                try:
                    lines = await follower.take(BATCH, BATCH_SIZE)
                except JobQueueError:
                    break  # the head is sent: what is wrong is told to the client when it comes again
                frames = [line.frame for line in lines] or follower.take_progress()
                if frames:
                    await self._write(b"".join(frames))
                elif not await follower.wait(KEEP_ALIVE):
                    await self._write(b": alive\n\n")
        return self._response

    def _limit_buffers(self) -> None:
        """Most streams are idle and some are not read: little is kept for each."""
        transport = self._request.transport
        if transport is not None:
            transport.set_write_buffer_limits(high=HIGH_WATER)
            connection = transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BUFFER)

    async def _write(self, data: bytes) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                await self._response.write(data)
                await self._request.writer.drain()
        except TimeoutError:
            if self._request.transport is not None:
                self._request.transport.abort()  # an orderly end would wait for the client too
            raise ConnectionAbortedError("the client takes nothing") from None
