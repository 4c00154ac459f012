"""One connection of the lying origin, as it writes: whole or in random pieces, fast or slow, and how it breaks off."""

import asyncio
import random
import socket
import struct
from typing import Literal

from tests.origin_reply import pieces_of

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: close at once and tell the other side by RST."""


class Wire:
    """The writing side. `chances` cuts every write at random places."""

    def __init__(self, writer: asyncio.StreamWriter, chances: random.Random | None = None) -> None:
        self._writer = writer
        self._chances = chances

    async def send(self, data: bytes, rate: float | None = None) -> None:
        """`rate` in bytes a second."""
        if rate:
            step = max(1, int(rate / 10))
            for position in range(0, len(data), step):
                self._writer.write(data[position : position + step])
                await self._writer.drain()
                await asyncio.sleep(step / rate)
            return
        for piece in pieces_of(data, self._chances):
            self._writer.write(piece)
            await self._writer.drain()
            if self._chances is not None:
                await asyncio.sleep(0)

    async def send_chunk(self, data: bytes, extension: bytes = b"", rate: float | None = None) -> None:
        """One chunk of a chunked body."""
        await self.send(b"%x%b\r\n%b\r\n" % (len(data), extension, data), rate)

    def break_off(self, how: Literal["close", "reset", "truncate"]) -> None:
        """End the connection: in good order, by RST, or below TLS without its end."""
        connection: socket.socket | None = self._writer.get_extra_info("socket")
        if connection is None:  # the client was quicker: over TLS, its end takes the socket away at once
            raise ConnectionResetError
        match how:
            case "close":
                self._writer.close()
            case "reset":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                self._writer.transport.abort()
            case "truncate":
                connection.shutdown(socket.SHUT_WR)
                self._writer.transport.abort()
