"""What landed on the disk: the progress of files, on record for many transfers in one commit.

Owns what progress means for a job (its sums, its clocks), and the gathering of reports that come at about the same
time, which they do: transfers sync at the same moments. Refuses to know what comes of a job.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

from jobqueue.change import Change
from jobqueue.errors import FileNotInJobError, NotFoundError, StoreFailedError
from jobqueue.job import File
from jobqueue.queue import JobQueue

GATHERING = 0.05
"""Seconds that a report waits for others, when other files are on their way too."""


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
        self._landed: dict[tuple[str, int], Landed] = {}
        self._recorded: asyncio.Future[None] | None = None

    async def record(self, job_id: str, index: int, landed: Landed) -> None:
        """Returns once it is on record. Raises StoreFullError, StoreFailedError."""
        self._landed[job_id, index] = landed
        if self._recorded is not None:
            await asyncio.shield(self._recorded)
            return
        self._recorded = recorded = asyncio.get_running_loop().create_future()
        recorded.add_done_callback(lambda future: future.exception())  # looked at, also when nobody else came
        error: Exception = StoreFailedError("cannot record what landed: whoever was to do it was stopped")
        try:
            if self._queue.live.count > 1:
                await asyncio.sleep(GATHERING)
            await self._record_all()
        except Exception as failure:
            error = failure
            raise
        else:
            recorded.set_result(None)
        finally:
            if self._recorded is recorded:  # stopped before its time was over: nothing of it is left for another time
                self._landed, self._recorded = {}, None
            if not recorded.done():
                recorded.set_exception(error)

    async def _record_all(self) -> None:
        landed, self._landed, self._recorded = self._landed, {}, None

        def work(change: Change) -> dict[tuple[str, int], int | None]:
            return {place: _learnt(change, *place, facts) for place, facts in landed.items()}

        for (job_id, index), count in (await self._queue.change(work)).items():
            if count is not None:
                self._queue.live.recorded(job_id, index, count)


def _learnt(change: Change, job_id: str, index: int, landed: Landed) -> int | None:
    try:
        return learn(change, job_id, index, landed.of)
    except (NotFoundError, FileNotInJobError):  # nothing to do with the others in this commit
        return None


def learn(
    change: Change, job_id: str, index: int, learnt: Callable[[File], File], event: str | None = None
) -> int | None:
    """Put what was learnt of a file on record; returns how many of its bytes are, None if its job is over."""
    job = change.tx.job(job_id)
    if job.state.is_final:
        return None
    old = change.tx.file(job_id, index)
    new = learnt(old)
    if new == old:
        return new.landed
    has_moved = new.landed > old.landed
    timers = replace(
        job.timers,
        activity_at=change.now if has_moved else job.timers.activity_at,
        no_progress_since=None if has_moved else job.timers.no_progress_since,
    )
    after = change.put_file(replace(job, modified=change.wall, timers=timers), old, new)
    if event is not None:
        after = change.emit(after, event, file_index=index)
    if new.remote_name != old.remote_name:
        change.save(job, after, has_new_files=True)
    else:
        change.keep(after)
    return new.landed
