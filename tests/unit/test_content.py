"""What a reader may be sent, and the race it must win: the file begins anew in the moment in which it is read."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from daemon.api.content import _Stream, ready
from daemon.api.ranges import Part
from jobqueue.errors import RefusedError
from jobqueue.job import File
from jobqueue.reports import RemoteFacts
from tests.builders import a_file

OLD = a_file(size=100, offset=50, generation=1)


@dataclass
class View:
    """What is on record, before and after a look."""

    file: File = OLD
    committed: File = OLD
    landed: int = 50

    async def look(self) -> None:
        self.file = self.committed

    def gone(self, why: str) -> RefusedError:
        return RefusedError("CONTENT_GONE", why)


@dataclass
class Disk:
    """Something happens while its bytes are read."""

    happens: Callable[[], None]
    data: bytes = b"x" * 50

    async def read(self, offset: int, length: int) -> bytes:
        self.happens()
        return self.data[offset : offset + length]


@dataclass
class Client:
    received: bytes = b""
    is_served: asyncio.Event = field(default_factory=asyncio.Event)

    async def write(self, data: bytes) -> None:
        self.received += data
        self.is_served.set()


async def pump(view: View, disk: Disk) -> bytes:
    """What reaches the client until it is cut off or waits for more."""
    client, stream = Client(), _Stream(_any(view), _any(disk), Part(0, 100))
    async with asyncio.TaskGroup() as group:
        pumping = group.create_task(stream._pump(_any(client)))
        await client.is_served.wait()
        pumping.cancel()
    return client.received


def _any(stand_in: object) -> Any:  # noqa: ANN401
    return stand_in


@pytest.mark.parametrize(("size", "transferred", "most"), [(100, False, 99), (100, True, 100), (None, False, 100)])
def test_the_last_byte_is_kept_back_until_the_file_is_verified(size: int | None, transferred: bool, most: int) -> None:
    file = a_file(size=size, transferred=transferred)
    assert [ready(file, landed) for landed in (0, 99, 100)] == [0, 99, most]


def test_whatever_voids_bytes_that_may_have_been_read_begins_another_generation() -> None:
    facts = RemoteFacts(
        size=100, remote_size=100, etag=None, last_modified=None, is_date_weak=False, media_type=None, served_digest={},
        response_headers="", inode=1, fetched_from="", asked_name="", remote_name="",
    )  # fmt: skip
    assert facts.learnt(OLD, 50).generation == OLD.generation
    assert facts.learnt(OLD, 0).generation > OLD.generation
    assert OLD.emptied().generation > OLD.generation


async def test_what_has_landed_is_sent() -> None:
    assert await pump(View(), Disk(lambda: None)) == b"x" * 50


async def test_bytes_read_while_a_new_version_went_on_record_are_not_sent() -> None:
    view = View()

    def begin_anew() -> None:
        view.committed = replace(OLD, generation=2)

    with pytest.raises(ExceptionGroup) as failure:
        await pump(view, Disk(begin_anew))
    assert failure.group_contains(RefusedError, match="anew")


async def test_bytes_read_while_the_file_was_emptied_are_not_sent() -> None:
    view = View()

    def empty() -> None:
        view.landed = 0

    with pytest.raises(ExceptionGroup) as failure:
        await pump(view, Disk(empty, data=bytes(50)))
    assert failure.group_contains(RefusedError, match="anew")


async def test_a_file_shorter_than_its_record_is_not_waited_for() -> None:
    with pytest.raises(ExceptionGroup) as failure:
        await pump(View(), Disk(lambda: None, data=b""))
    assert failure.group_contains(RefusedError, match="changed by somebody else")
