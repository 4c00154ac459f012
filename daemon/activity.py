"""What the service has to do: calls that are being served and jobs. One line says it; it may end when that is nothing.

Woken by changes of the queue and by callers; nothing polls. Owns no decision about a job.
"""

import asyncio
import contextlib
import logging
from math import inf

from aiohttp import web
from aiohttp.typedefs import Handler

from daemon.systemd import Supervisor, TimerFailedError, arm_timer
from jobqueue.errors import StoreFailedError, StoreFullError
from jobqueue.job import State
from jobqueue.queue import JobQueue
from jobqueue.states import ACTIVE
from jobqueue.transaction import Transaction

log = logging.getLogger(__name__)

CALM = 0.5
"""Seconds in which changes are gathered before they are told: they come in crowds."""
RUNNABLE = (State.QUEUED, *ACTIVE)
WAITING = (State.QUEUED, State.TRANSIENT_ERROR)


class Activity:
    """Of one service. `idle_exit` (seconds, 0 = never) may be replaced while running (call `stir` then)."""

    def __init__(self, queue: JobQueue, idle_exit: int) -> None:
        self.idle_exit = idle_exit
        self._queue = queue
        self._calls = 0
        self._news = asyncio.Event()
        # what is neither of the two keeps the books: service time is saved again and again while deadlines are pending
        queue.subscribe(lambda change: self.stir() if change.has_events or change.is_scheduling else None)
        queue.store.watch(self.stir)

    def stir(self) -> None:
        """Something happened: somebody came or went, or the queue changed."""
        self._news.set()
        self._news = asyncio.Event()

    def watch(self, app: web.Application) -> None:
        """Count every call of `app` for as long as it is served: a wait or an event stream as long as it lasts."""

        @web.middleware
        async def counted(request: web.Request, handler: Handler) -> web.StreamResponse:
            self._count(1)
            try:
                return await handler(request)
            finally:
                self._count(-1)

        app.middlewares.insert(0, counted)

    def _count(self, change: int) -> None:
        self._calls += change
        self.stir()

    async def tell(self, supervisor: Supervisor) -> None:
        """Keep the supervisor's status line right until cancelled."""
        told = ""
        while supervisor.is_there:
            news = self._news
            line = await self._line()
            if line != told:
                supervisor.tell_status(line)
                told = line
            await news.wait()
            await asyncio.sleep(CALM)

    async def _line(self) -> str:
        try:
            transferring, waiting = await self._queue.read(_numbers)
        except (StoreFullError, StoreFailedError) as error:
            return str(error)
        trouble = self._queue.store.trouble
        line = f"{transferring} transferring, {waiting} waiting"
        if trouble is not None:
            line += f"; queue storage {'full' if isinstance(trouble, StoreFullError) else 'failed'}"
        return line

    async def until_idle(self) -> None:
        """Return when for `idle_exit` seconds nobody was served and no job had to run, and a timer is armed for the
        next job or housekeeping that is due. Without a timer the service stays: no job may be forgotten.
        """
        while True:
            news = self._news
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.idle_exit or None):
                    await news.wait()
            if not news.is_set():
                next_wake = 0.0 if self._calls else await self._next_wake()
                is_worth_it = self.idle_exit < next_wake - self._queue.clock.now()
                if is_worth_it and await self._has_timer(next_wake) and not news.is_set():
                    return
                await news.wait()

    async def _next_wake(self) -> float:
        """When a job must be looked at (service time): 0 = at once, also while the store is in trouble; inf = never."""
        if self._queue.store.trouble is not None:
            return 0.0
        try:
            return await self._queue.read(_next_wake)
        except (StoreFullError, StoreFailedError) as error:
            log.warning("cannot tell whether there is anything to do: %s", error)
            return 0.0

    async def _has_timer(self, next_wake: float) -> bool:
        if next_wake == inf:
            return True
        try:
            await arm_timer(next_wake - self._queue.clock.now())
        except TimerFailedError as error:
            log.warning("cannot end while idle: there is no timer to start the service again: %s", error)
            return False
        return True


def _numbers(tx: Transaction) -> tuple[int, int]:
    """Jobs that transfer and jobs that wait."""
    return tx.count_in(ACTIVE), tx.count_in(WAITING)


def _next_wake(tx: Transaction) -> float:
    if tx.is_any_in(RUNNABLE) or tx.jobs_with_intent():
        return 0.0
    next_wake = tx.next_wake()
    return inf if next_wake is None else next_wake
