"""One connection's way into the part file."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import pytest

from transfer.errors import LocalFileError
from transfer.inlet import Inlet
from transfer.partfile import PartFile
from transfer.request import Piece
from transfer.runs import Run


class SlowDisk:
    """Stands for the part file: what it is given is in the run at once, but the write goes on until `rest` is set."""

    def __init__(self, *, takes: int | None = None) -> None:
        self.has_written, self.rest = threading.Event(), threading.Event()
        self._takes = takes

    def append(self, run: Run, *pieces: bytes) -> None:
        size = sum(map(len, pieces))
        run.tail = (run.end + (size if self._takes is None else self._takes), 0)
        self.has_written.set()
        self.rest.wait()
        if self._takes is not None:
            raise LocalFileError("cannot write: no space left", 28, "/part")


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as found:
        yield found


def inlet_of(disk: SlowDisk, threads: ThreadPoolExecutor) -> Inlet:
    async def nothing() -> None:
        pass

    return Inlet(
        cast("PartFile", disk),
        Run(Piece(0, 40, 0), is_open=True),
        executor=threads,
        chunk_size=1000,
        stall_timeout=1.0,
        digest=None,
        count=lambda _: None,
        room=lambda: 1000,
        hold_back=nothing,
    )


async def test_the_next_byte_goes_to_one_place_before_during_and_after_a_write(threads: ThreadPoolExecutor) -> None:
    disk = SlowDisk()
    inlet = inlet_of(disk, threads)
    await inlet.add(b"1234567")
    assert inlet.position == 47
    async with asyncio.TaskGroup() as group:
        group.create_task(inlet.flush())
        await asyncio.to_thread(disk.has_written.wait)
        during = (inlet.run.end, inlet.position)
        disk.rest.set()
    assert during == (47, 47)  # else the next request would ask for what is beyond
    assert inlet.position == 47


async def test_somebody_else_writes_what_was_gathered(threads: ThreadPoolExecutor) -> None:
    disk = SlowDisk()
    disk.rest.set()
    inlet = inlet_of(disk, threads)
    await inlet.add(b"1234567")
    pieces = await inlet.take()
    assert inlet.position == 47
    disk.append(inlet.run, *pieces)
    inlet.settle()
    assert inlet.position == 47


async def test_after_a_failed_write_it_goes_to_where_that_has_come(threads: ThreadPoolExecutor) -> None:
    disk = SlowDisk(takes=3)
    disk.rest.set()
    inlet = inlet_of(disk, threads)
    await inlet.add(b"1234567")
    with pytest.raises(LocalFileError):
        await inlet.flush()
    assert inlet.position == 43
