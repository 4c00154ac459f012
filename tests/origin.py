"""A loopback HTTP server that can lie in every way a real one does.

    async with Origin() as origin:
        file = origin.file("/a.bin", size=1_000_000, drop_after=300_000)
        ... fetch origin.url("/a.bin") ...
        assert [r.range for r in origin.requests] == [None, "bytes=300000-"]
        assert received == file.content.read()

All options are in tests/origin_script.py. From the command line:

    python -m tests.origin --port 8080 --file /a.bin size=1000000 drop_after=300000 'etag=W/"weak"'
"""

import argparse
import ast
import asyncio
import re
import ssl
import sys
from types import TracebackType
from typing import Any, Self

from tests.origin_script import Content, Request, Script

RANGE = re.compile(r"bytes=(\d+)-(\d*)")


class Origin:
    """The server. `requests` has every request in order of arrival; `stalled` is set when a stall begins."""

    def __init__(self, port: int = 0, *, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Request] = []
        self.stalled = asyncio.Event()
        self.scripts: dict[str, Script] = {}
        self._port = port
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._handlers: set[asyncio.Task[None]] = set()

    def file(self, path: str, **options: Any) -> Script:  # noqa: ANN401
        """Serve `path` by a Script of these options; the script is returned and may be changed."""
        self.scripts[path] = script = Script(**options)
        return script

    def url(self, path: str) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._port}{path}"

    def ranges(self, path: str) -> list[str | None]:
        """The Range fields of the GET requests for `path`, in order."""
        return [request.range for request in self.requests if request.path == path and request.method == "GET"]

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port, ssl=self._tls)
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

    async def serve_forever(self) -> None:
        assert self._server is not None
        await self._server.serve_forever()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handler = asyncio.current_task()
        assert handler is not None
        self._handlers.add(handler)
        try:
            while (request := await _read_request(reader)) is not None:
                self.requests.append(request)
                script = self.scripts.get(request.path.partition("?")[0])
                if not await self._answer(request, script or Script(statuses=[404]), reader, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client went away; that is its right
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            writer.close()
            self._handlers.discard(handler)

    async def _answer(
        self, request: Request, script: Script, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Whether the connection may be used again."""
        if script.stall_after == -1 and script.may_stall():
            await self._stall(reader)
            return False
        if script.garbage_head:
            writer.write(script.garbage_head)
            await writer.drain()
            return False
        special = _special(script)
        if special is not None:
            script.served += 1
            writer.write(special)
            await writer.drain()
            return True
        status, start, end, fields = _plan(request, script)
        content = script.content
        script.served += 1
        writer.write(_head(status, fields, script))
        await writer.drain()
        if request.method == "HEAD" or status == 416:
            return True
        await self._send_body(content, (start, end), script, reader, writer)
        return script.framing != "close" and not script.http10

    async def _send_body(
        self,
        content: Content,
        span: tuple[int, int],
        script: Script,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        start, end = span
        drop = start + script.drop_after if script.drop_after is not None and script.may_drop() else None
        will_stall = script.stall_after != -1 and script.may_stall()
        stall = start + script.stall_after if will_stall and script.stall_after is not None else None
        last = end - script.short_by
        is_chunked = script.framing == "chunked"
        stop = min(point for point in (last, drop, stall) if point is not None)
        for piece in content.pieces(start, stop):
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if is_chunked else piece)
            await writer.drain()
            if script.rate:
                await asyncio.sleep(len(piece) / script.rate)
        if stall == stop:
            await self._stall(reader)
            raise ConnectionResetError
        if drop == stop or script.short_by:
            if script.drop_by_reset:
                writer.transport.abort()
            raise ConnectionResetError
        if script.extra:
            writer.write(b"%x\r\n%b\r\n" % (len(script.extra), script.extra) if is_chunked else script.extra)
        if is_chunked:
            writer.write(b"0\r\n\r\n")
        await writer.drain()

    async def _stall(self, reader: asyncio.StreamReader) -> None:
        """Silence until the client gives up."""
        self.stalled.set()
        while await reader.read(1 << 16):
            pass


async def _read_request(reader: asyncio.StreamReader) -> Request | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    method, path, _ = first.split(" ", 2)
    pairs = (line.partition(":") for line in lines)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, path, headers)


def _special(script: Script) -> bytes | None:
    """A reply that is not the file: a status of the sequence, or a redirect."""
    fields = {"Content-Length": "0"}
    if script.statuses:
        status = script.statuses.pop(0)
        if script.retry_after is not None:
            fields["Retry-After"] = script.retry_after
    elif script.redirect is not None:
        status = script.redirect_status
        fields["Location"] = script.redirect
    else:
        return None
    return _head(status, fields | script.headers, Script())


def _plan(request: Request, script: Script) -> tuple[int, int, int, dict[str, str]]:
    """Status, start and end of the body, and the header fields of a reply that serves the file."""
    size = script.content.size
    etag, last_modified = script.validators
    fields = {"ETag": etag or "", "Last-Modified": last_modified or ""}
    fields["Accept-Ranges"] = "" if script.no_range else "bytes"
    asked = None if script.no_range else RANGE.fullmatch(request.range or "")
    condition = request.headers.get("if-range")
    if condition is not None and not script.ignore_if_range and condition not in {etag, last_modified}:
        asked = None
    status, start, end = 200, 0, size
    if asked is not None:
        start = int(asked[1])
        if start >= size:
            fields |= {"Content-Range": f"bytes */{size}", "Content-Length": "0"}
            return 416, 0, 0, fields | script.headers
        start = max(0, start + script.range_shift)
        end = min(int(asked[2]) + 1 if asked[2] else size, size)
        if script.range_limit is not None:
            end = min(end, start + script.range_limit)
        status = 206
        true_range = f"bytes {start}-{end - 1}/{size}"
        fields["Content-Range"] = true_range if script.content_range is None else script.content_range
    if script.framing == "length":
        fields["Content-Length"] = str(end - start)
    elif script.framing == "chunked":
        fields["Transfer-Encoding"] = "chunked"
    return status, start, end, fields | script.headers


def _head(status: int, fields: dict[str, str], script: Script) -> bytes:
    version = "1.0" if script.http10 else "1.1"
    if script.framing == "close" or script.http10:
        fields = {"Connection": "close"} | fields
    lines = [f"HTTP/{version} {status} Whatever", *(f"{name}: {value}" for name, value in fields.items() if value)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _value(text: str) -> object:
    try:
        value: object = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
    return value


async def _main() -> None:
    parser = argparse.ArgumentParser(description="A loopback HTTP server that can lie")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--file", nargs="+", action="append", default=[], metavar="PATH OPTION=VALUE")
    arguments = parser.parse_args()
    async with Origin(arguments.port) as origin:
        for path, *options in arguments.file:
            pairs = (option.partition("=") for option in options)
            origin.file(path, **{name: _value(value) for name, _, value in pairs})
            sys.stdout.write(origin.url(path) + "\n")
        sys.stdout.flush()
        await origin.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main())
