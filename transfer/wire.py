"""A connection whose next bytes are the body of a reply, read without aiohttp: into a few buffers, and on to the disk.

Owns a descriptor of its own, how long to wait for bytes and how many of them. Only for a body of known length; what
aiohttp's side of the connection had read already is handed over, and that side is closed. Refuses to know where the
bytes go. Why so, and not splice(2): docs/decisions/0012.
"""

import asyncio
import os
import select
import socket
import ssl
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

from transfer.tls import Stream
from transfer.translate import translated

WORTH_A_TURN = 256 << 10
"""Bytes for which it is worth to wake a thread."""
CIPHERED = 128 << 10
"""Bytes that are read before they are deciphered."""
LONGEST_TURN = 0.05
"""Seconds after which a thread is given back although more bytes are there."""
PATIENCE = 1
"""Milliseconds for which a thread waits for more before it is given back."""
LONGEST_GATHERING = 0.5
"""Seconds that bytes of a slow body may wait in the kernel while more arrive."""

Receive = Callable[[memoryview], int]


class SocketWire:
    """transfer.source.Wire over a socket, closed by its `with` block; `tls`: what deciphers its bytes."""

    def __init__(self, connection: socket.socket, tls: Stream | None, came: bytes, length: int, url: str) -> None:
        self.left = length
        self.is_ended = False
        self._connection = connection
        self._receive: Receive = connection.recv_into if tls is None else _Deciphered(connection, tls).recv_into
        self._came = came
        self._url = url
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

    def move(self, buffers: Iterable[memoryview], write: Callable[[memoryview], None]) -> list[memoryview]:
        """Blocking, for a moment: fill the buffers in turn with what has come and hand each to `write`."""
        until = time.monotonic() + LONGEST_TURN
        self._is_dry = False
        filled = []
        for buffer in buffers:
            piece = self._filled(buffer[: self.left])
            write(piece)
            self.left -= len(piece)
            filled.append(piece)
            if not self.left or self._is_dry or self.is_ended or time.monotonic() > until:
                break
        return filled

    async def more(self, silence: float) -> None:
        """Returns when `move` has something to do. Raises StalledError after so many seconds without a byte."""
        if self._is_dry:
            with translated(self._url):
                self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, min(WORTH_A_TURN, self.left))
                while not await self._is_readable(LONGEST_GATHERING) and not self._has_some():
                    if self._loop.time() - self._heard_at >= silence:
                        raise TimeoutError
        self._heard_at = self._loop.time()

    def _filled(self, buffer: memoryview) -> memoryview:
        """As much of the buffer as has bytes now."""
        filled = min(len(self._came), len(buffer))
        buffer[:filled], self._came = self._came[:filled], self._came[filled:]
        while filled < len(buffer):
            try:
                count = self._receive(buffer[filled:])
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
        return buffer[:filled]

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


class _Deciphered:
    """A socket read through the TLS state that asyncio has made, and does not touch meanwhile."""

    def __init__(self, connection: socket.socket, stream: Stream) -> None:
        self._connection = connection
        self._stream = stream
        self._raw = memoryview(bytearray(CIPHERED))

    def recv_into(self, buffer: memoryview) -> int:
        """As socket.recv_into, but for its eagerness: the buffer is filled from what has been read from the socket."""
        filled, size, read = 0, len(buffer), self._stream.read
        while True:
            try:
                while filled < size:  # record by record
                    count = read(size, buffer[filled:])
                    if not count:
                        return filled
                    filled += count
            except ssl.SSLError as error:
                if not filled and not isinstance(error, ssl.SSLWantReadError):
                    raise
            if filled:
                return filled
            if self._stream.outgoing.pending:  # an answer to a change of keys (RFC 8446 §4.6.3)
                self._connection.send(self._stream.outgoing.read())
            count = self._connection.recv_into(self._raw)
            if not count:
                return 0
            self._stream.incoming.write(self._raw[:count])


def duplicate(connection: socket.socket | None) -> socket.socket | None:
    """A descriptor of its own on the same connection; None when that is closed or there is none to be had."""
    try:
        found = None if connection is None else socket.socket(fileno=os.dup(connection.fileno()))
    except OSError:
        return None
    if found is not None:
        found.settimeout(0)
    return found
