"""What running attempts report, and what it makes of their jobs. Each report is recorded before the attempt goes on.

Owns the way from an outcome to a state (retry.decide -> states.advance). Never counts a byte that is not synced.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import TypeVar

from jobqueue import retry
from jobqueue.change import Change
from jobqueue.errors import StoreFailedError, StoreFullError
from jobqueue.job import Failed, File, Finished, Job, Outcome, State, Yielded
from jobqueue.landing import Landed, Landings, Report, learn
from jobqueue.queue import JobQueue
from jobqueue.states import ACTIVE, Trigger
from jobqueue.upcoming import Upcoming

T = TypeVar("T")

STORE_PAUSE = 5.0
"""Seconds between tries while the store cannot take a record."""
UNCOUNTED = frozenset({"BG_E_NETWORK_DISCONNECTED", "BG_E_DESTINATION_LOCKED", "BG_E_BLOCKED_BY_POLICY"})
"""Errors that do not raise the error count (§3.6)."""


@dataclass(frozen=True, slots=True)
class RemoteFacts:
    """What a reply head said about a file. `size` of the local file to be, `remote_size` of the whole remote one.

    `fetched_from`: the URL that was asked, the file's own or a mirror. `asked_name` is the remote name at that time,
    `remote_name` the one to keep of it (another one if redirects are to be reported, §5.4); a URL that the owner has
    set meanwhile stays.
    """

    size: int | None
    remote_size: int | None
    etag: str | None
    last_modified: str | None
    is_date_weak: bool
    media_type: str | None
    served_digest: Mapping[str, str]
    response_headers: str
    inode: int
    fetched_from: str
    asked_name: str
    remote_name: str

    def learnt(self, file: File, offset: int) -> File:
        """The file with these facts on record, and with what it has, or with nothing if `offset` is 0."""
        facts = {item.name: getattr(self, item.name) for item in fields(self)}
        asked_name = facts.pop("asked_name")
        if file.remote_name != asked_name:
            facts["remote_name"] = file.remote_name
        if not offset:
            file = replace(file, offset=0, checksum=None, mtime=None, generation=file.generation + 1)
        return replace(file, **facts)


class Reports:
    """Takes reports for the queue; one for all attempts."""

    def __init__(self, queue: JobQueue, jitter: Callable[[], float] = random.random) -> None:
        self._queue = queue
        self._jitter = jitter
        self._news = asyncio.Event()
        self._landings = Landings(queue)
        self._upcoming: set[Upcoming] = set()
        queue.subscribe(self._told)

    async def start(self, job_ids: Sequence[str]) -> list[Job]:
        """TRANSFERRING, each job that still waits for its turn; returns those."""

        def work(change: Change) -> list[Job]:
            jobs = [change.tx.job(job_id) for job_id in job_ids]
            waiting = [job for job in jobs if job.state is State.QUEUED and job.intent is None]
            return [change.save(job, change.advance(job, Trigger.START)) for job in waiting]

        return await self._queue.change(work)

    @contextmanager
    def upcoming(self, job_id: str) -> Iterator[Upcoming]:
        """The job's files whose turn is to come, for an attempt as long as it lasts."""
        files = Upcoming(self._queue, job_id)
        self._upcoming.add(files)
        try:
            yield files
        finally:
            self._upcoming.remove(files)

    async def job(self, job_id: str) -> Job:
        """The job as it is now."""
        return await self._queue.job(job_id)

    async def has_more_files(self, job_id: str, count: int) -> None:
        """Returns once the job has more than so many files."""
        while True:
            news = self._news
            if (await self.job(job_id)).totals.files > count:
                return
            await news.wait()

    async def files(self, job_id: str) -> Sequence[File]:
        """Every file of the job."""
        return await self._queue.read(lambda tx: tx.files(job_id))

    async def size_known(self, job_id: str, index: int, size: int) -> None:
        """A file's size was learnt before its turn came."""
        await self._file(job_id, index, lambda file: file if file.size is not None else replace(file, size=size))

    async def remote_known(self, job_id: str, index: int, facts: RemoteFacts, offset: int) -> None:
        """A reply was accepted and continues at `offset`; 0 = what was there is void."""
        await self._file(job_id, index, lambda file: facts.learnt(file, offset))

    async def synced(self, job_id: str, index: int, landed: Landed) -> None:
        """Bytes of the file are on the disk.

        The one report that may be missed, since the next tells the same. Raises StoreFullError, StoreFailedError.
        """
        await self._landings.record(job_id, Report(index, landed.of))

    async def redirected(self, job_id: str, asked: File, remote_name: str) -> None:
        """The file's URL leads elsewhere; that is its remote name from now on (§5.4), unless the owner set another."""

        def moved(file: File) -> File:
            return replace(file, remote_name=remote_name) if file.remote_name == asked.remote_name else file

        await self._file(job_id, asked.index, moved)

    async def emptied(self, job_id: str, index: int) -> None:
        """What was fetched of the file turned out wrong: it starts from zero."""
        await self._file(job_id, index, File.emptied)

    async def file_transferred(
        self, job_id: str, index: int, size: int, mtime: int | None = None, facts: RemoteFacts | None = None
    ) -> None:
        """Every byte of the file is in its temporary file, verified and synced. `facts`: if they are not known yet.

        Stopped, it is recorded all the same.
        """

        def done(file: File) -> File:
            file = file if facts is None else facts.learnt(file, 0)
            return replace(file, transferred=True, offset=size, pieces=(), size=size, mtime=mtime, validated=None)

        await self._insist(lambda: self._landings.record(job_id, Report(index, done, "FILE_TRANSFERRED")))

    async def outcome(self, job_id: str, outcome: Outcome) -> Job | None:
        """What an attempt came to. Returns the job if it must go on (files were added meanwhile), else None.

        An outcome that the job's owner has overtaken (suspended, cancelled, completed it) changes nothing.
        """

        def work(change: Change) -> Job | None:
            job = change.tx.job(job_id)
            if job.state not in ACTIVE or job.intent is not None:
                change.is_scheduling = True
                return None
            match outcome:
                case Finished():
                    if not job.totals.is_transferred:
                        return job
                    change.save(job, change.advance(job, Trigger.FINISH))
                case Yielded(is_slice_end):
                    change.save(job, change.advance(job, Trigger.SLICE_END if is_slice_end else Trigger.YIELD))
                case Failed():
                    failed = replace(outcome, error=replace(outcome.error, at=change.wall))
                    change.save(job, self._failed(change, job, failed))
            return None

        return await self._insist(lambda: self._queue.change(work))

    async def _insist(self, record: Callable[[], Awaitable[T]]) -> T:
        """Have it on record, however long the store cannot take it: an attempt does not go on before."""
        while True:
            try:
                return await record()
            except (StoreFullError, StoreFailedError):
                await asyncio.sleep(STORE_PAUSE)

    def _told(self, change: Change) -> None:
        for files in self._upcoming:
            files.tell(change)
        if change.has_events:
            self._news.set()
            self._news = asyncio.Event()

    def _failed(self, change: Change, job: Job, failed: Failed) -> Job:
        """TRANSIENT_ERROR with its clocks running, or ERROR."""
        count = job.error_count + (failed.error.code not in UNCOUNTED)
        since = job.timers.no_progress_since
        timers = replace(
            job.timers,
            failed_at=change.now,
            retry_after=failed.retry_after,
            jitter=self._jitter(),
            no_progress_since=change.now if failed.moved or since is None else since,
        )
        job = replace(job, error_count=count, timers=timers)
        if failed.transient:
            waiting = change.advance(job, Trigger.FAIL, failed.error)
            verdict = retry.decide(waiting, change.policy)
            if isinstance(verdict, retry.RetryAt) or verdict.at > change.now:
                return waiting
        return change.advance(job, Trigger.FAIL_FATAL, failed.error)

    async def _file(self, job_id: str, index: int, learnt: Callable[[File], File]) -> None:
        """Record what was learnt of one file of a job that is not final, at once."""
        report = Report(index, learnt)
        for place in await self._insist(lambda: self._queue.change(lambda change: learn(change, job_id, report))):
            self._queue.live.recorded(job_id, *place)
