"""Directories of part files: made, and brought to the disk. Blocking: call it on an executor.

Owns one fact: a new, removed or changed name is on the disk once its directory was synced, and not before (fsync(2));
syncing the file itself promises nothing about its name. Both functions raise OSError.
"""

import errno
import os

UNABLE = frozenset({errno.EACCES, errno.EPERM, errno.EINVAL, errno.EOPNOTSUPP})
"""Where one may make files but not look, or the file system cannot do it, there is nothing to sync by; the kernel gets
to it in its own time.
"""


def sync(path: str) -> None:
    """Bring the names in the directory to the disk."""
    try:
        number = os.open(path or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(number)
        finally:
            os.close(number)
    except OSError as error:
        if error.errno not in UNABLE:
            raise


def make(path: str, mode: int = 0o777) -> None:
    """Make the directory (with this mode) and what is missing above it; they are on the disk when this returns."""
    missing: list[str] = []
    place = path
    while place and not os.path.isdir(place):
        missing.append(place)
        place = os.path.dirname(place)
    os.makedirs(path, mode=mode, exist_ok=True)
    for made in reversed(missing):
        sync(os.path.dirname(made))
