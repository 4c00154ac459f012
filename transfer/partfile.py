"""The temporary file of a running transfer: opened, proven, given room, written to, synced, closed.

Owns the checksum (CRC-32C, RFC 3720) of what is in it: it goes on record with every sync, and proves after a crash that
the bytes on record are still those that came. Every operation runs on the executor handed in and fails as
LocalFileError naming the path. Refuses to know what the bytes mean, which file it finds (opening.py), how room is
reserved (space.py), and what becomes of the finished file (publishing.py).
"""

import asyncio
import os
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from itertools import islice
from typing import TypeVar

from crc32c import crc32c

from transfer import directory, space
from transfer.crew import Crew, Turn
from transfer.errors import LocalFileError
from transfer.opening import Opening
from transfer.request import PartRecord
from transfer.runs import Run, Runs
from transfer.shield import to_the_end

T = TypeVar("T")

CLOSED = -1
MOST_PIECES = os.sysconf("SC_IOV_MAX")
KEPT_IN_MEMORY = 64 << 20
"""Bytes of a file; of a larger one the page cache keeps nothing that is on the disk (docs/decisions/0014)."""
SMALL = 128 << 10
"""Bytes of a file whose end may wait for that of others, and they for it."""
PROOF_SIZE = 4 << 20
"""Bytes that are read back at a time."""


@contextmanager
def local_failure(verb: str, path: str) -> Iterator[None]:
    """The one place where an OSError becomes a LocalFileError."""
    try:
        yield
    except OSError as error:
        raise LocalFileError.of(verb, path, error) from error


