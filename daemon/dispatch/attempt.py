"""One attempt at a job: its files in order, a few at a time, each handed to the transfer.

Returns an outcome and never edits the queue: what must be on record while bytes flow goes through jobqueue.reports.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from daemon.dispatch.outcome import failed
from daemon.dispatch.record import FileRecord
from daemon.dispatch.request import request_for, terms_of
from daemon.identity import Executors
from jobqueue.errors import JobQueueError
from jobqueue.job import File, Finished, Job, Outcome
from jobqueue.live import LiveProgress
from jobqueue.reports import Reports
from jobqueue.upcoming import Upcoming
from transfer.errors import RedirectRefusedError, TransferError
from transfer.failover import WRONG_BYTES
from transfer.hosts import Room
from transfer.http import HttpSource
from transfer.request import Progress, RedirectPolicy, Result, Settings, TransferRequest
from transfer.shield import to_the_end
from transfer.source import Ask
from transfer.worker import transfer

MOST_UNRECORDED = 64
"""Files of a job that are on their way, or whose end is on its way to the record."""
SLOW = 0.5
"""Seconds after which the sizes of files that are still to come are asked for."""


@dataclass(slots=True)
class Dispatcher:
    """Carries out jobs. `settings` and `connections_per_job` may be replaced while running."""

    reports: Reports
    live: LiveProgress
    source: HttpSource
    executors: Executors
    settings: Settings
    connections_per_job: int

    async def run(self, job: Job) -> Outcome:
        """jobqueue.attempts.Run: ends when every file is transferred or one failed; cancelled = stopped."""
        with self.reports.upcoming(job.id) as files:
            return await _Attempt(self, job, files).run()


class _Attempt:
    def __init__(self, dispatcher: Dispatcher, job: Job, files: Upcoming) -> None:
        self._to = dispatcher
        self._job = job
        self._files = files
        self._next = 0
        self._taking = asyncio.Lock()
        self._taken_at = 0.0
        self._records = asyncio.TaskGroup()
        self._unrecorded = asyncio.Semaphore(MOST_UNRECORDED)
        self._has_moved = False
        self._failure: tuple[File, TransferError] | None = None
        # with a limit on the whole job, what the files before it brought must be known when one starts
        self._is_limited = job.properties.maximum_download_size is not None
        self._lanes = 1 if self._is_limited else dispatcher.connections_per_job
        self._connections = Room(max(self._lanes, dispatcher.settings.connections_per_file))

    async def run(self) -> Outcome:
        try:
            async with asyncio.TaskGroup() as group:
                sizes = group.create_task(self._learn_sizes())
                async with self._records, asyncio.TaskGroup() as lanes:
                    for _ in range(self._lanes):
                        lanes.create_task(self._lane())
                sizes.cancel()
        except BaseExceptionGroup as failures:
            _raise_unless_transfer_errors(failures)
        if self._failure is None:
            return Finished()
        file, error = self._failure
        return failed(self._job, file, error, has_moved=self._has_moved)

    async def _lane(self) -> None:
        """Fetch one file after the other; the first that fails stops all lanes, with their bytes kept."""
        while (file := await self._take()) is not None:
            try:
                await self._fetch(file)
            except TransferError as error:
                self._failure = self._failure or (file, error)
                raise

    async def _take(self) -> File | None:
        async with self._taking:
            file = await self._files.take()
            if file is not None:
                self._next = file.index + 1
                self._taken_at = asyncio.get_running_loop().time()
            return file

    async def _fetch(self, file: File) -> None:
        """One file to its temporary file; the next may begin before this one's end is on record."""
        to, job_id = self._to, self._job.id
        request = await self._request(file, await self._room(file))
        progress = Progress(file.landed, file.offset)
        record = FileRecord(to.reports, job_id, file, request)
        await self._unrecorded.acquire()  # before there is anything that would have to go on record
        to.live.watch(job_id, file, progress)
        try:
            result = await self._transferred(file, request, record, progress)
        except BaseException:
            self._let_go(file)
            raise
        finally:
            self._has_moved = self._has_moved or progress.transferred > file.landed
        recording = self._records.create_task(self._record(file, record, result))
        if self._is_limited:
            await recording

    async def _record(self, file: File, record: FileRecord, result: Result) -> None:
        """The attempt does not end before this has: nobody else may take the file for one that is still to come."""
        reports, job_id = self._to.reports, self._job.id
        try:
            await to_the_end(reports.file_transferred(job_id, file.index, result.size, result.mtime, record.untold))
        finally:
            self._let_go(file)

    def _let_go(self, file: File) -> None:
        self._to.live.forget(self._job.id, file.index)
        self._unrecorded.release()

    async def _transferred(
        self, file: File, request: TransferRequest, record: FileRecord, progress: Progress
    ) -> Result:
        to, job_id = self._to, self._job.id
        try:
            return await transfer(
                request,
                source=to.source,
                executor=to.executors.of(self._job.owner),
                settings=to.settings,
                observer=record,
                progress=progress,
                room=self._connections,
            )
        except RedirectRefusedError as error:
            if request.terms.redirects is RedirectPolicy.DISALLOW and not file.mirrors:
                await to.reports.redirected(job_id, file, error.target)
            raise
        except WRONG_BYTES:
            await to.reports.emptied(job_id, file.index)
            raise

    async def _room(self, file: File) -> int | None:
        """What is left of the job's maximum download size for this file; None = no limit."""
        most = self._job.properties.maximum_download_size
        if most is None:
            return None
        totals = (await self._to.reports.job(self._job.id)).totals
        return max(0, most - (totals.bytes_transferred - file.landed))

    async def _request(self, file: File, room: int | None = None) -> TransferRequest:
        terms = terms_of(self._job, self._files.secrets)
        return request_for(self._job, file, terms, room=room)

    async def _learn_sizes(self) -> None:
        """Ask for the sizes of files whose turn is still to come, so that bytes_total is known soon."""
        properties = self._job.properties
        if properties.dynamic_content or properties.http_method != "GET":
            return
        seen = self._lanes  # the first files are asked for at once anyway
        while True:
            await self._to.reports.has_more_files(self._job.id, seen)
            files = await self._to.reports.files(self._job.id)
            await self._probe(files[seen:])
            seen = len(files)

    async def _probe(self, files: Sequence[File]) -> None:
        for file in files:
            await self._until_slow()
            if file.size is None and not file.ranges and file.index >= self._next:
                request = await self._request(file)
                ask = Ask(file.remote_name, terms=request.terms)
                size = await self._to.source.probe(ask)
                if size is not None:
                    await self._to.reports.size_known(self._job.id, file.index, size)

    async def _until_slow(self) -> None:
        """Files that follow each other quickly tell their own sizes soon enough."""
        loop = asyncio.get_running_loop()
        while (left := self._taken_at + SLOW - loop.time()) > 0:  # noqa: ASYNC110 - time is what is waited for
            await asyncio.sleep(left)


def _raise_unless_transfer_errors(failures: BaseExceptionGroup) -> None:
    """Raise what is no fault of the transfer: one of the queue's own errors as it is, anything else as it came."""
    _, others = failures.split(TransferError)
    if others is None:
        return
    leaf: BaseException = others
    while isinstance(leaf, BaseExceptionGroup):
        leaf = leaf.exceptions[0]
    raise leaf if isinstance(leaf, JobQueueError) else failures
