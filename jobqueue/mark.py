"""How far the store has come, in a file beside the database: what an older database cannot know about itself.

Written after each commit, so it is never ahead of what was committed; when it is, commits are gone (an older copy was
put back, or the write-ahead log was removed). Not synced: a power cut may leave it behind, which is harmless. After a
clean end it also says what the database file looked like, so that an untouched one need not be read through.
"""

import os
from contextlib import suppress
from dataclasses import dataclass

SIZE = 128
"""Bytes of the file, all of them written once: it never needs more room."""


@dataclass(frozen=True, slots=True)
class Reading:
    """`commits` so far, `seq` of the last event, `look` of the database after a clean end ("" = there was none)."""

    commits: int = 0
    seq: int = 0
    look: str = ""


class Mark:
    """Blocking; one line in the file at `path`, which is made if it is missing."""

    def __init__(self, path: str) -> None:
        """Raises OSError."""
        self._number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)

    def read(self) -> Reading:
        """What was written last; nothing when it cannot be read."""
        try:
            commits, seq, *look = os.pread(self._number, SIZE, 0).decode("ascii").split()
            return Reading(int(commits), int(seq), "".join(look))
        except (OSError, ValueError):
            return Reading()

    def write(self, reading: Reading) -> None:
        """In place, in one piece."""
        line = f"{reading.commits} {reading.seq} {reading.look}".ljust(SIZE - 1) + "\n"
        with suppress(OSError):  # it is behind then, as after a power cut
            os.pwrite(self._number, line.encode(), 0)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._number)


def look_of(path: str) -> str:
    """What tells a database file from what it was, without reading it; "" when its log is not in it."""
    if os.path.exists(f"{path}-wal"):
        return ""
    facts = os.stat(path)
    # the time of the last change of any sort, which cannot be set back as the date can
    return f"{facts.st_ino}:{facts.st_size}:{facts.st_ctime_ns}"
