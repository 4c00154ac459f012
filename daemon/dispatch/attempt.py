"""One attempt at a job: its files in order, a few at a time, each handed to the transfer.

Returns an outcome and never edits the queue: what must be on record while bytes flow goes through jobqueue.reports.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from daemon.dispatch.outcome import failed
from daemon.dispatch.request import request_for, terms_of
from daemon.identity import Executors
from jobqueue.errors import JobQueueError, StoreFailedError, StoreFullError
from jobqueue.job import File, Finished, Job, Outcome
from jobqueue.landing import Landed
from jobqueue.live import LiveProgress
from jobqueue.reports import RemoteFacts, Reports
from transfer.errors import RedirectRefusedError, TransferError
from transfer.failover import WRONG_BYTES
from transfer.hosts import Room
from transfer.http import HttpSource
from transfer.request import Piece, Progress, RedirectPolicy, RemoteFile, Settings, TransferRequest
from transfer.source import Ask
from transfer.worker import transfer


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
        return await _Attempt(self, job).run()


class _Attempt:
    def __init__(self, dispatcher: Dispatcher, job: Job) -> None:
        self._to = dispatcher
        self._job = job
        self._next = 0
        self._taking = asyncio.Lock()
        self._has_moved = False
        self._failure: tuple[File, TransferError] | None = None
        # with a limit on the whole job, what the files before it brought must be known when one starts
        is_limited = job.properties.maximum_download_size is not None
        self._lanes = 1 if is_limited else dispatcher.connections_per_job
        self._connections = Room(max(self._lanes, dispatcher.settings.connections_per_file))

    async def run(self) -> Outcome:
        try:
            async with asyncio.TaskGroup() as group:
                sizes = group.create_task(self._learn_sizes())
                async with asyncio.TaskGroup() as lanes:
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
            file = await self._to.reports.next_file(self._job.id, self._next)
            if file is not None:
                self._next = file.index + 1
            return file

    async def _fetch(self, file: File) -> None:
        """One file to its temporary file."""
        to, job_id = self._to, self._job.id
        request = await self._request(file, await self._room(file))
        progress = Progress(file.landed, file.offset)
        to.live.watch(job_id, file, progress)
        try:
            result = await transfer(
                request,
                source=to.source,
                executor=to.executors.of(self._job.owner),
                settings=to.settings,
                observer=_Record(to, job_id, file, request),
                progress=progress,
                room=self._connections,
            )
            await to.reports.file_transferred(job_id, file.index, result.size, result.mtime)
        except RedirectRefusedError as error:
            if request.terms.redirects is RedirectPolicy.DISALLOW and not file.mirrors:
                await to.reports.redirected(job_id, file, error.target)
            raise
        except WRONG_BYTES:
            await to.reports.emptied(job_id, file.index)
            raise
        finally:
            self._has_moved = self._has_moved or progress.transferred > file.landed
            to.live.forget(job_id, file.index)

    async def _room(self, file: File) -> int | None:
        """What is left of the job's maximum download size for this file; None = no limit."""
        most = self._job.properties.maximum_download_size
        if most is None:
            return None
        totals = (await self._to.reports.job(self._job.id)).totals
        return max(0, most - (totals.bytes_transferred - file.landed))

    async def _request(self, file: File, room: int | None = None) -> TransferRequest:
        terms = terms_of(self._job, await self._to.reports.secrets(self._job.id))
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
            if file.size is None and not file.ranges and file.index >= self._next:
                request = await self._request(file)
                ask = Ask(file.remote_name, terms=request.terms)
                size = await self._to.source.probe(ask)
                if size is not None:
                    await self._to.reports.size_known(self._job.id, file.index, size)


class _Record:
    """transfer.Observer of one file: puts what it is told on record."""

    def __init__(self, to: Dispatcher, job_id: str, file: File, request: TransferRequest) -> None:
        self._to = to
        self._job_id = job_id
        self._index = file.index
        self._request = request

    async def started(self, remote: RemoteFile, offset: int) -> None:
        asked_name = self._request.urls[0]
        is_reported = self._request.terms.redirects is RedirectPolicy.REPORT and remote.source == asked_name
        version = remote.validators
        facts = RemoteFacts(
            size=remote.size,
            remote_size=version.size,
            etag=version.etag,
            last_modified=version.last_modified,
            is_date_weak=version.is_date_weak,
            media_type=version.media_type,
            served_digest=dict(version.digest),
            response_headers=remote.headers,
            inode=remote.inode,
            fetched_from=remote.url if is_reported else remote.source,
            asked_name=asked_name,
            remote_name=remote.url if is_reported else asked_name,
        )
        await self._to.reports.remote_known(self._job_id, self._index, facts, offset)

    async def synced(self, offset: int, checksum: int, mtime: int, pieces: tuple[Piece, ...]) -> None:
        beyond = tuple((piece.start, piece.end, piece.checksum) for piece in pieces)
        with suppress(StoreFullError, StoreFailedError):  # bytes go on without; the next record tells of these too
            await self._to.reports.synced(self._job_id, self._index, Landed(offset, checksum, mtime, beyond))


def _raise_unless_transfer_errors(failures: BaseExceptionGroup) -> None:
    """Raise what is no fault of the transfer: one of the queue's own errors as it is, anything else as it came."""
    _, others = failures.split(TransferError)
    if others is None:
        return
    leaf: BaseException = others
    while isinstance(leaf, BaseExceptionGroup):
        leaf = leaf.exceptions[0]
    raise leaf if isinstance(leaf, JobQueueError) else failures
