"""What arrives on one connection, before aiohttp's parser sees it: reply after reply, each to its promised end.

The parser takes bytes after a body for the next reply and loses the reply they came with, refuses a length that is only
repeated or stands beside chunks, takes a reset for the end of a body without a length, and never wakes the reader of a
body that stops being HTTP. It also copies every byte twice. So a body of known length that does not come along with its
head never meets it: the parser is told of chunks, of which it sees the last, empty one when the body has been read.
Refuses to interpret a body; a head it does not understand it leaves to the parser.
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
_SPEAKS_1_1 = b"HTTP/1.1 "
CHUNKS, LAST_CHUNK = b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n"
MOST_DIGITS = 18
_LENGTH = re.compile(rb"^content-length:([^\r\n]*+)\r?\n", re.IGNORECASE | re.MULTILINE)
_CODED = re.compile(rb"^transfer-encoding[ \t]*:", re.IGNORECASE | re.MULTILINE)
_FOLD = re.compile(rb"\n[ \t]")


@dataclass(frozen=True, slots=True)
class Framing:
    """A head as the parser is to see it, and what follows it.

    `length`: bytes of the body, None = until it ends by itself. `hidden`: the Content-Length it does not see, because
    chunks say where the body ends (RFC 9112 §6.3). `disguised`: the head that tells it of chunks instead of the length.
    """

    head: bytes
    length: int | None = None
    hidden: str | None = None
    disguised: bytes | None = None


def framing(head: bytes, method: str) -> Framing:
    """Of a complete head other than 1xx. What is ambiguous stays in it, for the parser to refuse."""
    if method == "HEAD" or _status(head) in {204, 304}:
        return Framing(head, 0)
    texts = {text.strip() for values in _LENGTH.findall(head) for text in values.split(b",")}
    first = _LENGTH.search(head)
    if first is None or len(texts) != 1 or _FOLD.search(head):
        return Framing(head)
    text = texts.pop()
    if not text.isdigit() or len(text) > MOST_DIGITS:
        return Framing(head)
    if _CODED.search(head):
        return Framing(_LENGTH.sub(b"", head), hidden=text.decode())
    before, after = head[: first.start()], _LENGTH.sub(b"", head[first.end() :])
    disguised = before + CHUNKS + after if head.startswith(_SPEAKS_1_1) else None
    return Framing(before + b"Content-Length: " + text + b"\r\n" + after, int(text), disguised=disguised)


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


class Reader(Protocol):
    """Whoever reads a body past the parser; `lose`: the connection is gone before its end."""

    def feed(self, data: bytes) -> None: ...
    def lose(self, reason: Exception | None) -> None: ...


class Line(asyncio.Protocol):
    """Between a connection's transport and `inner`, aiohttp's protocol, from the first request on.

    A body that never meets the parser is held, and the connection not read, until somebody wants it: by `flow` piece by
    piece as it comes, or by `take` from the connection itself.
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
        self._reader: Reader | None = None
        self._is_lost = False
        self._reason: Exception | None = None

    def expect(self, method: str) -> None:
        """The next bytes are the reply to a request by `method`."""
        self._method, self._on_lost = method, None
        self._head, self._searched, self._left = bytearray(), 0, None
        self._held = self._reader = None

    @property
    def is_holding(self) -> bool:
        """Whether the body of this reply waits for `flow` or `take`."""
        return self._held is not None

    @property
    def may_take(self) -> bool:
        """Whether `take` would give a body as it should be: too much of it is for `flow` to deal with."""
        return self._held is not None and len(self._held) <= (self._left or 0) and not self._is_lost

    def flow(self, reader: Reader) -> None:
        """Give the held body to this one, what has come and what comes."""
        held, self._held, self._reader = self._held, None, reader
        self.resume()
        if held:
            self._pass(held)
        if self._is_lost and self._left:
            reader.lose(self._reason)

    def pause(self) -> None:
        """Read no more for a while: the reader has enough."""
        self._transport.pause_reading()

    def resume(self) -> None:
        self._transport.resume_reading()

    def take(self) -> tuple[bytes, int]:
        """What came of the held body and how many bytes it has, for somebody who reads the rest from a descriptor of
        his own; nobody else will: the transport is closed, and with it goes every other way to read.
        """
        held, self._held = self._held or b"", None
        self._transport.abort()
        return held, self._left or 0

    def _end(self) -> None:
        """The body has been read to its end: the connection may be used again."""
        self._reader = None
        self._transport.resume_reading()
        self._inner.data_received(LAST_CHUNK)

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
        if self.framing.disguised is not None and self._left is not None and len(rest) < self._left:
            self._held = rest
            self._transport.pause_reading()
            self._inner.data_received(self.framing.disguised)
            return
        if head:
            self._inner.data_received(self.framing.head)
        if rest:
            self._pass(rest)

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_lost, self._reason = True, exc
        if self._head:
            self._inner.data_received(bytes(self._head))
        self._inner.connection_lost(exc)
        if self._reader is not None:
            self._reader.lose(exc)
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
        if self._held is not None:  # whoever read the reply before this one may have made aiohttp resume
            self._held += data
            self.pause()
            return
        if self._left is None:
            self._inner.data_received(data)
            return
        mine = data[: self._left]
        self._left -= len(mine)
        if self._reader is not None:
            self._reader.feed(mine)
            if not self._left:
                self._end()
        elif mine:
            self._inner.data_received(mine)
        if len(mine) < len(data):
            self._transport.close()
