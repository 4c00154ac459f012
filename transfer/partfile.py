"""The temporary file of a download: opening it at its resume point, writing, syncing; publishing and discarding it.

Every local file operation of a transfer is here and fails as LocalFileError naming the path. Those of a running
transfer go through the executor handed in; `publish` and `discard` block and are called on one.
Refuses to know what the bytes mean.
"""

import asyncio
import errno
import os
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Executor
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TypeVar

import aiofiles
from aiofiles.base import AiofilesContextManager
from aiofiles.threadpool.binary import AsyncFileIO

from transfer.dates import parse_http_date
from transfer.errors import LocalFileError
from transfer.request import PartRecord
from transfer.shield import to_the_end

T = TypeVar("T")
SAFE = os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def _local(verb: str, path: str) -> Iterator[None]:
    """The one place where an OSError becomes a LocalFileError."""
    try:
        yield
    except OSError as error:
        raise LocalFileError.of(verb, path, error) from error


class _Opening:
    """How the file is opened: the recorded one at its resume point if it is still ours, else a new one. Blocking."""

    def __init__(self, record: PartRecord, *, make_dirs: bool) -> None:
        self._record = record
        self._make_dirs = make_dirs
        self.inode = 0
        self.offset = 0
        self.is_resumed = False

    def __call__(self, path: str, _flags: int) -> int:
        """An opener for `open()`: the descriptor stands where writing begins."""
        number = self._reopen(path) if self._record.inode is not None else None
        if number is None:
            number = self._create(path)
        self.inode = os.fstat(number).st_ino
        return number

    def _reopen(self, path: str) -> int | None:
        try:
            number = os.open(path, os.O_RDWR | SAFE | os.O_NONBLOCK)
        except OSError as error:
            if error.errno in {errno.ENOENT, errno.ELOOP, errno.ENXIO, errno.EISDIR}:
                return None
            raise
        try:
            facts = os.fstat(number)
            self.is_resumed = (
                stat.S_ISREG(facts.st_mode)
                and facts.st_nlink == 1
                and facts.st_ino == self._record.inode
                and facts.st_size >= self._record.offset
            )
            if self.is_resumed:
                self.offset = facts.st_size if self._record.is_length_trusted else self._record.offset
                os.truncate(number, self.offset)
                os.lseek(number, self.offset, os.SEEK_SET)
                return number
        except OSError:
            os.close(number)
            raise
        os.close(number)
        return None

    def _create(self, path: str) -> int:
        if self._make_dirs:
            os.makedirs(os.path.dirname(path), exist_ok=True)
        with suppress(FileNotFoundError):
            os.unlink(path)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | SAFE, 0o666)


class PartFile:
    """An open temporary file; bytes go to its end. `offset` is where that was when it was opened."""

    def __init__(self, path: str, file: AsyncFileIO, opening: _Opening, executor: Executor) -> None:
        self.path = path
        self.inode = opening.inode
        self.offset = opening.offset
        self.is_resumed = opening.is_resumed
        """It is the file on record, not a new one."""
        self._file = file
        self._executor = executor

    async def write(self, data: bytes) -> None:
        """Append all of `data`."""
        left = memoryview(data)
        with _local("write", self.path):
            while left:
                left = left[await self._file.write(left) :]

    async def read(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`."""
        with _local("read", self.path):
            return await on_executor(self._executor, lambda: os.pread(self._file.fileno(), length, offset))

    async def sync(self) -> None:
        """Everything written before this call is on the disk when it returns."""
        with _local("sync", self.path):
            await on_executor(self._executor, lambda: os.fdatasync(self._file.fileno()))

    async def clear(self) -> None:
        """Throw all bytes away; writing begins at zero."""
        with _local("truncate", self.path):
            await self._file.seek(0)
            await self._file.truncate()


@asynccontextmanager
async def part_file(
    path: str, record: PartRecord, *, executor: Executor, make_dirs: bool = False
) -> AsyncIterator[PartFile]:
    """The temporary file at `path`, open for the block's duration. Raises LocalFileError."""
    opening = _Opening(record, make_dirs=make_dirs)
    file = aiofiles.open(path, "r+b", buffering=0, opener=opening, executor=executor)
    try:
        with _local("open", path):
            await to_the_end(_opened(file))
        yield PartFile(path, await file, opening, executor)
    finally:
        if opening.inode:
            with _local("close", path):
                await to_the_end((await file).close())


async def _opened(file: AiofilesContextManager[AsyncFileIO]) -> None:
    await file


async def on_executor(executor: Executor, work: Callable[[], T]) -> T:
    """The result of blocking `work`; never abandoned while it runs, for it uses a descriptor of ours."""
    return await to_the_end(asyncio.get_running_loop().run_in_executor(executor, work))


def publish(
    part_path: str, target: str, expected_size: int, last_modified: str | None = None, inode: int | None = None
) -> None:
    """Give the finished part file its name: check, date, sync, rename over `target`, sync the directory. Blocking.

    `last_modified` is the HTTP date for its modification time; `inode` the recorded one. Safe to repeat: when the part
    file is gone and `target` has that inode, it is done already. Raises LocalFileError.
    """
    try:
        with _local("open", part_path):
            number = os.open(part_path, os.O_RDONLY | SAFE | os.O_NONBLOCK)
    except LocalFileError as missing:
        if missing.errno == errno.ENOENT and _is_published(target, inode):
            return
        raise
    try:
        _require_ours(number, part_path, expected_size, inode)
        moment = None if last_modified is None else parse_http_date(last_modified)
        with _local("sync", part_path):
            if moment is not None and moment >= 0:
                os.utime(number, (moment, moment))
            os.fsync(number)
    finally:
        os.close(number)
    with _local("rename to", target):
        os.rename(part_path, target)
    _sync_directory(target)


def discard(part_path: str) -> None:
    """Remove the part file; that it is gone already is fine. Blocking. Raises LocalFileError."""
    with _local("remove", part_path), suppress(FileNotFoundError):
        os.unlink(part_path)


def _require_ours(number: int, path: str, size: int, inode: int | None) -> None:
    facts = os.fstat(number)
    if not stat.S_ISREG(facts.st_mode) or facts.st_size != size or inode not in {None, facts.st_ino}:
        raise LocalFileError(f"cannot publish {path}: it was changed by somebody else", errno.ESTALE, path)


def _is_published(target: str, inode: int | None) -> bool:
    if inode is None:
        return False
    with suppress(FileNotFoundError):
        if os.lstat(target).st_ino == inode:
            _sync_directory(target)
            return True
    return False


def _sync_directory(path: str) -> None:
    directory = os.path.dirname(path) or "."
    with _local("sync", directory):
        number = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(number)
        finally:
            os.close(number)
