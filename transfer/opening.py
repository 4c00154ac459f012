"""How a part file is opened: the one on record at its resume point if it can still be ours, else a new one. Blocking.

Owns what "can be ours" means (spec/service.md §5.9): a regular file without a second name, of the inode on record, with
at least the bytes on record. Whether these bytes are right is for partfile.py to prove, before anything is written or
cut. What is not ours is never touched or followed; it loses the temporary name, which is ours alone, and a new file
takes that.
"""

import errno
import os
import stat
from contextlib import suppress

from transfer import directory
from transfer.request import PartRecord

SAFE = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
"""A link is not followed, and neither a pipe nor a device is waited for."""
NOT_A_FILE = frozenset({errno.ELOOP, errno.ENXIO, errno.EISDIR})
"""What opening says of a link, of a socket and of a directory."""


class Opening:
    """How it is to be opened, and what came of it."""

    def __init__(self, record: PartRecord, *, make_dirs: bool) -> None:
        self.record = record
        self._make_dirs = make_dirs
        self.inode = 0
        self.is_resumed = False
        self.is_untouched = False
        """Nobody wrote to it since it was last synced, not even we."""

    def open(self, path: str) -> int:
        """The descriptor. Raises OSError."""
        number = self._reopen(path) if self.record.inode is not None else None
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
            self.is_untouched = (facts.st_size, facts.st_mtime_ns) == (self.record.length, self.record.mtime)
            if self.is_resumed:
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
            and facts.st_ino == self.record.inode
            and facts.st_size >= self.record.offset
        )

    def _create(self, path: str) -> int:
        if self._make_dirs:
            directory.make(os.path.dirname(path))
        with suppress(FileNotFoundError):
            os.unlink(path)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | SAFE, 0o666)
