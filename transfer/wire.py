"""A connection whose next bytes are the body of a reply, read without aiohttp: into one buffer, and on to the disk.

Owns the duplicated socket, how long to wait for bytes and how many of them. Only for a body of known length over plain
TCP; what aiohttp's side of the connection had read already is handed over, and it reads no more. Refuses to know where
the bytes go. Why so, and not splice(2): docs/decisions/0011.
"""

import asyncio
import os
import select
import socket
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from transfer.translate import translated

BLOCK = 256 << 10
"""Bytes that are read before they are written: fewer cost system calls, more do not stay in the processor's cache."""
LONGEST_TURN = 0.05
"""Seconds after which a thread is given back although more bytes are there."""
PATIENCE = 1
"""Milliseconds for which a thread waits for more before it is given back."""
LONGEST_GATHERING = 0.5
"""Seconds that bytes of a slow body may wait in the kernel while more arrive."""


class SocketWire:
    """transfer.source.Wire over a socket. Closed by its `with` block."""

    def __init__(
        self, connection: socket.socket, came: bytes, length: int, url: str, on_end: Callable[[], None]
    ) -> None:
        self.left = length
        self.is_ended = False
        self._connection = connection
        self._came = came
        self._url = url
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._heard_at = self._loop.time()
        self._is_dry = False
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()
        if not self.left:
            self._on_end()

    def move(self, write: Callable[[memoryview], None], most: int) -> None:
        """Blocking, for a moment: hand what has come to `write`, at most `most` bytes and a block."""
        until = time.monotonic() + LONGEST_TURN
        buffer = memoryview(bytearray(BLOCK))
        self._is_dry = False
        while self.left and most > 0 and not (self._is_dry or self.is_ended) and time.monotonic() < until:
            filled = self._fill(buffer[: min(BLOCK, self.left)])
            write(buffer[:filled])
            self.left -= filled
            most -= filled

    async def more(self, silence: float) -> None:
        """Returns when `move` has something to do. Raises StalledError after so many seconds without a byte."""
        if not self._is_dry:
            self._heard_at = self._loop.time()
            return
        with translated(self._url):
            self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, min(BLOCK, self.left))
            while not await self._is_readable(LONGEST_GATHERING) and not self._has_some():
                if self._loop.time() - self._heard_at >= silence:
                    raise TimeoutError
        self._heard_at = self._loop.time()

    def _fill(self, buffer: memoryview) -> int:
        """How much of the buffer has bytes now."""
        filled = len(self._came)
        if filled:
            buffer[:filled], self._came = self._came, b""
        while filled < len(buffer):
            try:
                count = self._connection.recv_into(buffer[filled:])
            except BlockingIOError:
                if self._poll.poll(PATIENCE):
                    continue
                self._is_dry = True
                break
            except OSError:  # what came before it is ours all the same
                count = 0
            if not count:
                self.is_ended = True
                break
            filled += count
        return filled

    async def _is_readable(self, seconds: float) -> bool:
        """Whether there are as many bytes as are waited for, or the end, within this time."""
        number, ready = self._connection.fileno(), asyncio.Event()
        self._loop.add_reader(number, ready.set)
        try:
            async with asyncio.timeout(seconds):
                await ready.wait()
        except TimeoutError:
            return False
        finally:
            self._loop.remove_reader(number)
        return True

    def _has_some(self) -> bool:
        try:
            return bool(self._connection.recv(1, socket.MSG_PEEK))
        except BlockingIOError:
            return False


def duplicate(connection: socket.socket) -> socket.socket:
    """A descriptor of its own on the same connection. Raises OSError when there is none to be had."""
    return socket.socket(fileno=os.dup(connection.fileno()))
