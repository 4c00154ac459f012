"""Clients in processes of their own: many that follow the events, and one that calls with a stopwatch.

python -m tests.acceptance.crowd streams SOCKET TARGET...     a stream for each, read as it comes
python -m tests.acceptance.crowd calls SOCKET JOB             one call after the other, each on a new connection

Both say `ready`, go on until their input ends, and then print what they saw as JSON.
"""

import asyncio
import http.client
import json
import resource
import selectors
import socket
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from tests.process import Bitsd

STREAM = "GET {} HTTP/1.1\r\nHost: bitsd\r\nAccept: text/event-stream\r\n\r\n"


def connect(path: str, data: bytes) -> socket.socket:
    """A connection on which this was sent."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    connection.sendall(data)
    return connection


def open_stream(path: str, target: str) -> socket.socket:
    """A stream whose head was read, and nothing behind it: the first events may come together with it."""
    connection, head = connect(path, STREAM.format(target).encode()), b""
    while not head.endswith(b"\r\n\r\n"):
        byte = connection.recv(1)
        assert byte, head
        head += byte
    assert head.startswith(b"HTTP/1.1 200")
    return connection


def raise_file_limit() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@asynccontextmanager
async def streams(bitsd: Bitsd, targets: Sequence[str]) -> AsyncIterator[Callable[[], Any]]:
    """That many streams, open from now on; the call ends them and gives the bytes each target got."""
    async with _process("streams", bitsd.socket, *targets) as result:
        yield result


@asynccontextmanager
async def calls(bitsd: Bitsd, job_id: str) -> AsyncIterator[Callable[[], Any]]:
    """A client that calls all the time; the call ends it and gives [name, when, seconds] of each call."""
    async with _process("calls", bitsd.socket, job_id) as result:
        yield result


@asynccontextmanager
async def _process(*arguments: str) -> AsyncIterator[Callable[[], Any]]:
    pipe = asyncio.subprocess.PIPE
    command = sys.executable, "-m", "tests.acceptance.crowd", *arguments
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, limit=1 << 24)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert await process.stdout.readline() == b"ready\n"

        async def result() -> Any:  # noqa: ANN401 - what main printed
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.close()
            return json.loads(await process.stdout.readline())

        yield result
    finally:
        process.stdin.close()
        await process.wait()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _follow(path: str, targets: Sequence[str]) -> dict[str, int]:
    raise_file_limit()
    seen: dict[str, int] = defaultdict(int)
    with selectors.DefaultSelector() as selector:
        for target in targets:
            selector.register(open_stream(path, target), selectors.EVENT_READ, target)
        selector.register(sys.stdin, selectors.EVENT_READ)
        _say("ready")
        while True:
            for key, _ in selector.select():
                if key.data is None:
                    return seen
                data = key.fileobj.recv(1 << 16)  # type: ignore[union-attr]
                assert data, f"{key.data} ended"
                seen[key.data] += len(data)


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("bitsd")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


def _call(path: str, job_id: str) -> list[tuple[str, float, float]]:
    job = f"/v1/jobs/{job_id}"
    calls = ("GET", "/v1"), ("GET", job), ("POST", "/v1/jobs"), ("PATCH", job)
    bodies = {"POST": {"display_name": "of many"}, "PATCH": {"description": "new"}}
    took: list[tuple[str, float, float]] = []
    with selectors.DefaultSelector() as selector:
        selector.register(sys.stdin, selectors.EVENT_READ)
        _say("ready")
        while not selector.select(0.005):  # a client among others, not a load of its own
            for method, target in calls:
                bodies["PATCH"] = {"description": str(len(took))}
                began = time.monotonic()
                connection = _Connection(path)
                connection.request(method, target, json.dumps(bodies[method]) if method in bodies else None)
                reply = connection.getresponse()
                content = reply.read()
                connection.close()
                took.append((f"{method} {target}", began, time.monotonic() - began))
                assert reply.status < 300, content
    return took


if __name__ == "__main__":
    what, path, *more = sys.argv[1:]
    _say(json.dumps(_follow(path, more) if what == "streams" else _call(path, *more)))
