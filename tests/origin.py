"""A loopback HTTP server that can lie in every way a real one does.

    async with Origin() as origin:
        file = origin.file("/a.bin", size=1_000_000, drop_after=300_000)
        ... fetch origin.url("/a.bin") ...
        assert [r.range for r in origin.requests] == [None, "bytes=300000-"]
        assert received == file.content.read()

All options are in tests/origin_script.py, named faults made of them in tests/faults. From the command line:

    python -m tests.origin --port 8080 --file /a.bin size=1000000 drop_after=300000 'etag=W/"weak"'
    python -m tests.origin --list
    python -m tests.origin --tls --fault change-blind
"""

import asyncio
import random
import ssl
from types import TracebackType
from typing import Any, Literal, Self

from tests.origin_reply import Plan, plan
from tests.origin_script import Content, Request, Script
from tests.origin_wire import Wire

__all__ = ["Content", "Origin", "Request", "Script"]
MANNERS = Literal["serve", "close", "silence"]
HANDSHAKE = b"\x16"
"""What a client that expects TLS begins with."""
FILLER = b"X-Filler: " + b"f" * 1000 + b"\r\n"


class Origin:
    """The server. `requests` has every request in order of arrival; `stalled` is set when a stall begins.

    `chunking`: seed by which every reply is written in random pieces. `manners`: what happens to a connection before
    anything is read from it, TLS included.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        tls: ssl.SSLContext | None = None,
        chunking: int | None = None,
        manners: MANNERS = "serve",
        scripts: dict[str, Script] | None = None,
    ) -> None:
        self.requests: list[Request] = []
        self.stalled = asyncio.Event()
        self.scripts: dict[str, Script] = {} if scripts is None else scripts
        self.scheme = "https" if tls else "http"
        self._port = port
        self._tls = tls
        self._chances = None if chunking is None else random.Random(chunking)
        self._manners = manners
        self._server: asyncio.Server | None = None
        self._handlers: set[asyncio.Task[None]] = set()
        self._mistakes: list[Exception] = []

    def file(self, path: str, **options: Any) -> Script:  # noqa: ANN401
        """Serve `path` by a Script of these options; the script is returned and may be changed."""
        self.scripts[path] = script = Script(**options)
        return script

    def url(self, path: str = "", host: str = "127.0.0.1") -> str:
        return f"{self.scheme}://{host}:{self._port}{path}"

    def ranges(self, path: str) -> list[str | None]:
        """The Range fields of the GET requests for `path`, in order."""
        return [request.range for request in self.requests if request.path == path and request.method == "GET"]

    async def __aenter__(self) -> Self:
        tls = self._tls if self._manners == "serve" else None
        self._server = await asyncio.start_server(self._handle, "127.0.0.1", self._port, ssl=tls, backlog=1024)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for handler in self._handlers:
            handler.cancel()
        if self._handlers:
            await asyncio.wait(self._handlers)
        await asyncio.sleep(0)
        if self._mistakes:
            raise ExceptionGroup("the origin itself is wrong", self._mistakes)

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handler = asyncio.current_task()
        assert handler is not None
        self._handlers.add(handler)
        try:
            await self._converse(reader, Wire(writer, self._chances))
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client went away; that is its right
        except asyncio.CancelledError:
            writer.transport.abort()
        except Exception as error:  # noqa: BLE001 - asyncio would log it, and the test would go on
            self._mistakes.append(error)
        finally:
            writer.close()
            self._handlers.discard(handler)

    async def _converse(self, reader: asyncio.StreamReader, wire: Wire) -> None:
        if self._manners != "serve":
            if self._manners == "silence":
                await self._stall(reader)
            return
        while (request := await _read_request(reader, wire)) is not None:
            self.requests.append(request)
            script = self.scripts.get(request.path.partition("?")[0])
            if not await self._answer(request, script or Script(statuses=[404]), reader, wire):
                return

    async def _answer(self, request: Request, script: Script, reader: asyncio.StreamReader, wire: Wire) -> bool:
        """Whether the connection may be used again."""
        if script.stall_after == -1 and script.uses_up("stall_times"):
            await self._stall(reader)
            return False
        if script.drop_after == -1 and script.uses_up("drop_times"):
            wire.break_off(script.drop_by)
            return False
        if script.garbage_head and script.uses_up("garbage_times"):
            await wire.send(script.garbage_head)
            return False
        found = plan(request, script, self.url())
        await self._send_head(found, script, wire)
        if not found.has_body:
            return True
        if not found.is_file:
            await wire.send(found.content.read())
            return True
        await self._send_body(found, script, reader, wire)
        return script.framing != "close" and not script.http10

    async def _send_head(self, found: Plan, script: Script, wire: Wire) -> None:
        row = b"".join(b"HTTP/1.1 %d Meanwhile\r\nX-Interim: 1\r\n\r\n" % status for status in script.interim)
        if row:
            await wire.send(row * script.interim_times)
        head = found.head("1.0" if script.http10 and found.is_file else "1.1")
        if script.filler_line:
            head = head[:-2] + b"X-Filler: " + b"f" * script.filler_line + b"\r\n\r\n"
        if script.filler_fields:
            await wire.send(head[:-2])
            for _ in range(0, script.filler_fields, 64 * len(FILLER)):
                await wire.send(64 * FILLER)
            head = b"\r\n"
        await wire.send(head, script.head_rate)

    async def _send_body(self, found: Plan, script: Script, reader: asyncio.StreamReader, wire: Wire) -> None:
        start = found.start
        may_drop = script.drop_after is not None and script.drop_after >= 0 and script.uses_up("drop_times")
        drop = start + (script.drop_after or 0) if may_drop else None
        may_stall = script.stall_after is not None and script.stall_after >= 0 and script.uses_up("stall_times")
        stall = start + (script.stall_after or 0) if may_stall else None
        may_garble = script.bad_chunk_after is not None and script.uses_up("bad_chunk_times")
        garble = start + (script.bad_chunk_after or 0) if may_garble else None
        last = found.end - script.short_by
        stop = min(point for point in (last, drop, stall, garble) if point is not None)
        is_chunked = script.framing == "chunked"
        for piece in found.content.pieces(start, stop):
            if is_chunked:
                await wire.send_chunk(piece, script.chunk_extension, script.rate)
            else:
                await wire.send(piece, script.rate)
        if stall == stop:
            await self._stall(reader)
            raise ConnectionResetError
        if drop == stop or script.short_by:
            wire.break_off(script.drop_by)
            raise ConnectionResetError
        if garble == stop:
            await wire.send(b"zz\r\nthis is no chunk\r\n")
            raise ConnectionResetError
        if script.extra:
            await (wire.send_chunk(script.extra) if is_chunked else wire.send(script.extra))
        if is_chunked:
            await wire.send(b"0%b\r\n%b\r\n" % (script.chunk_extension, script.trailers))

    async def _stall(self, reader: asyncio.StreamReader) -> None:
        """Silence until the client gives up."""
        self.stalled.set()
        while await reader.read(1 << 16):
            pass


async def _read_request(reader: asyncio.StreamReader, wire: Wire) -> Request | None:
    try:
        head = await reader.readexactly(1)
        if head == HANDSHAKE:
            await wire.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            return None
        head += await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    method, path, _ = first.split(" ", 2)
    pairs = (line.partition(":") for line in lines)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, path, headers)


if __name__ == "__main__":
    from tests.origin_cli import main

    main()
