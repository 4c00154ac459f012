"""The seam to the network: what is asked, what comes back, and who brings it. Owns no I/O.

http.py is the real implementation, fake.py a scripted one for tests.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from transfer.request import ProxyRule, RedirectPolicy, Validators
from transfer.segments import Span


@dataclass(frozen=True, slots=True)
class Ask:
    """One HTTP request.

    `span`: the bytes to ask for by Range, None = no Range field, the whole file from its start.
    `is_piece`: the span is one of the ranges the caller wants, so a whole file is no answer to it.
    `validators`: of the bytes already on disk (If-Range and the comparison with the reply), empty at the start.
    """

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    span: Span | None = None
    is_piece: bool = False
    validators: Validators = field(default_factory=Validators)
    redirects: RedirectPolicy = RedirectPolicy.SILENT
    may_downgrade: bool = False
    proxy: ProxyRule = field(default_factory=ProxyRule)


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
        return next((value.strip() for key, value in self.fields if key.lower() == name), None)

    @property
    def block(self) -> str:
        """The head as received, without cookies: they are secrets of the session."""
        lines = [f"HTTP/1.1 {self.status} {self.reason}".rstrip()]
        lines += [f"{key}: {value}" for key, value in self.fields if key.lower() not in {"set-cookie", "set-cookie2"}]
        return "\r\n".join(lines) + "\r\n"


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply whose body is still to come. `chunks` raises StalledError or ConnectionLostError when it breaks off."""

    head: Head
    chunks: AsyncIterator[bytes]


class Source(Protocol):
    """Whoever brings bytes. Raises transfer.errors only."""

    def open(self, ask: Ask) -> AbstractAsyncContextManager[Reply]:
        """Send `ask`, follow redirects as it allows, and hold the reply's connection for the block's duration."""
