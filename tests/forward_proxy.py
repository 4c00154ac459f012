"""A forward proxy for tests: absolute-form requests for http, CONNECT for https, with or without a password.

    async with ForwardProxy(auth=Auth()) as proxy:
        ... fetch through proxy.url ...
        assert [request.method for request in proxy.requests] == ["CONNECT", "CONNECT"]

Raw sockets: what the origin sends, how it ends and how it breaks reaches the client untouched. The proxy's own answers
are 407 without the right password and 502 when the origin cannot be reached.
"""

import asyncio
import socket
from contextlib import suppress
from types import TracebackType
from typing import Literal, Self
from urllib.parse import urlsplit

from tests.origin_auth import Auth
from tests.origin_script import Request
from tests.origin_wire import RESET

FAULTS = Literal["", "close", "close-after-connect", "status-502", "status-403", "garbage", "silence"]
ANSWERS = {
    "status-502": b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\n\r\nno\n",
    "status-403": b"HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\n\r\nno\n",
    "garbage": b"\x00\x01\x02 what is this?\r\n\r\n",
}
BAD_GATEWAY = ANSWERS["status-502"]
ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


class _ClosedError(Exception):
    """A client or an origin is done."""


class ForwardProxy:
    """`requests` has what it was asked, `path` being the target as it came. `fault`: what it does instead."""

    def __init__(self, port: int = 0, *, auth: Auth | None = None, fault: FAULTS = "") -> None:
        self.requests: list[Request] = []
        self._port = port
        self._auth = auth
        self._fault = fault
        self._server: asyncio.Server | None = None
        self._listener = socket.socket()
        self._work: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def __aenter__(self) -> Self:
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("127.0.0.1", self._port))
        self._listener.listen(1024)
        self._listener.setblocking(False)
        self._port = self._listener.getsockname()[1]
        self._work = asyncio.create_task(self._accept())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._work is not None
        self._work.cancel()
        with suppress(asyncio.CancelledError):
            await self._work
        self._listener.close()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            while True:
                connection, _ = await loop.sock_accept(self._listener)
                connection.setblocking(False)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                group.create_task(self._serve(connection))

    async def _serve(self, connection: socket.socket) -> None:
        client = _Heads(connection)
        with connection, suppress(_ClosedError, OSError):
            request = await self._admitted(client)
            if self._fault:
                await self._misbehave(client)
            host, _, port = _authority(request).rpartition(":")
            with socket.socket() as upstream:
                if await _is_connected(upstream, host.strip("[]"), int(port)):
                    await self._relay(request, client, upstream)
                else:
                    await client.send(BAD_GATEWAY)

    async def _relay(self, request: Request, client: "_Heads", upstream: socket.socket) -> None:
        """Both ways until both are done; a reset on one side is a reset on the other."""
        try:
            async with asyncio.TaskGroup() as group:
                if request.method == "CONNECT":
                    await client.send(ESTABLISHED)
                    group.create_task(_pump(client.connection, upstream, client.rest()))
                    group.create_task(_pump(upstream, client.connection))
                else:
                    group.create_task(self._forward(request, client, upstream))
                    await self._answer(upstream, client)
        except* ConnectionResetError:
            for connection in (client.connection, upstream):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        except* (OSError, _ClosedError):
            pass

    async def _forward(self, first: Request, client: "_Heads", upstream: socket.socket) -> None:
        """Each request as the origin expects it; the replies pass by unread, so a client may not change the origin."""
        loop = asyncio.get_running_loop()
        request = first
        while True:
            await loop.sock_sendall(upstream, _origin_form(request))
            request = await self._admitted(client)
            if _authority(request) != _authority(first):
                raise _ClosedError

    async def _answer(self, upstream: socket.socket, client: "_Heads") -> None:
        """Replies to requests without a tunnel: the client's connection ends with the origin's."""
        await _pump(upstream, client.connection)
        raise _ClosedError

    async def _admitted(self, client: "_Heads") -> Request:
        """The next request that has the password, if one is needed."""
        while True:
            request = await client.read()
            self.requests.append(request)
            if self._auth is None:
                return request
            verdict = self._auth.judge(request.headers.get("proxy-authorization"), request.method, request.path)
            if verdict == "welcome":
                return request
            fields = [f"Proxy-Authenticate: {text}" for text in self._auth.challenges(is_stale=verdict == "stale")]
            fields.append(f"Content-Length: {len(self._auth.body)}")
            head = "\r\n".join(["HTTP/1.1 407 Proxy Authentication Required", *fields]) + "\r\n\r\n"
            await client.send(head.encode() + self._auth.body)

    async def _misbehave(self, client: "_Heads") -> None:
        if self._fault == "close-after-connect":
            await client.send(ESTABLISHED)
        elif self._fault == "silence":
            await client.read()
        elif self._fault != "close":
            await client.send(ANSWERS[self._fault])
        raise _ClosedError


class _Heads:
    """A client's connection, read request by request (none of them has a body)."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._buffer = b""

    def rest(self) -> bytes:
        """What came after the last request."""
        rest, self._buffer = self._buffer, b""
        return rest

    async def read(self) -> Request:
        loop = asyncio.get_running_loop()
        while b"\r\n\r\n" not in self._buffer:
            data = await loop.sock_recv(self.connection, 1 << 16)
            if not data:
                raise _ClosedError
            self._buffer += data
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ", 2)
        pairs = (line.partition(":") for line in lines)
        return Request(method, target, {name.lower(): value.strip() for name, _, value in pairs})

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.connection, data)


def _authority(request: Request) -> str:
    """`host:port` of the origin that is asked for."""
    if request.method == "CONNECT":
        return request.path
    parts = urlsplit(request.path)
    return f"{parts.hostname}:{parts.port or 80}"


def _origin_form(request: Request) -> bytes:
    parts = urlsplit(request.path)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    kept = {name: value for name, value in request.headers.items() if not name.startswith("proxy-")}
    lines = [f"{request.method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in kept.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


async def _is_connected(upstream: socket.socket, host: str, port: int) -> bool:
    """Connect it; whether that was possible."""
    loop = asyncio.get_running_loop()
    upstream.setblocking(False)
    upstream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        found = await loop.getaddrinfo(host, port, family=socket.AF_INET, type=socket.SOCK_STREAM)
        await loop.sock_connect(upstream, found[0][4])
    except OSError:
        return False
    return True


async def _pump(source: socket.socket, target: socket.socket, data: bytes = b"") -> None:
    """Bytes of one direction, and its end."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(target, data)
    while data := await loop.sock_recv(source, 1 << 16):
        await loop.sock_sendall(target, data)
    target.shutdown(socket.SHUT_WR)
