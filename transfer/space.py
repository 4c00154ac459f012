"""Room on the disk for a file that is about to come: asked for, and taken where the file system can. Blocking.

The blocks stay taken when an attempt ends, as the file's own: a job that has begun will not fail for want of room that
was there. They are given back when the file is cleared or removed. Its length never counts them: only bytes that were
received do. Refuses to guess where a file system does not say how much is free.
"""

import ctypes
import errno
import os

from transfer.errors import LocalFileError

BLOCK = 512
"""Bytes of one of st_blocks (stat(2))."""
KEEP_SIZE = 1
"""FALLOC_FL_KEEP_SIZE (fallocate(2))."""
UNABLE = frozenset({errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})
"""What a file system says that cannot reserve."""

# Not posix_fallocate: it makes the file longer, and where the file system cannot reserve, it writes zeros.
_fallocate = ctypes.CDLL(None, use_errno=True).fallocate
_fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


def reserve(number: int, path: str, start: int, size: int) -> None:
    """Take room for the open file, whole up to `start`, to be filled to `size` bytes.

    Raises LocalFileError when there is not so much, saying how much is needed and free, and OSError.
    """
    facts = os.fstat(number)
    missing = size - max(start, facts.st_blocks * BLOCK)
    if missing <= 0:
        return
    disk = os.fstatvfs(number)
    # Asked first: a reservation that fails half way has taken the last block from everybody else for a moment.
    if disk.f_blocks and missing > disk.f_bavail * disk.f_frsize:
        raise _no_room(path, missing, disk)
    try:
        _take(number, start, size)
    except OSError as error:
        if error.errno in UNABLE:
            return
        os.truncate(number, facts.st_size)  # gives back what was taken before it failed
        if error.errno == errno.ENOSPC:
            raise _no_room(path, missing, os.fstatvfs(number)) from error
        raise


def _take(number: int, start: int, end: int) -> None:
    while _fallocate(number, KEEP_SIZE, start, end - start) != 0:
        if (code := ctypes.get_errno()) != errno.EINTR:
            raise OSError(code, os.strerror(code))


def _no_room(path: str, missing: int, disk: os.statvfs_result) -> LocalFileError:
    free = disk.f_bavail * disk.f_frsize
    message = f"cannot reserve space for {path}: {missing} more bytes are needed, {free} are free (ENOSPC)"
    return LocalFileError(message, errno.ENOSPC, path)
