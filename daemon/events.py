"""The event log as clients see it: what happened after a number they have, now or as soon as it does.

Events are stored with the change that caused them (jobqueue.change); this only reads them and wakes who waits.
"""

import asyncio
from collections.abc import Sequence

from daemon.documents import Documents
from daemon.fanout import Fanout
from daemon.follower import Follower
from jobqueue.change import Change
from jobqueue.errors import EventsTruncatedError
from jobqueue.job import Event
from jobqueue.queue import JobQueue
from jobqueue.transaction import EventQuery, Transaction


def check_kept(tx: Transaction, after: int) -> None:
    """Raise EventsTruncatedError when something that happened after this number is no longer known."""
    floor = tx.events_floor()
    if after < floor:
        raise EventsTruncatedError(
            f"events up to {floor} are no longer kept; list the jobs, then ask from {floor} on", oldest=floor
        )


class EventLog:
    """One for the service; `serve` tells who follows, until `close` wakes everybody for the last time."""

    def __init__(self, queue: JobQueue) -> None:
        self._queue = queue
        self._fanout = Fanout(queue)
        self._news = asyncio.Event()
        self.is_closed = False
        queue.subscribe(self._told)

    async def serve(self, documents: Documents) -> None:
        """Tell those who follow; `documents` says how progress looks."""
        await self._fanout.serve(documents)

    def close(self) -> None:
        """End all waiting: the service stops."""
        self.is_closed = True
        self._news.set()
        self._fanout.close()

    def news(self) -> asyncio.Event:
        """Is set once something happened after this call. Take it before reading, then wait on it."""
        return self._news

    async def after(self, query: EventQuery) -> tuple[Sequence[Event], int]:
        """The stored events and the number to ask from next. Raises EventsTruncatedError."""

        def work(tx: Transaction) -> tuple[Sequence[Event], int]:
            check_kept(tx, query.after)
            events = tx.events(query)
            return events, events[-1].seq if len(events) == query.limit else max(tx.last_seq(), query.after)

        return await self._queue.read(work)

    def follow(self, query: EventQuery, seq: int, *, has_progress: bool = False) -> Follower:
        """What the query wants, from this number on; `has_progress`: also the live progress of its jobs."""
        return Follower(self._fanout, self.after, query, seq, has_progress=has_progress)

    async def oldest(self) -> int:
        """The number before the oldest event that is kept."""
        return await self._queue.read(lambda tx: tx.events_floor())

    def _told(self, change: Change) -> None:
        if change.has_events:
            self._news.set()
            self._news = asyncio.Event()
            self._fanout.look()
