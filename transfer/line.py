"""What arrives on one connection, before aiohttp's parser sees it: reply after reply, each to its promised end.

The parser takes bytes after a body for the next reply and loses the reply they came with, refuses a length that is only
repeated or stands beside chunks, takes a reset for the end of a body without a length, and never wakes the reader of a
body that stops being HTTP. Refuses to interpret a body; a head it does not understand it leaves to the parser.
"""

import asyncio
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from transfer.head import LARGEST, LONGEST_LINE
from transfer.tls import Stream

START = b"HTTP/"
_BLANK = re.compile(rb"\r?\n\r?\n")
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})[ \r\n]")
_LENGTH = re.compile(rb"^content-length:([^\r\n]*+)\r?\n", re.IGNORECASE | re.MULTILINE)
_CODED = re.compile(rb"^transfer-encoding[ \t]*:", re.IGNORECASE | re.MULTILINE)
_FOLD = re.compile(rb"\n[ \t]")


@dataclass(frozen=True, slots=True)
class Framing:
    """A head as the parser is to see it, and what follows it.

    `length`: bytes of the body, None = until it ends by itself. `hidden`: the Content-Length it does not see, because
    chunks say where the body ends (RFC 9112 §6.3).
    """

    head: bytes
    length: int | None = None
    hidden: str | None = None


def framing(head: bytes, method: str) -> Framing:
    """Of a complete head other than 1xx. What is ambiguous stays in it, for the parser to refuse."""
    if method == "HEAD" or _status(head) in {204, 304}:
        return Framing(head, 0)
    texts = {text.strip() for values in _LENGTH.findall(head) for text in values.split(b",")}
    first = _LENGTH.search(head)
    if first is None or len(texts) != 1 or _FOLD.search(head):
        return Framing(head)
    text = texts.pop()
    if not text.isdigit():
        return Framing(head)
    if _CODED.search(head):
        return Framing(_LENGTH.sub(b"", head), hidden=text.decode())
    single = head[: first.start()] + b"Content-Length: " + text + b"\r\n" + _LENGTH.sub(b"", head[first.end() :])
    return Framing(single, int(text))


def _status(head: bytes) -> int:
    found = _STATUS.match(head)
    return int(found[1]) if found else 0


class Inner(Protocol):
    """What of aiohttp's protocol is used here."""

    def data_received(self, data: bytes) -> None: ...
    def eof_received(self) -> bool | None: ...
    def connection_lost(self, exc: Exception | None) -> None: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


class Line(asyncio.Protocol):
    """Between a connection's transport and `inner`, aiohttp's protocol, from the first request on.

    A body of known length that is not all here yet is held back until it is said how it is to be read: `flow` = by
    aiohttp, `take` = by somebody else, from the connection itself. The connection is not read meanwhile.
    """

    def __init__(self, inner: Inner, transport: asyncio.Transport) -> None:
        self.framing = Framing(b"")
        self._inner = inner
        self._transport = transport
        self._tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
        self._on_lost: Callable[[], None] | None = None
        self._method = ""
        self._head: bytearray | None = None
        self._searched = 0
        self._left: int | None = None
        self._held: bytes | None = None
        self._is_lost = False
        self._reason: Exception | None = None

    def expect(self, method: str) -> None:
        """The next bytes are the reply to a request by `method`."""
        self._method, self._on_lost = method, None
        self._head, self._searched, self._left, self._held = bytearray(), 0, None, None

    def flow(self) -> None:
        """Give the body to aiohttp, unless it has it already."""
        if self._held is not None:
            held, self._held = self._held, None
            self._inner.resume_reading()
            if held:
                self._pass(held)

    def take(self) -> tuple[bytes, int] | None:
        """What came of the body and how many bytes it has, for whoever reads the rest from the connection.

        None = the body is nothing to be taken: of unknown length, over TLS, or aiohttp has it already.
        """
        if self._held is None or self._left is None or len(self._held) > self._left:
            return None
        held, self._held = self._held, None
        return held, self._left

    def tell(self, on_lost: Callable[[], None]) -> None:
        """Call this when the connection is gone, unless another reply is expected by then."""
        self._on_lost = on_lost
        if self._is_lost:
            on_lost()

    @property
    def is_cut(self) -> bool:
        """After the end of a body that ends with its connection: it was not the server that ended it."""
        if isinstance(self._tls, Stream):
            return not self._tls.is_ended  # RFC 9112 §9.8
        return not self._is_lost or self._reason is not None

    def data_received(self, data: bytes) -> None:
        if self._head is None:
            self._pass(data)
            return
        self._head += data
        start = 0
        while (found := _BLANK.search(self._head, max(start, self._searched))) is not None:
            head, start = bytes(self._head[start : found.end()]), found.end()
            self._searched = start
            if not 100 <= _status(head) < 200 or _status(head) == 101:
                self._end_head(head, bytes(self._head[start:]))
                return
            self._inner.data_received(head)
        del self._head[:start]
        self._searched = max(0, len(self._head) - 3)
        if len(self._head) > LARGEST + LONGEST_LINE or not self._head.startswith(START[: len(self._head)]):
            self._end_head(b"", bytes(self._head))

    def _end_head(self, head: bytes, rest: bytes) -> None:
        """`head` empty: it is for the parser to say what is wrong."""
        self._head = None
        self.framing = framing(head, self._method) if head else Framing(b"")
        self._left = self.framing.length
        if head:
            self._inner.data_received(self.framing.head)
        if self._left is not None and len(rest) < self._left and self._tls is None:
            self._inner.pause_reading()
            self._held = rest
        elif rest:
            self._pass(rest)

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_lost, self._reason = True, exc
        if self._head:
            self._inner.data_received(bytes(self._head))
        self._inner.connection_lost(exc)
        if self._on_lost is not None:
            self._on_lost()

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def _pass(self, data: bytes) -> None:
        """Bytes of a body. More of them than promised belong to nothing, and neither does the connection then."""
        if self._held is not None:  # a transport may have read more before it was told to pause
            self._held += data
            return
        if self._left is None:
            self._inner.data_received(data)
            return
        mine = data[: self._left]
        self._left -= len(mine)
        if mine:
            self._inner.data_received(mine)
        if len(mine) < len(data):
            self._transport.close()
