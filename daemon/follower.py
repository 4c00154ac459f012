"""A follower's place in the log: takes what comes after it, from memory or from the store, and waits for more."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from math import inf
from types import TracebackType
from typing import Protocol, Self

from daemon.progress import Progress
from daemon.window import Line, Window, is_wanted, line_of
from jobqueue.job import Event
from jobqueue.transaction import EventQuery

Read = Callable[[EventQuery], Awaitable[tuple[Sequence[Event], int]]]


class Host(Protocol):
    """Who tells followers what happens (fanout.py)."""

    window: Window
    progress: Progress
    catching_up: asyncio.Semaphore
    is_closed: bool

    def join(self, follower: "Follower") -> None: ...
    def leave(self, follower: "Follower") -> None: ...
    def await_news(self, follower: "Follower") -> None: ...
    def forgo_news(self, follower: "Follower") -> None: ...


class Follower:
    """Somebody's place in the log: everything after `seq` is still to be taken. Entered, it is told of news."""

    def __init__(self, host: Host, read: Read, query: EventQuery, seq: int, *, has_progress: bool) -> None:
        self.wanted = replace(query, after=0, limit=0)
        self.has_progress = has_progress
        self.seq = seq
        self._host = host
        self._read = read
        self._joined = host.progress.beat
        self._beat = 0
        self._is_waiting = False
        self._woken: asyncio.Future[bool] | None = None

    def __enter__(self) -> Self:
        self._host.join(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._host.leave(self)

    async def take(self, limit: int, size: float = inf) -> list[Line]:
        """The next lines: at most `limit`, and no more once they have `size` bytes; [] = there are none now.

        Raises EventsTruncatedError, StoreFailedError.
        """
        window = self._host.window
        if window.has(self.seq):
            lines, end = window.after(self.seq), window.head
        else:
            async with self._host.catching_up:
                events, end = await self._read(replace(self.wanted, after=self.seq, limit=limit))
            lines = map(line_of, events)
        taken = []
        for line in lines:
            if is_wanted(line, self.wanted):
                taken.append(line)
                size -= len(line.frame)
                if len(taken) == limit or size <= 0:
                    self.seq = line.seq
                    return taken
        self.seq = max(self.seq, end)
        return taken

    @property
    def has_new_progress(self) -> bool:
        """`take_progress` has something."""
        return bool(self._progress())

    def take_progress(self) -> list[bytes]:
        """A frame for each job that moved since the last call; at first for each that runs."""
        frames = self._progress()
        if frames:
            self._beat = self._host.progress.beat
        return frames

    def _progress(self) -> list[bytes]:
        progress = self._host.progress
        if not self.has_progress or progress.beat == self._joined:
            return []  # what was seen before it came is out of date
        return progress.since(self._beat, self.wanted)

    async def wait(self, seconds: float) -> bool:
        """Until there may be something to take; False when there was nothing all the time."""
        window, loop = self._host.window, asyncio.get_running_loop()
        if self._host.is_closed or (not window.is_blank and self.seq < window.head):
            return True
        self._woken = loop.create_future()
        self._is_waiting = True
        self._host.await_news(self)
        timer = loop.call_later(seconds, partial(self._end, is_news=False))
        try:
            return await self._woken
        finally:
            timer.cancel()
            if self._is_waiting:
                self._host.forgo_news(self)
                self.stop_at(window.head)

    def stop_at(self, seq: int) -> None:
        """Up to this number there is nothing to take; from there it goes on by itself."""
        self._is_waiting = False
        self.seq = max(self.seq, seq)

    def wake(self) -> None:
        """End its waiting, if it waits."""
        self._end(is_news=True)

    def _end(self, *, is_news: bool) -> None:
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(is_news)
