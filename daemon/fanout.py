"""Tells everybody who follows the log what happens: read from the store once, and only whom it concerns is woken.

A follower that falls behind what is in memory catches up from the store by itself, in small batches; few at a time, so
that a crowd leaves the store's thread to others.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence

from daemon.documents import Documents
from daemon.follower import Follower
from daemon.progress import Progress
from daemon.window import Line, Window, is_wanted, line_of
from jobqueue.errors import JobQueueError
from jobqueue.job import Event
from jobqueue.queue import JobQueue
from jobqueue.transaction import EventQuery, Transaction

PROGRESS_INTERVAL = 0.5
"""Seconds between looks at what is being transferred."""
BATCH = 500
"""Events of one read for all."""
CATCHING_UP = 4
"""Followers that read the store at a time."""
SLICE = 16
"""Followers woken at a time: each sends when it wakes, and others want an answer meanwhile."""
RETRY = 1.0


class Fanout:
    """One for the service; `serve` runs until `close`. It does nothing while nobody follows."""

    def __init__(self, queue: JobQueue) -> None:
        self.window = Window()
        self.progress = Progress(queue)
        self.catching_up = asyncio.Semaphore(CATCHING_UP)
        self.is_closed = False
        self._queue = queue
        self._followers: set[Follower] = set()
        self._waiting: dict[EventQuery, set[Follower]] = {}
        self._news = asyncio.Event()
        self._moving = asyncio.Event()
        self._closed = asyncio.Event()

    async def serve(self, documents: Documents) -> None:
        """Tell them all."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._tell_events()), group.create_task(self._tell_progress(documents))]
            await self._closed.wait()
            for task in tasks:
                task.cancel()

    def close(self) -> None:
        """Wake everybody for the last time."""
        self.is_closed = True
        self._closed.set()
        for follower in self._followers:
            follower.wake()

    def look(self) -> None:
        """There may be new events."""
        if self._followers:
            self._news.set()

    def join(self, follower: Follower) -> None:
        """Somebody follows from now on."""
        self._followers.add(follower)
        if self.window.is_blank:
            self._news.set()
        if follower.has_progress:
            self._moving.set()

    def leave(self, follower: Follower) -> None:
        """And does no longer."""
        self._followers.discard(follower)
        if not self._followers:
            self.window.blank()

    def await_news(self, follower: Follower) -> None:
        """Wake it with the next thing that it wants."""
        self._waiting.setdefault(follower.wanted, set()).add(follower)

    def forgo_news(self, follower: Follower) -> None:
        """It waits no longer: nothing it wants happened up to the newest event."""
        waiting = self._waiting[follower.wanted]
        waiting.remove(follower)
        if not waiting:
            del self._waiting[follower.wanted]

    async def _tell_events(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            try:
                await self._wake(await self._read())
            except JobQueueError:
                await asyncio.sleep(RETRY)
                self._news.set()

    async def _read(self) -> list[Follower]:
        """Take in what happened; returns whom it concerns."""
        head = None if self.window.is_blank else self.window.head

        def work(tx: Transaction) -> tuple[int, int, Sequence[Event]]:
            events = () if head is None else tx.events(EventQuery(head, BATCH))
            return tx.events_floor(), tx.last_seq(), events

        floor, last, events = await self._queue.read(work)
        if not self._followers:
            self.window.blank()
            return []
        if head is None or self.window.is_blank or floor > head:
            self.window.reset(last)
            return self._pick(self._waiting, 0)  # nobody knows what they missed: each looks for itself
        lines = [line_of(event) for event in events]
        if len(lines) == BATCH:
            last = lines[-1].seq
            self._news.set()
        for line in lines:
            if line.type == "JOB_STATE":
                self.progress.forget(line.job_id)
                self._moving.set()
        self.window.extend(lines, max(last, head))
        return self._pick(self._concerned(lines), head)

    def _concerned(self, lines: Sequence[Line]) -> Iterator[EventQuery]:
        """What is waited for and among these lines."""
        of_job: dict[str | None, list[Line]] = {None: [*lines]}
        for line in lines:
            of_job.setdefault(line.job_id, []).append(line)
        for wanted in self._waiting:
            if any(is_wanted(line, wanted) for line in of_job.get(wanted.job_id, ())):
                yield wanted

    def _pick(self, concerned: Iterable[EventQuery], place: int) -> list[Follower]:
        """Those who wait for this; they go on from this place in the log, if they are not beyond it."""
        picked = [follower for wanted in list(concerned) for follower in self._waiting.pop(wanted)]
        for follower in picked:
            follower.stop_at(place)
        return picked

    async def _tell_progress(self, documents: Documents) -> None:
        while True:
            await self._moving.wait()
            await asyncio.sleep(PROGRESS_INTERVAL)
            self._moving.clear()
            if not any(follower.has_progress for follower in self._followers):
                self.progress.clear()
                continue
            try:
                is_moving = await self.progress.look(documents)
            except JobQueueError:
                is_moving = True
            if is_moving:
                self._moving.set()
            waiting = [follower for followers in self._waiting.values() for follower in followers]
            await self._wake([follower for follower in waiting if follower.has_new_progress])

    async def _wake(self, followers: Sequence[Follower]) -> None:
        """All of them; then rest as long as that took: what happens meanwhile is told a crowd at once."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        for number, follower in enumerate(followers, 1):
            follower.wake()
            if number % SLICE == 0:
                await asyncio.sleep(0)
        if len(followers) > SLICE:
            await asyncio.sleep(loop.time() - began)
