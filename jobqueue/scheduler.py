"""One loop: wake or timer -> what time has done -> choose -> start and stop attempts. Nothing polls.

The rows are the truth: an attempt whose job is no longer TRANSFERRING is stopped, whoever changed it.
"""

import asyncio
import contextlib
import logging
from dataclasses import dataclass, replace
from math import inf

from jobqueue import order, retry
from jobqueue.attempts import Attempts, Run
from jobqueue.change import Change
from jobqueue.errors import HRESULTS, StoreDamagedError, StoreFailedError, StoreFullError
from jobqueue.finish import Finisher, LocalFiles
from jobqueue.job import Job, JobError, Priority
from jobqueue.queue import JobQueue
from jobqueue.reports import STORE_PAUSE, Reports
from jobqueue.states import ACTIVE, Trigger
from jobqueue.transaction import Transaction

log = logging.getLogger(__name__)

BATCH = 100
"""Jobs whose time has come that are handled in one transaction."""
SHORTEST_SAVE, LONGEST_SAVE = 2.0, 3600.0
"""Seconds between two saves of service time while a timer runs: a sixteenth of what is left of it, within these."""


@dataclass(frozen=True, slots=True)
class _Board:
    queued: list[order.Waiter]
    active: dict[str, Job]
    next_wake: float