class PartFile:
    """A temporary file; bytes go to the end of one of its `runs`."""

    def __init__(self, path: str, opening: Opening, executor: Crew) -> None:
        self.path = path
        self.runs = Runs()
        self._opening = opening
        self._descriptor = CLOSED
        self._executor = executor
        self._is_name_synced = False

    async def open(self) -> None:
        with local_failure("open", self.path):
            await to_the_end(self._executor.share(os.path.dirname(self.path), self._open))

    def _open(self) -> None:
        self._descriptor = self._opening.open(self.path)

    async def close(self) -> None:
        if self.is_open:
            await on_executor(self._executor, self._close)

    def _close(self) -> None:
        number, self._descriptor = self._descriptor, CLOSED
        with local_failure("close", self.path):
            os.close(number)

    @property
    def is_open(self) -> bool:
        return self._descriptor != CLOSED

    @property
    def inode(self) -> int:
        return self._opening.inode

    @property
    def is_resumed(self) -> bool:
        """It is the file on record, not a new one."""
        return self._opening.is_resumed

    async def is_as_recorded(self) -> bool:
        """Whether the first bytes are those on record; what else is not is cut off or forgotten then.

        They are read back, unless nothing was written since they were synced.
        """
        record, is_untouched = self._opening.record, self._opening.is_untouched
        if not self.is_resumed:
            return True
        so_far, pieces = record.checksum, record.pieces
        if not is_untouched or so_far is None:
            so_far = await self._checksum(0, record.offset)
            if so_far is None or (record.offset and not is_untouched and so_far != record.checksum):
                return False
            pieces = tuple([one for one in pieces if await self._checksum(one.start, one.end) == one.checksum])
        self.runs = Runs(record.offset, so_far, pieces)
        if not is_untouched:
            end = self.runs.filled[-1].end
            with local_failure("truncate", self.path):
                await on_executor(self._executor, lambda: _cut(self._descriptor, end))
        return True

    async def reserve(self, size: int) -> None:
        """Have room for the file to grow to `size` bytes, before they come; its length stays."""
        start = self.runs.readable
        with local_failure("reserve space for", self.path):
            await on_executor(self._executor, lambda: space.reserve(self._descriptor, self.path, start, size))

    def append(self, run: Run, *pieces: bytes | memoryview) -> None:
        """Blocking. Append all of `pieces` to the run; after a failure its end tells how much of them is there."""
        left = deque(memoryview(piece) for piece in pieces if piece)
        number, (end, checksum) = self._descriptor, run.tail
        with local_failure("write", self.path):
            while left:
                count = os.pwritev(number, list(islice(left, MOST_PIECES)), end)
                end += count
                while count:
                    piece = left.popleft()
                    if len(piece) > count:
                        left.appendleft(piece[count:])
                        piece = piece[:count]
                    checksum = crc32c(piece, checksum)
                    count -= len(piece)
                run.tail = (end, checksum)

    async def read(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`."""
        with local_failure("read", self.path):
            return await on_executor(self._executor, lambda: os.pread(self._descriptor, length, offset))

    async def sync(self) -> int:
        """Everything written before this call, and the file's name, is on the disk when it returns.

        Returns when the file was last changed (st_mtime_ns): another moment once somebody writes to it.
        """
        with local_failure("sync", self.path):
            return await on_executor(self._executor, self._sync)

    async def finish(self, run: Run, pieces: Sequence[bytes]) -> int:
        """The last bytes, then as `sync`, and it is closed: small files share the turn of a thread."""
        if run.end + sum(map(len, pieces)) > SMALL:
            return await on_executor(self._executor, lambda: self._finish(run, pieces))
        work = partial(self._finish_together, run, pieces)
        return await to_the_end(self._executor.share_stages(os.path.dirname(self.path), work))

    def _finish(self, run: Run, pieces: Sequence[bytes]) -> int:
        self.append(run, *pieces)
        with local_failure("sync", self.path):
            mtime = self._sync()
        self._close()
        return mtime

    def _finish_together(self, run: Run, pieces: Sequence[bytes], turn: Turn) -> Generator[None, None, int]:
        """All write before the first syncs: then most of what it waits for was done for all of them."""
        self.append(run, *pieces)
        self._give_to_disk()
        yield
        with local_failure("sync", self.path):
            mtime = self._sync(turn)
        self._close()
        return mtime

    async def clear(self) -> None:
        """Throw all bytes away; writing begins at zero."""
        with local_failure("truncate", self.path):
            await on_executor(self._executor, lambda: os.ftruncate(self._descriptor, 0))
        self.runs = Runs()

    async def _checksum(self, start: int, end: int) -> int | None:
        """Of these bytes, read back; None when they cannot be read to their end."""
        number, so_far = self._descriptor, 0
        while start < end:
            length = min(PROOF_SIZE, end - start)
            with local_failure("read", self.path):
                count, so_far = await on_executor(
                    self._executor,
                    lambda at=start, length=length, before=so_far: checksum(number, at, length, before),  # type: ignore[misc]
                )
            if not count:
                return None
            start += count
        return so_far

    def _sync(self, turn: Turn | None = None) -> int:
        mtime = _sync_stamped(self._descriptor)
        if not self._is_name_synced:
            (turn or Turn()).once(directory.sync, os.path.dirname(self.path))
            self._is_name_synced = True
        if self.runs.size > KEPT_IN_MEMORY:
            self._give_to_disk()
        return mtime

    def _give_to_disk(self) -> None:
        """What is not there yet begins to be written to it, what is there need not be kept in memory."""
        with suppress(OSError):  # advice, which not every file system takes
            os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def _sync_stamped(number: int) -> int:
    """Blocking. When it was changed is set, not left to the kernel: two writes may fall into one tick of its clock, and
    a file server may date the file again when it is closed unless it was told a date.
    """
    now = time.time_ns()
    with suppress(PermissionError):  # a mounted file system may let us write and yet call the file somebody else's
        os.utime(number, ns=(now, now))
    os.fsync(number)  # fdatasync may leave the date behind where the length did not change
    return os.fstat(number).st_mtime_ns


def _cut(number: int, size: int) -> None:
    """Blocking. Only what is too long: to cut at the very end would give back the room taken for what is to come."""
    if os.fstat(number).st_size > size:
        os.truncate(number, size)


def checksum(number: int, offset: int, length: int, before: int) -> tuple[int, int]:
    """Blocking. How many bytes could be read, and the checksum with them."""
    data = os.pread(number, length, offset)
    return len(data), crc32c(data, before)


@asynccontextmanager
async def part_file(
    path: str, record: PartRecord, *, executor: Crew, make_dirs: bool = False
) -> AsyncIterator[PartFile]:
    """The temporary file at `path`, open for the block's duration. Raises LocalFileError; of several the first."""
    async with _open(path, Opening(record, make_dirs=make_dirs), executor) as part:
        if await part.is_as_recorded():
            yield part
            return
    async with _open(path, Opening(PartRecord(), make_dirs=make_dirs), executor) as part:
        yield part


@asynccontextmanager
async def _open(path: str, opening: Opening, executor: Crew) -> AsyncIterator[PartFile]:
    part = PartFile(path, opening, executor)
    try:
        await part.open()
        yield part
    except BaseException:
        with suppress(LocalFileError):
            await part.close()
        raise
    await part.close()


async def on_executor(executor: Executor, work: Callable[[], T]) -> T:
    """The result of blocking `work`; never abandoned while it runs, for it uses a descriptor of ours."""
    return await to_the_end(asyncio.get_running_loop().run_in_executor(executor, work))
