"""Complete and Cancel: the two calls that reach into the file system, in two steps with an intent on record between.

Step one commits the intent: nothing else may change the job then. Step two publishes or removes its files and commits
what came of it. A service that stopped in between finishes at its next start (`finish_begun`).
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Protocol

from jobqueue.change import Change, Guard
from jobqueue.errors import InvalidStateError, JobQueueError, NotFoundError
from jobqueue.job import File, Intent, Job, JobError, Owner, State
from jobqueue.queue import JobQueue
from jobqueue.states import Trigger, check

log = logging.getLogger(__name__)

TRY_AGAIN = 5.0
"""Seconds until an end that was begun and could not be recorded is tried again."""


@dataclass(frozen=True, slots=True)
class Published:
    """Which files (by index) are under their local names now, and what stopped the rest.

    `lost`: the file that stopped them, when its temporary file is gone or was changed by somebody else.
    """

    indexes: frozenset[int]
    problem: JobQueueError | None = None
    lost: JobError | None = None


class LocalFiles(Protocol):
    """The local side of a job's files, touched with its owner's rights. Both may be repeated."""

    async def publish(self, owner: Owner, files: Sequence[File]) -> Published:
        """Give each file its local name, in order, until one fails."""
        ...

    async def discard(self, owner: Owner, files: Sequence[File]) -> Sequence[str]:
        """Remove their temporary files; returns the paths that could not be removed."""
        ...


class _NotPublishedError(Exception):
    """A file could not get its name, and that is on record."""

    def __init__(self, problem: JobQueueError) -> None:
        super().__init__(str(problem))
        self.problem = problem


class Finisher:
    """Ends jobs. `release` stops a job's attempt and waits for it; `on_stuck` is called when `next_try` came nearer."""

    def __init__(
        self,
        queue: JobQueue,
        files: LocalFiles,
        release: Callable[[str], Awaitable[None]],
        on_stuck: Callable[[], None],
    ) -> None:
        self._queue = queue
        self._files = files
        self._release = release
        self._on_stuck = on_stuck
        self._stuck: dict[str, tuple[float, Job]] = {}
        """Jobs whose end could not be carried out or recorded, and when to try again."""

    async def complete(self, job_id: str, guard: Guard) -> tuple[Job, str]:
        """Publish what is finished, discard the rest: ACKNOWLEDGED and S_OK, BG_S_PARTIAL_COMPLETE or
        BG_S_UNABLE_TO_DELETE_FILES.

        Raises InvalidStateError; LocalFileFailedError when a file could not get its name: the job is TRANSFERRED
        then, the files before it are available, and Complete may be called again (§2.2). When its bytes are gone or
        are not ours any more, the job is in ERROR and Resume fetches that file again.
        """
        return await self._carry_out(await self._begin(job_id, "COMPLETE", Trigger.COMPLETE, guard))

    async def cancel(self, job_id: str, guard: Guard) -> tuple[Job, str]:
        """Remove everything the job fetched: CANCELLED and S_OK or BG_S_UNABLE_TO_DELETE_FILES."""
        return await self._carry_out(await self._begin(job_id, "CANCEL", Trigger.CANCEL, guard))

    @property
    def next_try(self) -> float:
        """When the next stuck job is due (service time), inf = there is none."""
        return min((at for at, _ in self._stuck.values()), default=inf)

    def take_due(self, now: float) -> list[Job]:
        """The stuck jobs to be tried again now; the caller sees to it with `finish_begun`."""
        due = [job for at, job in self._stuck.values() if at <= now]
        for job in due:
            del self._stuck[job.id]
        return due

    async def finish_begun(self, job: Job) -> None:
        """Finish what is on record as begun: after a restart, when a job expired, when it was stuck."""
        try:
            await self._carry_out(job)
        except JobQueueError as error:
            log.warning("cannot finish to %s job %s: %s", (job.intent or "").lower(), job.id, error)
        except Exception:
            # one job that cannot be finished must not keep the service from running all others
            log.exception("cannot finish to %s job %s", (job.intent or "").lower(), job.id)

    async def _begin(self, job_id: str, intent: Intent, trigger: Trigger, guard: Guard) -> Job:
        def work(change: Change) -> Job:
            job = change.tx.job(job_id)
            guard(job)
            check(job, trigger)
            job = replace(job, intent=intent)
            change.keep(job)
            return job

        return await self._queue.change(work)

    async def _carry_out(self, job: Job) -> tuple[Job, str]:
        try:
            return await (self._finish_complete(job) if job.intent == "COMPLETE" else self._finish_cancel(job))
        except _NotPublishedError as failure:
            raise failure.problem from None
        except (InvalidStateError, NotFoundError):
            raise  # the end is on record already
        except Exception:
            self._stuck[job.id] = (self._queue.clock.now() + TRY_AGAIN, job)
            self._on_stuck()
            raise

    async def _finish_complete(self, job: Job) -> tuple[Job, str]:
        await self._release(job.id)
        files = await self._queue.read(lambda tx: tx.files(job.id))
        published = await self._files.publish(
            job.owner, [file for file in files if file.transferred and not file.completed]
        )
        if published.problem is not None:
            trigger = Trigger.INVALIDATE if published.lost else Trigger.RENAME_FAILED
            await self._end(job.id, trigger, published.indexes, published.lost)
            raise _NotPublishedError(published.problem)
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

    async def _end(self, job_id: str, trigger: Trigger, published: frozenset[int], lost: JobError | None = None) -> Job:
        def work(change: Change) -> Job:
            row = change.tx.job(job_id)
            after = replace(row, intent=None)
            for file in change.tx.files(job_id):
                if file.index in published and not file.completed:
                    after = change.put_file(after, file, replace(file, completed=True, validated=True))
                elif lost is not None and file.index == lost.file_index:
                    after = change.put_file(after, file, file.emptied())
            change.is_scheduling = True
            if trigger is Trigger.RENAME_FAILED and not published and row.state is State.TRANSFERRED:
                change.keep(after)  # as it was: a refused call changes nothing
                return after
            error = None if lost is None else replace(lost, at=change.wall)
            return change.save(row, change.advance(after, trigger, error), by_owner=True)

        return await self._queue.change(work)

    @staticmethod
    def _with_leftovers(job: Job, left: Sequence[str], result: str) -> str:
        if not left:
            return result
        log.warning("job %s: cannot delete temporary files: %s", job.id, ", ".join(left))
        return "BG_S_UNABLE_TO_DELETE_FILES"
