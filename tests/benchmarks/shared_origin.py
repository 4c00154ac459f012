"""A server that gives every client a rate, whatever the number of its connections: nginx can limit a connection only.

Run as `python -m tests.benchmarks.shared_origin FOLDER BYTES_PER_SECOND`; it prints its port. GET with a single Range
and a validator. `GET /.connections` gives the connections since the last such question: the most at once, and how many
were exceeded in a tenth of the time only ("kept"), as `MOST KEPT`.
"""

import asyncio
import contextlib
import re
import sys
import time
from collections import defaultdict
from pathlib import Path

PIECE = 32 * 1024
BURST = 0.05
"""Seconds' worth of bytes that may be sent at once after a silence."""
GET = re.compile(rb"GET /(\S+) HTTP/1\.1\r\n")
RANGE = re.compile(rb"\r\nrange: *bytes=(\d+)-(\d*)\r\n", re.IGNORECASE)
REPLY = (
    'HTTP/1.1 {status}\r\nContent-Length: {length}\r\nAccept-Ranges: bytes\r\nETag: "v1"\r\n'
    "Content-Type: application/octet-stream\r\n{extra}\r\n"
)


class Bucket:
    """The bytes that all connections may send."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._free_at = 0.0

    async def take(self, size: int) -> None:
        """Return when `size` more bytes may go."""
        now = time.monotonic()
        self._free_at = max(self._free_at, now - BURST) + size / self._rate
        await asyncio.sleep(self._free_at - now)


class Connections:
    """How long how many were open at once, from `since` on."""

    def __init__(self, since: float) -> None:
        self._open = 0
        self._since = since
        self._seconds: dict[int, float] = defaultdict(float)

    def change(self, by: int, now: float) -> None:
        """So many more are open."""
        self._seconds[self._open] += now - self._since
        self._open, self._since = self._open + by, now

    def report(self, now: float) -> str:
        """`MOST KEPT`, and count anew."""
        self.change(0, now)
        seconds = {count: spent for count, spent in self._seconds.items() if count}
        self._seconds.clear()
        left = 0.9 * sum(seconds.values())
        for count in sorted(seconds):
            left -= seconds[count]
            if left <= 0:
                return f"{max(seconds)} {count}"
        return "0 0"


class Origin:
    """`folder` over http."""

    def __init__(self, folder: Path, rate: int) -> None:
        self._folder = folder
        self._bucket = Bucket(rate)
        self._connections = Connections(time.monotonic())

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, request after request. It counts from its first request for a file."""
        is_counted = False
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                name = found[1].decode() if (found := GET.match(head)) else ""
                if name == ".connections":
                    writer.write(_text(self._connections.report(time.monotonic())))
                elif not (self._folder / name).is_file():
                    writer.write(REPLY.format(status="404 Not Found", length=0, extra="").encode())
                else:
                    if not is_counted:
                        is_counted = True
                        self._connections.change(1, time.monotonic())
                    await self._send(self._folder / name, RANGE.search(head), writer)
        if is_counted:
            self._connections.change(-1, time.monotonic())
        writer.close()

    async def _send(self, path: Path, wanted: re.Match[bytes] | None, writer: asyncio.StreamWriter) -> None:
        size = path.stat().st_size
        start, end, status, extra = 0, size, "200 OK", ""
        if wanted:
            start, end = int(wanted[1]), min(size, int(wanted[2] or size) + 1)
            status, extra = "206 Partial Content", f"Content-Range: bytes {start}-{end - 1}/{size}\r\n"
        writer.write(REPLY.format(status=status, length=end - start, extra=extra).encode())
        with path.open("rb") as file:
            file.seek(start)
            while start < end:
                piece = file.read(min(PIECE, end - start))
                await self._bucket.take(len(piece))
                writer.write(piece)
                await writer.drain()
                start += len(piece)


def _text(text: str) -> bytes:
    return REPLY.format(status="200 OK", length=len(text), extra="").encode() + text.encode()


async def main() -> None:
    origin = Origin(Path(sys.argv[1]), int(sys.argv[2]))
    server = await asyncio.start_server(origin.serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
