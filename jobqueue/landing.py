"""What landed on the disk: the progress of files, on record for many transfers in one commit.

Owns what progress means for a job (its sums, its clocks), and the gathering of reports that come at about the same
time, which they do: transfers sync at the same moments, and small files end one after the other. Refuses to know what
comes of a job.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from jobqueue.change import Change
from jobqueue.errors import FileNotInJobError, NotFoundError, StoreFailedError
from jobqueue.job import File
from jobqueue.queue import JobQueue

GATHERING = 0.05
"""Seconds that a report waits for others, when other files are on their way too."""


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a file, as a change of its record, and the event that tells of it."""

    index: int
    learnt: Callable[[File], File]
    event: str | None = None


@dataclass(frozen=True, slots=True)
class Landed:
    """The first `offset` bytes of a file are on the disk, and its pieces beyond (start, end and checksum of each); 0 =
    what was there is void, and nothing came since.
    """

    offset: int
    checksum: int
    mtime: int
    pieces: tuple[tuple[int, int, int], ...] = ()

    def of(self, file: File) -> File:
        """The file with this on record."""
        if self.offset == 0 < file.offset:
            return file.emptied()
        return replace(file, offset=self.offset, checksum=self.checksum, mtime=self.mtime, pieces=self.pieces)


class Landings:
    """Takes reports; whoever comes first records all that came until its time is over."""

    def __init__(self, queue: JobQueue) -> None:
        self._queue = queue
        self._reports: dict[str, list[Report]] = {}
        self._recorded: asyncio.Future[None] | None = None

    async def record(self, job_id: str, report: Report) -> None:
        """Returns once it is on record; it will be though this is stopped. Raises StoreFullError, StoreFailedError."""
        self._reports.setdefault(job_id, []).append(report)
        if self._recorded is not None:
            await asyncio.shield(self._recorded)
            return
        self._recorded = recorded = asyncio.get_running_loop().create_future()
        recorded.add_done_callback(lambda future: future.exception())  # looked at, also when nobody else came
        try:
            if self._queue.live.count > 1:
                await asyncio.sleep(GATHERING)
        finally:  # who is stopped does not stop those who count on it
            await self._record_all(recorded)

    async def _record_all(self, recorded: asyncio.Future[None]) -> None:
        reports, self._reports, self._recorded = self._reports, {}, None
        error: Exception = StoreFailedError("cannot record what landed: whoever was to do it was stopped")

        def work(change: Change) -> list[tuple[str, int, int]]:
            return [(job_id, *landed) for job_id, some in reports.items() for landed in _learnt(change, job_id, some)]

        try:
            for landed in await self._queue.change(work):
                self._queue.live.recorded(*landed)
        except Exception as failure:
            error = failure
            raise
        else:
            recorded.set_result(None)
        finally:
            if not recorded.done():
                recorded.set_exception(error)


def _learnt(change: Change, job_id: str, reports: Sequence[Report]) -> list[tuple[int, int]]:
    try:
        return learn(change, job_id, *reports)
    except NotFoundError:  # nothing to do with the others in this commit
        return []


def learn(change: Change, job_id: str, *reports: Report) -> list[tuple[int, int]]:
    """Put what was learnt of a job's files on record; returns how many bytes of each are. A job that is over learns
    nothing, and neither does a file that is not there.
    """
    change.is_progress = True
    job = change.tx.job(job_id)
    if job.state.is_final:
        return []
    after, timers, landed, has_new_files = job, job.timers, [], False
    for report in reports:
        try:
            old = change.tx.file(job_id, report.index)
        except FileNotInJobError:
            continue
        new = report.learnt(old)
        landed.append((report.index, new.landed))
        if new == old:
            continue
        if new.landed > old.landed:
            timers = replace(timers, activity_at=change.now, no_progress_since=None)
        after = change.put_file(after, old, new)
        if report.event is not None:
            after = change.emit(after, report.event, file_index=report.index)
        has_new_files |= new.remote_name != old.remote_name
    if after is job:
        return landed
    after = replace(after, modified=change.wall, timers=timers)
    if has_new_files:
        change.save(job, after, has_new_files=True)
    else:
        change.keep(after)
    return landed
