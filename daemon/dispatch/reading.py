"""What has been fetched of a file, for whoever reads it early: opened by its record, read in pieces.

Everything runs on the owner's executor, so with the owner's rights. Refuses whatever is not the recorded file: another
inode, a link, anything but a regular file, one that is shorter than it must be.
"""

import errno
import os
import stat
from collections.abc import AsyncIterator
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from functools import partial

import aiofiles
from aiofiles.threadpool.binary import AsyncFileIO

from daemon.dispatch.outcome import refused
from jobqueue.job import File
from transfer.errors import LocalFileError
from transfer.partfile import on_executor
from transfer.shield import to_the_end

NOT_OURS = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
SAFE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class FetchedFile:
    """Opened at most once, and the same file from then on: under another name, or removed, too."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._file: AsyncFileIO | None = None

    async def open(self, file: File) -> bool:
        """Whether the file of this record is there. Raises LocalFileFailedError, RefusedError."""
        # Complete may give the file its name at any moment: it is looked for under the old one first
        for name in (file.temporary_name, file.local_name) if file.transferred else (file.temporary_name,):
            try:
                await to_the_end(self._open(name, file))
            except OSError as error:
                if error.errno not in NOT_OURS:
                    raise refused(LocalFileError.of("open", name, error)) from error
            else:
                return True
        return False

    async def _open(self, name: str, file: File) -> None:
        opener = partial(_open, file)
        self._file = await aiofiles.open(name, "rb", buffering=0, opener=opener, executor=self._executor)

    async def read(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`. Raises LocalFileFailedError."""
        assert self._file is not None  # noqa: S101 - opened before
        try:
            return await on_executor(self._executor, partial(os.pread, self._file.fileno(), length, offset))
        except OSError as error:
            raise refused(LocalFileError.of("read", str(self._file.name), error)) from error

    async def close(self) -> None:
        """May be all that is left of a removed file, which takes its time: on the executor too."""
        if self._file is not None:
            await to_the_end(self._file.close())


def _open(file: File, name: str, _flags: int) -> int:
    """Opener: raises FileNotFoundError where there is another file than the recorded one."""
    number = os.open(name, SAFE)
    facts = os.fstat(number)
    is_long_enough = facts.st_size == file.offset if file.transferred else facts.st_size >= file.offset
    if not (stat.S_ISREG(facts.st_mode) and facts.st_ino == file.inode and is_long_enough):
        os.close(number)
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
    return number


@asynccontextmanager
async def fetched_file(executor: Executor) -> AsyncIterator[FetchedFile]:
    """A FetchedFile, still to be opened, that is closed at the block's end."""
    file = FetchedFile(executor)
    try:
        yield file
    finally:
        await file.close()
