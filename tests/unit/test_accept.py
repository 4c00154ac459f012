"""The door: what accept() and the setting up of a connection can do wrong, one after the other."""

import asyncio
import errno
import select
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from daemon.accept import Acceptor


class Door(socket.socket):
    """A listening socket whose `accept` first raises what it is given, if somebody is there; None = takes him in."""

    def __init__(self, path: Path, *faults: BaseException | None) -> None:
        super().__init__(socket.AF_UNIX, socket.SOCK_STREAM)
        self.faults = list(faults)
        self.bind(str(path))
        self.settimeout(0)

    def accept(self) -> tuple[socket.socket, Any]:
        if self.faults and select.select([self], [], [], 0)[0]:
            fault = self.faults.pop(0)
            if fault is not None:
                raise fault
        return super().accept()


class Echo(asyncio.Protocol):
    """Says back what it hears."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)


@asynccontextmanager
async def opened(door: Door, make_protocol: type[asyncio.Protocol] = Echo) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        acceptor = Acceptor(door, make_protocol, group)
        acceptor.start()
        yield
        acceptor.close()


async def ask(path: Path, words: bytes = b"hello") -> bytes:
    """What comes first from the door; without `words` for somebody who only listens."""
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        writer.write(words)
        return await reader.read(1 << 16)
    finally:
        writer.close()


FULL = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS)


@pytest.mark.parametrize("fault", [*(OSError(number, "full") for number in FULL), MemoryError()], ids=str)
async def test_one_caller_is_turned_away_and_the_next_is_served(tmp_path: Path, fault: BaseException) -> None:
    async with opened(Door(tmp_path / "s", fault)):
        assert (await ask(tmp_path / "s", b"")).startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        assert await ask(tmp_path / "s") == b"hello"


async def test_when_nobody_can_be_turned_away_the_caller_is_served_a_little_later(tmp_path: Path) -> None:
    async with opened(Door(tmp_path / "s", OSError(errno.ENFILE, "full"), OSError(errno.ENFILE, "full"))):
        assert await ask(tmp_path / "s") == b"hello"


@pytest.mark.parametrize("fault", [ConnectionAbortedError(), InterruptedError(), BlockingIOError()], ids=repr)
async def test_one_who_has_left_again_is_nobody_to_turn_away(
    tmp_path: Path, fault: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(Door(tmp_path / "s", fault)):
        assert await ask(tmp_path / "s") == b"hello"
    assert caplog.text == ""


async def test_a_burst_is_one_line_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with opened(Door(tmp_path / "s", *[OSError(errno.EMFILE, "full"), None] * 20)):
        answers = [await ask(tmp_path / "s", b"") for _ in range(20)]
        assert all(b" 503 " in answer for answer in answers)
    assert caplog.text.count("turns callers away") == 1


async def test_a_connection_that_cannot_be_set_up_is_the_end_of_that_one_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    troubles: Iterator[Exception] = iter([MemoryError(), RuntimeError("can't start new thread"), OSError("epoll")])

    class Fragile(Echo):
        def __init__(self) -> None:
            for trouble in troubles:
                raise trouble

    async with opened(Door(tmp_path / "s"), Fragile):
        assert [await ask(tmp_path / "s", b"") for _ in range(3)] == [b"", b"", b""]
        assert await ask(tmp_path / "s") == b"hello"
    assert caplog.text.count("cannot serve a caller") == 3


async def test_after_the_close_nobody_comes_in_and_who_is_in_stays(tmp_path: Path) -> None:
    async with opened(Door(tmp_path / "s")):
        reader, writer = await asyncio.open_unix_connection(tmp_path / "s")
        writer.write(b"hello")
        assert await reader.read(100) == b"hello"
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_unix_connection(tmp_path / "s")
    writer.write(b"again")
    assert await reader.read(100) == b"again"
    writer.close()
