"""Requests as fast as a server answers them, on connections that stay open: one in flight on each.

A plain epoll loop, because an HTTP client library would cost more CPU than the server that is measured.
"""

import re
import select
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
Connect = Callable[[], socket.socket]


@dataclass(slots=True)
class Load:
    """What came of it: the seconds of all, and of each request; the body of the last reply."""

    wall: float = 0
    latencies: list[float] = field(default_factory=list)
    last: bytes = b""

    @property
    def rate(self) -> float:
        """Requests per second."""
        return len(self.latencies) / self.wall

    def percentile(self, share: float) -> float:
        """Seconds that this share of the requests did not exceed."""
        return sorted(self.latencies)[int(share * (len(self.latencies) - 1))]


@dataclass(slots=True)
class _Lane:
    connection: socket.socket
    sent: float = 0
    reply: bytearray = field(default_factory=bytearray)

    @property
    def body(self) -> bytes:
        """Of the reply, once it is whole."""
        return bytes(self.reply).partition(b"\r\n\r\n")[2]

    def send(self, requests: Iterator[bytes]) -> bool:
        """The next request; False = there is none."""
        request = next(requests, None)
        if request is None:
            return False
        self.reply.clear()
        self.sent = time.perf_counter()
        self.connection.sendall(request)
        return True

    def receive(self) -> bool:
        """Whether the reply is whole now. Raises RuntimeError when it is a refusal."""
        data = self.connection.recv(1 << 18)
        self.reply += data
        end = self.reply.find(b"\r\n\r\n")
        found = LENGTH.search(self.reply, 0, end + 2) if end >= 0 else None
        is_whole = found is not None and len(self.reply) >= end + 4 + int(found[1])
        if not data or (is_whole and self.reply[9:10] != b"2"):
            raise RuntimeError(f"the server refused a request: {bytes(self.reply[:500])!r}")
        return is_whole


def load(connect: Connect, requests: Iterable[bytes], lanes: int) -> Load:
    """Send them all, on `lanes` connections. Raises RuntimeError when one is refused."""
    line = iter(requests)
    found = Load()
    open_lanes = {}
    poll = select.epoll()
    try:
        for _ in range(lanes):
            lane = _Lane(connect())
            open_lanes[lane.connection.fileno()] = lane
            poll.register(lane.connection, select.EPOLLIN)
        began = time.perf_counter()
        busy = sum(lane.send(line) for lane in open_lanes.values())
        while busy:
            for descriptor, _ in poll.poll():
                lane = open_lanes[descriptor]
                if lane.receive():
                    found.latencies.append(time.perf_counter() - lane.sent)
                    found.last = lane.body
                    busy -= not lane.send(line)
        found.wall = time.perf_counter() - began
        return found
    finally:
        poll.close()
        for lane in open_lanes.values():
            lane.connection.close()


def request(method: str, path: str, body: bytes = b"") -> bytes:
    """The bytes of a request."""
    return f"{method} {path} HTTP/1.1\r\nHost: bitsd\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def unix(path: str) -> Connect:
    """Connections to a Unix socket."""

    def connect() -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(path)
        return connection

    return connect


def tcp(port: int) -> Connect:
    """Connections to a port of this machine."""

    def connect() -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    return connect
