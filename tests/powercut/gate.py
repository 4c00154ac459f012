"""The moment of the power cut: every system call passes here, and after the n-th that changes something none does.

Owns the lock under which the disk is touched. Calls that come when the power is gone wait, as nothing goes on in a
machine without power; they fail once the process that made them was killed (`kill`), so that it can end.
"""

import errno
import os
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Literal

LONGEST = 30.0
"""Seconds that a call waits: whoever looks at the disk by mistake while the power is gone learns of it."""


class Gate:
    """`changed`: how many calls have changed or synced something since the last `arm`."""

    def __init__(self) -> None:
        self.changed = 0
        self.last = ""
        """The last of them, for people."""
        self._state: Literal["on", "off", "dead"] = "on"
        self._left = 0
        self._kinds: Collection[str] = ()
        self._news = threading.Condition(threading.RLock())

    @contextmanager
    def passing(self, kind: str = "", path: str = "") -> Iterator[None]:
        """One call at a time; `kind` of one that changes something, "" = it only looks."""
        with self._news:
            self._news.wait_for(lambda: self._state != "off", LONGEST)
            if self._state != "on":
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            yield
            if kind:
                self.changed += 1
                self.last = f"{kind} {path}"
                self._count(kind)

    def arm(self, left: int, kinds: Collection[str]) -> None:
        """The power goes after so many more calls of these kinds (of any if there are none); 0 = it stays."""
        with self._news:
            self._left, self._kinds, self.changed = left, kinds, 0

    def run(self, seconds: float) -> None:
        """Until the power is gone: by itself, or at the latest after so long."""
        with self._news:
            self._news.wait_for(lambda: self._state == "off", seconds)
            self._enter("off")

    def kill(self) -> None:
        """Whoever waited was killed."""
        self._enter("dead")

    def go_on(self) -> None:
        """The power is back."""
        with self._news:
            self._left = 0
            self._enter("on")

    @contextmanager
    def alone(self) -> Iterator[None]:
        """While no call is under way."""
        with self._news:
            yield

    def _count(self, kind: str) -> None:
        if self._left and (not self._kinds or kind in self._kinds):
            self._left -= 1
            if self._left == 0:
                self._enter("off")

    def _enter(self, state: Literal["on", "off", "dead"]) -> None:
        with self._news:
            self._state = state
            self._news.notify_all()
