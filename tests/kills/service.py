"""The service under the knife: started by a nursery, so often and so fast as it is killed; ends at a chosen point.

Owns the process. Refuses to know what it does; who talks to it is a session that ends when it does.
"""

import asyncio
import json
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp

from tests.kills.moments import Point, count
from tests.process import Bitsd, Document


class GoneError(Exception):
    """The service ended before it answered: what was asked for may have happened or not."""


class Nursery:
    """One service at a time comes from it."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None

    async def bear(self, order: Document) -> tuple[int, "asyncio.Task[int]"]:
        """The pid of a new service, and its exit code to be."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        return await self._number(), asyncio.create_task(self._number())

    async def _number(self) -> int:
        assert self._process is not None
        assert self._process.stdout is not None
        return int(await self._process.stdout.readline())

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.kills.nursery", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()


class Service(Bitsd):
    """`async with` starts it, and kills it in the end."""

    def __init__(self, home: Path, nursery: Nursery, **environment: str) -> None:
        super().__init__(home, **environment)
        self.crash_at: Point | None = None
        """Of the next start."""
        self._nursery = nursery
        self._pid = 0
        self._exit: asyncio.Task[int] | None = None

    @property
    def pid(self) -> int:
        return self._pid

    @property
    def moments(self) -> Counter[str]:
        """How many there were of each kind in this life."""
        return count(self.home / "moments")

    @property
    def is_running(self) -> bool:
        return self._exit is not None and not self._exit.done()

    async def begin(self) -> None:
        """Returns when the process exists."""
        assert not self.is_running
        crash = {} if self.crash_at is None else {"CRASH_AT": str(self.crash_at)}
        (self.home / "moments").unlink(missing_ok=True)
        self._pid, self._exit = await self._nursery.bear(
            {
                "arguments": ["--socket", self.socket, "--state-dir", str(self.home / "state"), *self.arguments],
                "environment": self.environment | crash | {"MOMENTS_LOG": str(self.home / "moments")},
                "log": str(self.home / "log"),
            }
        )

    async def answers(self) -> None:
        """Returns when it does. Raises GoneError."""
        while True:
            try:
                await self.call("GET", "/v1")
            except (aiohttp.ClientConnectionError, OSError):
                if not self.is_running:
                    raise GoneError from None
                await asyncio.sleep(0.01)  # a start is announced nowhere else than on the socket itself
            else:
                return

    async def start(self) -> None:
        await self.begin()
        await self.answers()

    async def end(self, within: float | None = None) -> int | None:
        """Wait for the end: the exit code, None if it does not come in so many seconds."""
        assert self._exit is not None
        await asyncio.wait({self._exit}, timeout=within)
        return self._exit.result() if self._exit.done() else None

    async def signal(self, number: int) -> int:
        if self.is_running:
            os.kill(self._pid, number)
        code = await self.end()
        assert code is not None
        return code

    def session(self) -> "Session":
        """For one client, until the service is gone."""
        return Session(self.socket)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.kill()


class Session:
    """A client's connection. Everything raises GoneError once the service does not answer any more."""

    def __init__(self, socket: str) -> None:
        self._session = aiohttp.ClientSession(connector=aiohttp.UnixConnector(socket), base_url="http://bitsd")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def call(
        self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Document]:
        """Status and document."""
        try:
            async with self._session.request(method, path, json=body, headers=headers) as response:
                return response.status, await response.json(content_type=None)
        except (aiohttp.ClientError, OSError, json.JSONDecodeError):
            raise GoneError from None

    async def ok(self, method: str, path: str, body: object = None) -> Document:
        """A call that nothing but the end of the service can make fail. Raises GoneError."""
        status, document = await self.call(method, path, body)
        if status == 503:  # it stops
            raise GoneError
        assert status < 300, document
        return document

    async def lines(self, path: str, last_id: int) -> AsyncIterator[bytes]:
        """Of an event stream that goes on after the event `last_id`."""
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(last_id)}
        try:
            async with self._session.get(path, headers=headers, timeout=None) as response:
                async for line in response.content:
                    yield line
        except (aiohttp.ClientError, OSError):
            pass
        raise GoneError