class Scheduler:
    """Runs the queue. `slots` may be replaced while running (call `rearm` then)."""

    def __init__(self, queue: JobQueue, reports: Reports, run: Run, files: LocalFiles, slots: order.Slots) -> None:
        self.slots = slots
        self.has_looked = asyncio.Event()
        """Set after the first look at the queue: what the last run left is in order again, if the store can take it."""
        self._queue = queue
        self._reports = reports
        self._wake = asyncio.Event()
        self._is_stopping = False
        self._is_recovered = False
        self._is_rearmed = True
        self._attempts = Attempts(reports, run, self._wake.set)
        self._save_at = inf
        self.finisher = Finisher(queue, files, self._attempts.release, self._wake.set)
        queue.subscribe(lambda change: self._wake.set() if change.is_scheduling else None)
        queue.store.watch(self._wake.set)

    def rearm(self) -> None:
        """The policy or the slots were replaced: judge every job anew."""
        self._is_rearmed = False
        self._wake.set()

    def stop(self) -> None:
        """Stop all attempts with their bytes kept; `serve` returns when they have ended."""
        self._is_stopping = True
        self._wake.set()

    def waiting(self, job: Job) -> str:
        """Why a QUEUED job does not run: `store`, `starting`, `slots` or `time_slice`."""
        if self._queue.store.trouble is not None:
            return "store"
        if not order.is_blocked(job.properties.priority.level, self._attempts.runners(), self.slots):
            return "starting"
        is_shared = any(runner.level == job.properties.priority.level for runner in self._attempts.runners())
        return "time_slice" if job.yielded and is_shared else "slots"

    async def serve(self) -> None:
        """Run until `stop`. Begins with what the last run left: active jobs queue again, begun ends are finished.

        Raises StoreDamagedError: only a new start can mend the store.
        """
        async with asyncio.TaskGroup() as group:
            while not self._is_stopping:
                self._wake.clear()
                try:
                    delay = await self._step(group)
                except StoreDamagedError:
                    raise
                except (StoreFullError, StoreFailedError):
                    self._wake.clear()
                    delay = STORE_PAUSE
                self.has_looked.set()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(delay):
                        await self._wake.wait()
            self._attempts.stop_all()
        with contextlib.suppress(StoreFullError, StoreFailedError):
            await self._queue.change(lambda _: None)  # saves the service's time

    async def _recover(self) -> list[Job]:
        def work(change: Change) -> list[Job]:
            for job in change.tx.jobs_in(ACTIVE):
                if job.intent is None:
                    change.save(job, change.advance(job, Trigger.YIELD))
            self._arm(change)
            return list(change.tx.jobs_with_intent())

        return await self._queue.change(work)

    @staticmethod
    def _arm(change: Change) -> None:
        """Give every job the wake-up that the policy means, if it is another policy than before."""
        policy = repr(change.policy)
        if change.tx.meta("policy") != policy:
            for job in change.tx.every_job():
                change.tx.set_wake(job.id, retry.wake_at(job, change.policy))
            change.tx.set_meta("policy", policy)

    async def _step(self, group: asyncio.TaskGroup) -> float | None:
        """One look at the queue; returns the seconds until the next (None = until woken)."""
        await self._catch_up(group)
        now = self._queue.clock.now()
        board = await self._queue.read(self._board)
        if board.next_wake <= now or now >= self._save_at:
            for job in await self._pass_time():
                group.create_task(self.finisher.finish_begun(job))
            board = await self._queue.read(self._board)
        self._attempts.reconcile(board.active)
        runners = self._attempts.runners()
        busy = {runner.id for runner in runners}
        line = [waiter for waiter in board.queued if waiter.id not in busy]
        decision = order.choose(line, runners, self.slots, now)
        for job_id in decision.slice_over:
            self._attempts.stop(job_id, is_slice_end=True)
        for job_id in decision.preempted:
            self._attempts.stop(job_id)
        if decision.start:
            for job in await self._reports.start(decision.start):
                self._attempts.start(group, job, self._queue.clock.now())
        self._queue.next_wake = board.next_wake
        self._save_at = _save_at(now, board.next_wake)
        ends = min(self.finisher.next_try, self.finisher.leftovers.next_try)
        look_at = min(board.next_wake, decision.look_again, self._save_at, ends)
        return None if look_at == inf else max(0.0, look_at - self._queue.clock.now())

    async def _catch_up(self, group: asyncio.TaskGroup) -> None:
        """What has to be done before the queue is looked at. Raises StoreDamagedError."""
        if isinstance(self._queue.store.trouble, StoreDamagedError):
            raise self._queue.store.trouble
        if not self._is_recovered:
            for job in await self._recover():
                group.create_task(self.finisher.finish_begun(job))
            self._is_recovered = True
        if self._queue.store.trouble is not None:
            await self._queue.store.prove()  # raises as long as it lasts
        for job in self.finisher.take_due(self._queue.clock.now()):
            group.create_task(self.finisher.finish_begun(job))
        if self.finisher.leftovers.next_try <= self._queue.clock.now():
            group.create_task(self.finisher.leftovers.retry())
        if not self._is_rearmed:
            self._is_rearmed = True
            await self._queue.change(self._arm)

    def _board(self, tx: Transaction) -> _Board:
        queued: list[order.Waiter] = []
        for priority in Priority:
            slots = self.slots.foreground if priority is Priority.FOREGROUND else self.slots.background
            # an attempt that is being stopped may be in line again: look past those
            limit = slots + self._attempts.count if slots else None
            queued += [
                order.Waiter(place.job_id, priority.level, place.turn) for place in tx.queued(priority.level, limit)
            ]
        active = {job.id: job for job in tx.jobs_in(ACTIVE) if job.intent is None}
        next_wake = tx.next_wake()
        return _Board(queued, active, inf if next_wake is None else next_wake)

    async def _pass_time(self) -> list[Job]:
        """Do to the jobs what is due, and save the service's time. Returns the jobs that must be cancelled."""

        def work(change: Change) -> tuple[list[Job], bool]:
            due = change.tx.due_jobs(change.now, BATCH)
            expired = [job for job in (self._tick(change, job) for job in due) if job is not None]
            return expired, len(due) == BATCH

        expired, is_more = await self._queue.change(work)
        while is_more:
            batch, is_more = await self._queue.change(work)
            expired += batch
        return expired

    def _tick(self, change: Change, job: Job) -> Job | None:
        """One job whose time may have come; returned if it must be cancelled now."""
        if job.state.is_final:
            change.delete(job)
            change.tx.prune_events(change.now - change.policy.history_retention)
            return None
        following = retry.due(job, change.policy)
        if following is None or following[0] > change.now:
            change.keep(job)
            return None
        trigger = following[1]
        if trigger is Trigger.EXPIRE:
            log.warning(
                "job %s is cancelled: nothing happened to it for %s s", job.id, change.policy.inactivity_timeout
            )
            job = replace(job, intent="CANCEL")
            change.keep(job)
            return job
        error = _overrun(change.wall) if trigger is Trigger.OVERRUN else None
        change.save(job, change.advance(job, trigger, error))
        return None


def _save_at(now: float, next_wake: float) -> float:
    if next_wake == inf:
        return inf
    return now + min(LONGEST_SAVE, max(SHORTEST_SAVE, (next_wake - now) / 16))


def _overrun(wall: float) -> JobError:
    code = "BG_E_MAXDOWNLOAD_TIMEOUT"
    message = "the job was transferring for longer than its maximum_download_time; resume starts the clock anew"
    return JobError(code, HRESULTS[code], "GENERAL_QUEUE_MANAGER", message, wall)
