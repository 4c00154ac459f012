"""An origin that counts what it sends, and what of it was sent before: bytes that a kill made the service fetch twice.

Owns the count. A position is where a byte belongs in the local file, whatever ranges the job asked for. A byte counts
as sent when it is handed to the socket: what was on its way when the service died is counted too.
"""

import asyncio
import hashlib
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import inf

from tests.origin import Origin, Request, Script
from tests.origin_content import Content
from tests.origin_reply import Plan
from tests.origin_wire import Wire

SENDING = 64 << 10
"""Bytes that the kernel may hold back of what was sent."""
JUST_NOW = 0.2
"""Seconds in which it is known that the service was killed; the sockets may know before."""
STEPS = 20
"""Pieces that a second's worth of bytes is sent in."""


@dataclass(frozen=True)
class Served:
    """A file of a job: what is served under `path`, and which (offset, length) of it the job wants; () = all."""

    path: str
    body: Content
    ranges: tuple[tuple[int, int], ...] = ()

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the local file, as it must be."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def content(self) -> bytes:
        whole = self.body.read()
        return b"".join(whole[start : start + length] for start, length in self.ranges) if self.ranges else whole

    def position(self, remote: int) -> int:
        """Where byte `remote` of the served file is in the local one."""
        before = 0
        for start, length in self.ranges:
            if start <= remote < start + length:
                return before + remote - start
            before += length
        return remote


@dataclass(slots=True)
class Fetch:
    """One reply: `sent` bytes of a file from `start` on (in the served file). `is_cut`: a kill ended it.

    `broken_at`: when it broke off (time of the loop), inf = it did not.
    """

    path: str
    start: int
    sent: int = 0
    is_open: bool = True
    broken_at: float = inf
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class Again:
    """Bytes sent a second time by one reply; `is_by_kill`: because of a kill, else because of a suspend or a stop."""

    path: str
    size: int
    is_by_kill: bool


def sent_again(fetches: Iterable[Fetch], served: Mapping[str, Served]) -> list[Again]:
    """Of replies in their order: what each sent of what was sent before, for every reply that went on with a file."""
    found: list[Again] = []
    reached: dict[str, int] = {}
    cut: dict[str, bool] = {}
    for fetch in fetches:
        start = served[fetch.path].position(fetch.start)
        end = start + fetch.sent
        if fetch.path in reached:
            before = reached[fetch.path]
            found.append(Again(fetch.path, max(0, min(before, end) - start), cut[fetch.path]))
        reached[fetch.path] = max(end, reached.get(fetch.path, 0))
        cut[fetch.path] = fetch.is_cut
    return found


class CountingOrigin(Origin):
    """`fetches` has every reply with a body, in order of arrival."""

    def __init__(self) -> None:
        super().__init__()
        self.fetches: list[Fetch] = []

    def cut(self) -> list[Fetch]:
        """The service was killed just now: the replies that this cut."""
        since = asyncio.get_running_loop().time() - JUST_NOW
        found = [fetch for fetch in self.fetches if fetch.is_open or since < fetch.broken_at < inf]
        for fetch in found:
            fetch.is_open, fetch.broken_at, fetch.is_cut = False, inf, True
        return found

    async def _answer(self, request: Request, script: Script, reader: asyncio.StreamReader, wire: Wire) -> bool:
        return await super()._answer(request, script, reader, _CountingWire(wire, request.path))

    async def _send_body(self, found: Plan, script: Script, reader: asyncio.StreamReader, wire: Wire) -> None:
        assert isinstance(wire, _CountingWire)
        connection: socket.socket = wire._writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SENDING)
        wire.fetch = Fetch(wire.path, found.start)
        self.fetches.append(wire.fetch)
        try:
            await super()._send_body(found, script, reader, wire)
        except OSError:
            if wire.fetch.is_open:
                wire.fetch.broken_at = asyncio.get_running_loop().time()
            raise
        finally:
            wire.fetch.is_open = False


class _CountingWire(Wire):
    def __init__(self, wire: Wire, path: str) -> None:
        super().__init__(wire._writer)
        self.path = path
        self.fetch: Fetch | None = None

    async def send(self, data: bytes, rate: float | None = None) -> None:
        step = int(rate / STEPS) if rate else len(data)
        for start in range(0, len(data), max(1, step)):
            piece = data[start : start + step]
            self._writer.write(piece)
            await self._writer.drain()
            if self.fetch is not None:
                self.fetch.sent += len(piece)
            if rate:
                await asyncio.sleep(len(piece) / rate)
