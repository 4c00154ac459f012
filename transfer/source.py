"""The seam to the network: what is asked, what comes back, and who brings it. Owns no I/O.

http.py is the real implementation, fake.py a scripted one for tests.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from transfer.hosts import Hosts
from transfer.request import NOTHING_KNOWN, PLAIN_TERMS, Terms, Validators
from transfer.segments import Span


@dataclass(frozen=True, slots=True)
class Ask:
    """One HTTP request.

    `span`: the bytes to ask for by Range, None = no Range field, the whole file from its start.
    `is_piece`: the span is one of the ranges the caller wants, so a whole file is no answer to it.
    `validators`: of the bytes already on disk (If-Range and the comparison with the reply), empty at the start.
    `is_segment`: other connections bring other parts of the file at the same time.
    """

    url: str
    method: str = "GET"
    span: Span | None = None
    is_piece: bool = False
    validators: Validators = NOTHING_KNOWN
    terms: Terms = PLAIN_TERMS
    is_segment: bool = False


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a reply: `url` after redirects, `received` in seconds since the epoch."""

    url: str
    status: int
    fields: tuple[tuple[str, str], ...] = ()
    reason: str = ""
    received: float = 0.0

    def get(self, name: str) -> str | None:
        """The first field of that name (any case), stripped."""
        return next(iter(self.get_all(name)), None)

    def get_all(self, name: str) -> tuple[str, ...]:
        """Every field of that name in order."""
        return tuple(value.strip() for key, value in self.fields if key.lower() == name)

    @property
    def block(self) -> str:
        """The head as received, without cookies: they are secrets of the session."""
        lines = [f"HTTP/1.1 {self.status} {self.reason}".rstrip()]
        lines += [f"{key}: {value}" for key, value in self.fields if key.lower() not in {"set-cookie", "set-cookie2"}]
        return "\r\n".join(lines) + "\r\n"


class Wire(AbstractContextManager["Wire", None], Protocol):
    """The body of a reply as a connection from which a thread takes it. `with` it; what is left goes with it."""

    left: int
    """Bytes still to come."""
    is_ended: bool
    """No more will come, for the connection is gone."""

    async def more(self, silence: float) -> None:
        """Returns when `move` has something to do. Raises StalledError after so many seconds without a byte."""

    def move(self, buffers: Iterable[memoryview], write: Callable[[memoryview], None]) -> list[memoryview]:
        """Blocking, for a moment: fill the buffers in turn with what has come and hand each to `write`.

        Returns what was filled of each.
        """


async def _nothing() -> None:
    """Chunks are the only way."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply whose body is still to come. `chunks` raises StalledError or ConnectionLostError when it breaks off.

    `take`: its connection in place of `chunks`, None when they are the only way. Asked before the first chunk.
    """

    head: Head
    chunks: AsyncIterator[bytes]
    take: Callable[[], Awaitable[Wire | None]] = _nothing


class Source(Protocol):
    """Whoever brings bytes. Raises transfer.errors only."""

    hosts: Hosts
    """What is known of servers, and who else has connections to them."""

    def open(self, ask: Ask) -> AbstractAsyncContextManager[Reply]:
        """Send `ask`, follow redirects as it allows, and hold the reply's connection for the block's duration."""
