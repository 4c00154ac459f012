"""The temporary file of a running transfer: opened, given room, written to, synced, stamped, closed.

Every operation runs on the executor handed in and fails as LocalFileError naming the path. Refuses to know what the
bytes mean, whether a file it finds is ours (opening.py), how room is reserved (space.py), and what becomes of the
finished file (publishing.py).
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Executor
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TypeVar

import aiofiles
from aiofiles.base import AiofilesContextManager
from aiofiles.threadpool.binary import AsyncFileIO

from transfer import space
from transfer.errors import LocalFileError
from transfer.opening import Opening
from transfer.request import PartRecord
from transfer.shield import to_the_end

T = TypeVar("T")


@contextmanager
def local_failure(verb: str, path: str) -> Iterator[None]:
    """The one place where an OSError becomes a LocalFileError."""
    try:
        yield
    except OSError as error:
        raise LocalFileError.of(verb, path, error) from error


class PartFile:
    """An open temporary file; bytes go to its end. `offset` is where that was when it was opened."""

    def __init__(self, path: str, file: AsyncFileIO, opening: Opening, executor: Executor) -> None:
        self.path = path
        self.inode = opening.inode
        self.offset = opening.offset
        self.is_resumed = opening.is_resumed
        """It is the file on record, not a new one."""
        self.end = opening.offset
        """Where the next byte goes."""
        self._file = file
        self._executor = executor

    async def reserve(self, size: int) -> None:
        """Have room for the file to grow to `size` bytes, before they come; its length stays."""
        with local_failure("reserve space for", self.path):
            await on_executor(self._executor, lambda: space.reserve(self._file.fileno(), self.path, size))

    async def write(self, data: bytes) -> None:
        """Append all of `data`; after a failure `end` tells how much of it is in the file."""
        left = memoryview(data)
        with local_failure("write", self.path):
            while left:
                count = await self._file.write(left)
                self.end += count
                left = left[count:]

    async def read(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`."""
        with local_failure("read", self.path):
            return await on_executor(self._executor, lambda: os.pread(self._file.fileno(), length, offset))

    async def sync(self) -> None:
        """Everything written before this call is on the disk when it returns."""
        with local_failure("sync", self.path):
            await on_executor(self._executor, lambda: _sync_stamped(self._file.fileno()))

    async def stamp(self) -> int:
        """When the file was last changed (st_mtime_ns): another moment once somebody else wrote to it."""
        with local_failure("read", self.path):
            return await on_executor(self._executor, lambda: os.fstat(self._file.fileno()).st_mtime_ns)

    async def clear(self) -> None:
        """Throw all bytes away; writing begins at zero."""
        with local_failure("truncate", self.path):
            await self._file.seek(0)
            await self._file.truncate()
        self.end = 0


def _sync_stamped(number: int) -> None:
    """Blocking. When it was changed is set, not left to the kernel: two writes may fall into one tick of its clock, and
    a file server may date the file again when it is closed unless it was told a date.
    """
    now = time.time_ns()
    with suppress(PermissionError):  # a mounted file system may let us write and yet call the file somebody else's
        os.utime(number, ns=(now, now))
    os.fdatasync(number)


@asynccontextmanager
async def part_file(
    path: str, record: PartRecord, *, executor: Executor, make_dirs: bool = False
) -> AsyncIterator[PartFile]:
    """The temporary file at `path`, open for the block's duration. Raises LocalFileError; of several the first."""
    opening = Opening(record, make_dirs=make_dirs)
    file = aiofiles.open(path, "r+b", buffering=0, opener=opening, executor=executor)
    try:
        with local_failure("open", path):
            await to_the_end(_opened(file))
        yield PartFile(path, await file, opening, executor)
    except BaseException:
        if opening.inode:
            with suppress(OSError):
                await to_the_end((await file).close())
        raise
    with local_failure("close", path):
        await to_the_end((await file).close())


async def _opened(file: AiofilesContextManager[AsyncFileIO]) -> None:
    await file


async def on_executor(executor: Executor, work: Callable[[], T]) -> T:
    """The result of blocking `work`; never abandoned while it runs, for it uses a descriptor of ours."""
    return await to_the_end(asyncio.get_running_loop().run_in_executor(executor, work))
