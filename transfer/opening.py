"""How a part file is opened: the one on record at its resume point if it is still ours, else a new one. Blocking.

Owns what "still ours" means (spec/service.md §5.9): a regular file without a second name, of the inode on record, with
at least the bytes on record, and not touched since the last attempt ended in good order. What is not ours is never
written to, cut or followed; it loses the temporary name, which is ours alone, and a new file takes that.
"""

import errno
import os
import stat
from contextlib import suppress

from transfer.request import PartRecord

SAFE = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
"""A link is not followed, and neither a pipe nor a device is waited for."""
NOT_A_FILE = frozenset({errno.ELOOP, errno.ENXIO, errno.EISDIR})
"""What opening says of a link, of a socket and of a directory."""


class Opening:
    """An opener for `open()`, and what came of it."""

    def __init__(self, record: PartRecord, *, make_dirs: bool) -> None:
        self._record = record
        self._make_dirs = make_dirs
        self.inode = 0
        self.offset = 0
        self.is_resumed = False

    def __call__(self, path: str, _flags: int) -> int:
        """The descriptor, standing where writing begins. Raises OSError."""
        number = self._reopen(path) if self._record.inode is not None else None
        if number is None:
            number = self._create(path)
        self.inode = os.fstat(number).st_ino
        return number

    def _reopen(self, path: str) -> int | None:
        try:
            number = os.open(path, os.O_RDWR | SAFE)
        except OSError as error:
            if error.errno == errno.ENOENT or error.errno in NOT_A_FILE:
                return None
            raise
        try:
            facts = os.fstat(number)
            self.is_resumed = self._is_ours(facts)
            if self.is_resumed:
                self._stand(number, facts.st_size)
                return number
        except OSError:
            os.close(number)
            raise
        os.close(number)
        return None

    def _is_ours(self, facts: os.stat_result) -> bool:
        return (
            stat.S_ISREG(facts.st_mode)
            and facts.st_nlink == 1
            and facts.st_ino == self._record.inode
            and facts.st_size >= self._record.offset
            and self._record.mtime in {None, facts.st_mtime_ns}
        )

    def _stand(self, number: int, size: int) -> None:
        """Go to the resume point; what is behind it is cut off, and nothing is touched when there is nothing."""
        self.offset = size if self._record.is_length_trusted else self._record.offset
        if self.offset < size:
            os.truncate(number, self.offset)
        os.lseek(number, self.offset, os.SEEK_SET)

    def _create(self, path: str) -> int:
        if self._make_dirs:
            os.makedirs(os.path.dirname(path), exist_ok=True)
        with suppress(FileNotFoundError):
            os.unlink(path)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | SAFE, 0o666)
