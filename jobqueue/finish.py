"""Complete and Cancel: the two calls that reach into the file system, in two steps with an intent on record between.

Step one commits the intent: nothing else may change the job then. Step two publishes its files, each on record before
the next, or removes them; then the end is committed. A service that stopped in between goes on at its next start
(`finish_begun`): what was published is known by the record, or by its inode if the record came too late.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from math import inf
from typing import Protocol

from jobqueue import calls
from jobqueue.change import Change, Guard
from jobqueue.errors import InvalidStateError, JobQueueError, NotFoundError
from jobqueue.job import File, Intent, Job, JobError, Owner, State
from jobqueue.leftovers import Discard, Leftovers
from jobqueue.queue import JobQueue
from jobqueue.states import Trigger

log = logging.getLogger(__name__)

TRY_AGAIN = 5.0
"""Seconds until an end that was begun and could not be recorded is tried again."""


class NotPublishedError(Exception):
    """A file could not get its local name: `problem` is what its owner is told.

    `lost`: its temporary file is gone or was changed by somebody else.
    """

    def __init__(self, problem: JobQueueError, lost: JobError | None = None) -> None:
        super().__init__(str(problem))
        self.problem = problem
        self.lost = lost


class LocalFiles(Discard, Protocol):
    """The local side of a job's files, touched with its owner's rights. May be repeated."""

    async def publish(self, owner: Owner, file: File) -> None:
        """Give the finished file its local name. Raises NotPublishedError."""
        ...


class Finisher:
    """Ends jobs. `release` stops a job's attempt and waits for it; `on_stuck` is called when `next_try` came nearer."""

    def __init__(
        self,
        queue: JobQueue,
        files: LocalFiles,
        release: Callable[[str], Awaitable[None]],
        on_stuck: Callable[[], None],
    ) -> None:
        self.leftovers = Leftovers(queue, files, on_stuck)
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
        return await self._end_it(job_id, guard, "COMPLETE")

    async def cancel(self, job_id: str, guard: Guard) -> tuple[Job, str]:
        """Remove everything the job fetched: CANCELLED and S_OK or BG_S_UNABLE_TO_DELETE_FILES."""
        return await self._end_it(job_id, guard, "CANCEL")

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
            await self.carry_out(job)
        except JobQueueError as error:
            log.warning("cannot finish to %s job %s: %s", (job.intent or "").lower(), job.id, error)
        except Exception:
            # one job that cannot be finished must not keep the service from running all others
            log.exception("cannot finish to %s job %s", (job.intent or "").lower(), job.id)

    async def _end_it(self, job_id: str, guard: Guard, intent: Intent) -> tuple[Job, str]:
        return await self.carry_out(await self._queue.change(lambda change: calls.begin(change, job_id, guard, intent)))

    async def carry_out(self, job: Job) -> tuple[Job, str]:
        """Do what is on record as begun; answers and raises as `complete` and `cancel` do."""
        try:
            return await (self._finish_complete(job) if job.intent == "COMPLETE" else self._finish_cancel(job))
        except NotPublishedError as failure:
            raise failure.problem from None  # that is on record
        except (InvalidStateError, NotFoundError):
            raise  # the end is on record already
        except Exception:
            self._stuck[job.id] = (self._queue.clock.now() + TRY_AGAIN, job)
            self._on_stuck()
            raise

    async def _finish_complete(self, job: Job) -> tuple[Job, str]:
        await self._release(job.id)
        files = await self._queue.read(lambda tx: tx.files(job.id))
        is_changed = False
        for file in files:
            if file.transferred and not file.completed:
                try:
                    await self._files.publish(job.owner, file)
                except NotPublishedError as failure:
                    await self._fail(job.id, failure.lost, is_changed=is_changed)
                    raise
                await self._record_published(job.id, file.index)
                is_changed = True
        left = await self._discard(job, [file for file in files if not file.transferred])
        done = await self._end(job, Trigger.COMPLETE, left)
        return done, _result(left, "S_OK" if done.totals.is_transferred else "BG_S_PARTIAL_COMPLETE")

    async def _finish_cancel(self, job: Job) -> tuple[Job, str]:
        await self._release(job.id)
        files = await self._queue.read(lambda tx: tx.files(job.id))
        left = await self._discard(job, [file for file in files if not file.completed])
        return await self._end(job, Trigger.CANCEL, left), _result(left, "S_OK")

    async def _discard(self, job: Job, files: Sequence[File]) -> Sequence[str]:
        """Remove their temporary files; returns the paths that could not be removed."""
        return await self._files.discard(job.owner, [file.temporary_name for file in files]) if files else ()

    async def _record_published(self, job_id: str, index: int) -> None:
        def work(change: Change) -> None:
            job, file = change.tx.job(job_id), change.tx.file(job_id, index)
            change.keep(change.put_file(job, file, replace(file, completed=True, validated=True)))

        await self._queue.change(work)

    async def _end(self, job: Job, trigger: Trigger, left: Sequence[str]) -> Job:
        def work(change: Change) -> Job:
            row = change.tx.job(job.id)
            self.leftovers.note(change, row, left)
            change.is_scheduling = True
            return change.save(row, change.advance(replace(row, intent=None), trigger), by_owner=True)

        return await self._queue.change(work)

    async def _fail(self, job_id: str, lost: JobError | None, *, is_changed: bool) -> None:
        """A file could not be published: `is_changed` = others of the job were, in this call."""

        def work(change: Change) -> None:
            row = change.tx.job(job_id)
            after = replace(row, intent=None)
            change.is_scheduling = True
            if lost is not None:
                file = change.tx.file(job_id, lost.file_index or 0)
                after = change.put_file(after, file, file.emptied())
                after = change.advance(after, Trigger.INVALIDATE, replace(lost, at=change.wall))
            elif is_changed or row.state is not State.TRANSFERRED:
                after = change.advance(after, Trigger.RENAME_FAILED)
            else:
                change.keep(after)  # as it was: a refused call changes nothing
                return
            change.save(row, after, by_owner=True)

        await self._queue.change(work)


def _result(left: Sequence[str], result: str) -> str:
    return "BG_S_UNABLE_TO_DELETE_FILES" if left else result
