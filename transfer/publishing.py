"""What becomes of a part file in the end: it gets the file's name, or it is removed. Blocking: call it on an executor.

Owns the check that the file is still the one that was finished. Both may be repeated after a crash at any point.
Refuses to publish what somebody else has put in its place or written to.
"""

import errno
import os
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress

from transfer import directory
from transfer.dates import parse_http_date
from transfer.errors import LocalFileError
from transfer.opening import NOT_A_FILE, SAFE
from transfer.partfile import local_failure

NANOSECONDS = 1_000_000_000


def publish(
    part_path: str,
    target: str,
    expected_size: int,
    *,
    last_modified: str | None = None,
    inode: int | None = None,
    mtime: int | None = None,
) -> None:
    """Give the finished part file its name: check, date, sync, rename over `target`, sync the directory.

    `last_modified` is the HTTP date for its modification time; `inode` and `mtime` are those on record (st_mtime_ns,
    None = not on record). When the part file is gone and `target` is that very file, it is done already. Raises
    LocalFileError: ENOENT or ESTALE of `part_path` when it is gone or was changed by somebody else.
    """
    date = _nanoseconds(last_modified)

    def is_ours(facts: os.stat_result) -> bool:
        """Dated already, when an earlier call came so far and no further."""
        return (
            stat.S_ISREG(facts.st_mode)
            and facts.st_size == expected_size
            and inode in {None, facts.st_ino}
            and (mtime is None or facts.st_mtime_ns in {mtime, date})
        )

    try:
        number = _open_ours(part_path, is_ours)
    except LocalFileError as failure:
        if failure.errno == errno.ENOENT and inode is not None and _is_published(target, is_ours):
            return
        raise
    try:
        with local_failure("sync", part_path):
            if date is not None:
                _date(number, date)
            os.fsync(number)
    finally:
        os.close(number)
    with local_failure("rename to", target):
        os.rename(part_path, target)
    _sync_names(os.path.dirname(target))


def discard(part_paths: Sequence[str]) -> Sequence[str]:
    """Remove part files so that they will not come back, each directory synced once; that one is gone already is fine.

    Returns the paths that could not be removed.
    """
    left: dict[str, None] = {}
    for path in part_paths:
        try:
            with local_failure("remove", path), suppress(FileNotFoundError, NotADirectoryError):
                os.unlink(path)
        except LocalFileError:
            left[path] = None
    for place in {os.path.dirname(path) for path in part_paths}:
        try:
            _sync_names(place)
        except LocalFileError:
            left |= dict.fromkeys(path for path in part_paths if os.path.dirname(path) == place)
    return list(left)


def _nanoseconds(http_date: str | None) -> int | None:
    moment = None if http_date is None else parse_http_date(http_date)
    return None if moment is None or moment < 0 else int(moment) * NANOSECONDS


def _open_ours(path: str, is_ours: Callable[[os.stat_result], bool]) -> int:
    try:
        with local_failure("publish", path):
            number = os.open(path, os.O_RDONLY | SAFE)
            if is_ours(os.fstat(number)):
                return number
            os.close(number)
    except LocalFileError as failure:
        if failure.errno not in NOT_A_FILE:
            raise
    raise LocalFileError(f"cannot publish {path}: it was changed by somebody else", errno.ESTALE, path)


def _date(number: int, date: int) -> None:
    with suppress(PermissionError):  # a mounted file system may let us write and yet call the file somebody else's
        os.utime(number, ns=(date, date))


def _is_published(target: str, is_ours: Callable[[os.stat_result], bool]) -> bool:
    with suppress(OSError):
        if is_ours(os.lstat(target)):
            _sync_names(os.path.dirname(target))
            return True
    return False


def _sync_names(place: str) -> None:
    """Bring what became of the names in a directory to the disk; one that is gone has none."""
    with local_failure("sync", place), suppress(FileNotFoundError, NotADirectoryError):
        directory.sync(place)
