"""Bytes to bitsd's socket and what comes back: for requests that no client library would send.

`Asker` is a client for whoever a test wants to be: it runs as another user, in a process of its own.
"""

import asyncio
import contextlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.process import Bitsd, Document

NOTHING: Mapping[str, str] = MappingProxyType({})
GROWTH = 12.0
"""MiB by which a process may grow while it is sent bad input."""
PROBLEM = {"type", "title", "status", "detail", "code", "hresult"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; `status` 0 = the connection was closed without a word."""

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def document(self) -> Document:
        found: Document = json.loads(self.body)
        return found

    def flaw(self, status: int | None = None, code: str | None = None, name: str | None = None) -> str:
        """What is wrong with this as the refusal of a request; empty = nothing."""
        if self.headers.get("content-type", "").partition(";")[0] != "application/problem+json":
            return f"{self.status} {self.headers.get('content-type')} {self.body[:200]!r}"
        document = self.document
        is_whole = document.keys() >= PROBLEM and document["status"] == self.status >= 400
        found = document["status"], document["code"], document.get("field")
        wanted = status or found[0], code or found[1], name or found[2]
        is_clear = 0 < len(document["detail"]) < 1000 and document["hresult"].startswith("0x")
        return "" if is_whole and is_clear and found == wanted and found[0] != 500 else f"{document}, not {wanted}"


def request(method: str, path: str, body: bytes | None = None, **fields: str) -> bytes:
    """A well-formed request that closes its connection; an underscore in a field's name stands for a hyphen."""
    head = {"Host": "bitsd", "Connection": "close"} | {name.replace("_", "-"): text for name, text in fields.items()}
    if body is not None:
        head = {"Content-Length": str(len(body)), "Content-Type": "application/json"} | head
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + (body or b"")


async def send(bitsd: Bitsd, data: bytes, *, is_end: bool = False) -> Answer:
    """What the service says to these bytes until it closes; `is_end`: nothing more will come from us."""
    reader, writer = await asyncio.open_unix_connection(bitsd.socket)
    try:
        with contextlib.suppress(ConnectionError):  # it may close while we still talk: that is an answer
            writer.write(data)
            if is_end:
                writer.write_eof()
            await writer.drain()
        return parsed(await _everything(reader))
    finally:
        writer.close()


async def _everything(reader: asyncio.StreamReader) -> bytes:
    data = b""
    with contextlib.suppress(ConnectionError):
        while piece := await reader.read(1 << 16):
            data += piece
    return data


def parsed(data: bytes) -> Answer:
    head, _, body = data.partition(b"\r\n\r\n")
    if not head:
        return Answer()
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return Answer(int(first.split(" ")[1]), {name.lower(): value.strip() for name, _, value in pairs}, body)


async def snapshot(bitsd: Bitsd) -> object:
    return await bitsd.ok("GET", "/v1/jobs?include=files"), await bitsd.ok("GET", "/v1/events")


@asynccontextmanager
async def unharmed(home: Path, first: Sequence[bytes] = ()) -> AsyncIterator[Bitsd]:
    """A service that must be as it was in the end: same process, no traceback, no memory lost.

    `first` is sent while memory is measured: after big buffers the C library keeps now more, now less for itself.
    """
    async with Bitsd(home) as service:
        pid, memory = service.pid, await _least(service, first)
        yield service
        assert (await service.ok("GET", "/v1"))["name"] == "bitsd"
        assert service.pid == pid
        assert "Traceback" not in service.log, service.log
        assert "ERROR" not in service.log, service.log
        assert await _least(service, first) - memory < GROWTH


async def _least(service: Bitsd, first: Sequence[bytes]) -> float:
    sizes = [service.memory()]
    for data in [*first] * 5:
        await send(service, data)
        sizes.append(service.memory())
    return min(sizes)


ASK = """
import http.client, json, os, socket, sys
path, uid = sys.argv[1], int(sys.argv[2])
if uid != os.geteuid():
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)
class Connection(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(path)
for line in sys.stdin:
    method, target, body, headers = json.loads(line)
    connection = Connection("bitsd")
    connection.request(method, target, None if body is None else json.dumps(body), headers)
    reply = connection.getresponse()
    print(json.dumps([reply.status, json.loads(reply.read() or "null")]), flush=True)
    connection.close()
"""


class Asker:
    """Calls the service as another user; as ourselves when we may not be anybody else (`uid` says who it became)."""

    def __init__(self, bitsd: Bitsd, uid: int) -> None:
        self.uid = uid if os.geteuid() == 0 else os.geteuid()
        self._socket = bitsd.socket
        self._process: asyncio.subprocess.Process | None = None

    async def call(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] = NOTHING
    ) -> tuple[int, Any]:
        if self._process is None:
            pipe = asyncio.subprocess.PIPE
            command = sys.executable, "-I", "-S", "-c", ASK, self._socket, str(self.uid)
            self._process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([method, path, body, dict(headers)]).encode() + b"\n")
        status, document = json.loads(await self._process.stdout.readline())
        return status, document

    async def ok(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - a document
        status, document = await self.call(method, path, body)
        assert status < 300, document
        return document

    async def close(self) -> None:
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            await self._process.wait()


@asynccontextmanager
async def asker(bitsd: Bitsd, uid: int) -> AsyncIterator[Asker]:
    made = Asker(bitsd, uid)
    try:
        yield made
    finally:
        await made.close()


@contextmanager
def public_home() -> Iterator[Path]:
    """A directory that every user can reach, unlike pytest's own."""
    home = tempfile.mkdtemp(prefix="bitsd")
    try:
        os.chmod(home, 0o755)
        yield Path(home)
    finally:
        shutil.rmtree(home)
