"""Complete and Cancel: the two calls that reach into the file system, in two steps with an intent on record between.

Step one commits the intent: nothing else may change the job then. Step two publishes or removes its files and commits
what came of it. A service that stopped in between finishes at its next start (`finish_begun`).
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from jobqueue.change import Change, Guard
from jobqueue.errors import JobQueueError
from jobqueue.job import File, Intent, Job, Owner, State
from jobqueue.queue import JobQueue
from jobqueue.states import Trigger, check

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Published:
    """Which files (by index) are under their local names now, and what stopped the rest."""

    indexes: frozenset[int]
    problem: JobQueueError | None = None


class LocalFiles(Protocol):
    """The local side of a job's files, touched with its owner's rights. Both may be repeated."""

    async def publish(self, owner: Owner, files: Sequence[File]) -> Published:
        """Give each file its local name, in order, until one fails."""
        ...

    async def discard(self, owner: Owner, files: Sequence[File]) -> Sequence[str]:
        """Remove their temporary files; returns the paths that could not be removed."""
        ...


class Finisher:
    """Ends jobs. `release` stops the job's attempt and waits for it."""

    def __init__(self, queue: JobQueue, files: LocalFiles, release: Callable[[str], Awaitable[None]]) -> None:
        self._queue = queue
        self._files = files
        self._release = release
        self._ending: set[str] = set()
        """Jobs with a call under way; an intent on record without one (its end was not recorded) may be begun again."""

    async def complete(self, job_id: str, guard: Guard) -> tuple[Job, str]:
        """Publish what is finished, discard the rest: ACKNOWLEDGED and S_OK, BG_S_PARTIAL_COMPLETE or
        BG_S_UNABLE_TO_DELETE_FILES.

        Raises InvalidStateError; LocalFileFailedError when a file could not get its name: the job is TRANSFERRED
        then, the files before it are available, and Complete may be called again (§2.2).
        """
        job = await self._begin(job_id, "COMPLETE", Trigger.COMPLETE, guard)
        try:
            return await self._finish_complete(job)
        finally:
            self._ending.discard(job_id)

    async def cancel(self, job_id: str, guard: Guard) -> tuple[Job, str]:
        """Remove everything the job fetched: CANCELLED and S_OK or BG_S_UNABLE_TO_DELETE_FILES."""
        job = await self._begin(job_id, "CANCEL", Trigger.CANCEL, guard)
        try:
            return await self._finish_cancel(job)
        finally:
            self._ending.discard(job_id)

    async def finish_begun(self, job: Job) -> None:
        """Finish what is on record as begun (after a restart, or when a job expired)."""
        self._ending.add(job.id)
        try:
            await (self._finish_complete(job) if job.intent == "COMPLETE" else self._finish_cancel(job))
        except JobQueueError as error:
            log.warning("cannot finish to %s job %s: %s", (job.intent or "").lower(), job.id, error)
        finally:
            self._ending.discard(job.id)

    async def _begin(self, job_id: str, intent: Intent, trigger: Trigger, guard: Guard) -> Job:
        is_mine = False

        def work(change: Change) -> Job:
            nonlocal is_mine
            job = change.tx.job(job_id)
            guard(job)
            if job.intent != intent or job_id in self._ending:
                check(job, trigger)
                job = replace(job, intent=intent)
                change.keep(job)
            self._ending.add(job_id)  # here, so that of two calls in one commit the second is refused
            is_mine = True
            return job

        try:
            return await self._queue.change(work)
        except BaseException:
            if is_mine:
                self._ending.discard(job_id)
            raise

    async def _finish_complete(self, job: Job) -> tuple[Job, str]:
        await self._release(job.id)
        files = await self._queue.read(lambda tx: tx.files(job.id))
        published = await self._files.publish(
            job.owner, [file for file in files if file.transferred and not file.completed]
        )
        if published.problem is not None:
            await self._end(job.id, Trigger.RENAME_FAILED, published.indexes)
            raise published.problem
        left = await self._files.discard(job.owner, [file for file in files if not file.transferred])
        done = await self._end(job.id, Trigger.COMPLETE, published.indexes)
        result = "S_OK" if done.totals.is_transferred else "BG_S_PARTIAL_COMPLETE"
        return done, self._with_leftovers(job, left, result)

    async def _finish_cancel(self, job: Job) -> tuple[Job, str]:
        await self._release(job.id)
        files = await self._queue.read(lambda tx: tx.files(job.id))
        left = await self._files.discard(job.owner, [file for file in files if not file.completed])
        done = await self._end(job.id, Trigger.CANCEL, frozenset())
        return done, self._with_leftovers(job, left, "S_OK")

    async def _end(self, job_id: str, trigger: Trigger, published: frozenset[int]) -> Job:
        def work(change: Change) -> Job:
            row = change.tx.job(job_id)
            after = replace(row, intent=None)
            for file in change.tx.files(job_id):
                if file.index in published and not file.completed:
                    after = change.put_file(after, file, replace(file, completed=True, validated=True))
            change.is_scheduling = True
            if trigger is Trigger.RENAME_FAILED and not published and row.state is State.TRANSFERRED:
                change.keep(after)  # as it was: a refused call changes nothing
                return after
            return change.save(row, change.advance(after, trigger), by_owner=True)

        return await self._queue.change(work)

    @staticmethod
    def _with_leftovers(job: Job, left: Sequence[str], result: str) -> str:
        if not left:
            return result
        log.warning("job %s: cannot delete temporary files: %s", job.id, ", ".join(left))
        return "BG_S_UNABLE_TO_DELETE_FILES"
