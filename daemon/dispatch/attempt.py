"""One attempt at a job: its files in order, a few at a time, each handed to the transfer.

Returns an outcome and never edits the queue: what must be on record while bytes flow goes through jobqueue.reports.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from daemon.digests import hash_name
from daemon.dispatch.outcome import failed
from daemon.identity import Executors
from jobqueue.edit import parse_headers
from jobqueue.errors import JobQueueError
from jobqueue.job import File, Finished, Job, Outcome
from jobqueue.live import LiveProgress
from jobqueue.reports import RemoteFacts, Reports
from transfer.errors import DigestMismatchError, RedirectRefusedError, TransferError
from transfer.http import HttpSource
from transfer.request import (
    ByteRange,
    PartRecord,
    Progress,
    ProxyRule,
    RedirectPolicy,
    RemoteFile,
    Settings,
    TransferRequest,
    Validators,
)
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
    boot_id: str

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
        """One file to its temporary file. Wrong bytes are thrown away and fetched once more, then it is an error."""
        try:
            await self._transfer(file)
        except DigestMismatchError:
            await self._to.reports.emptied(self._job.id, file.index)
            file = file.emptied()
            try:
                await self._transfer(file)
            except DigestMismatchError:
                await self._to.reports.emptied(self._job.id, file.index)
                raise

    async def _transfer(self, file: File) -> None:
        to, job_id = self._to, self._job.id
        request = self._request(file, await self._room(file))
        progress = Progress(file.offset)
        to.live.watch(job_id, file, progress)
        try:
            result = await transfer(
                request,
                source=to.source,
                executor=to.executors.of(self._job.owner),
                settings=to.settings,
                observer=_Record(to, job_id, file, request),
                progress=progress,
            )
            await to.reports.file_transferred(job_id, file.index, result.size)
        except RedirectRefusedError as error:
            if request.redirects is RedirectPolicy.DISALLOW:
                await to.reports.redirected(job_id, file, error.target)
            raise
        except BaseException:
            # an orderly end: the record is exact, bytes that appear behind it are not ours
            with suppress(JobQueueError):
                await to.reports.closed(job_id, file.index)
            raise
        finally:
            self._has_moved = self._has_moved or progress.transferred > file.offset
            to.live.forget(job_id, file.index)

    async def _room(self, file: File) -> int | None:
        """What is left of the job's maximum download size for this file; None = no limit."""
        most = self._job.properties.maximum_download_size
        if most is None:
            return None
        totals = (await self._to.reports.job(self._job.id)).totals
        return max(0, most - (totals.bytes_transferred - file.offset))

    def _request(self, file: File, room: int | None = None) -> TransferRequest:
        properties = self._job.properties
        return TransferRequest(
            url=file.remote_name,
            part_path=file.temporary_name,
            ranges=tuple(ByteRange(offset, length) for offset, length in file.ranges),
            part=PartRecord(file.offset, file.inode, is_length_trusted=file.boot == self._to.boot_id),
            validators=Validators(file.etag, file.last_modified, file.remote_size),
            expected_size=file.expected_size,
            digest={hash_name(name) or name: value for name, value in file.digest.items()},
            headers=parse_headers(properties.custom_headers or ""),
            method=properties.http_method,
            is_resumable=not properties.dynamic_content and properties.http_method == "GET",
            maximum_size=room,
            redirects=_redirects(properties.security_flags),
            may_downgrade="REDIRECT_ALLOW_HTTPS_TO_HTTP" in properties.security_flags,
            make_dirs=file.make_dirs,
            proxy=ProxyRule(properties.proxy_usage, properties.proxy_list or "", properties.proxy_bypass or ""),
        )

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
                request = self._request(file)
                ask = Ask(
                    url=request.url,
                    headers=request.headers,
                    redirects=request.redirects,
                    may_downgrade=request.may_downgrade,
                    proxy=request.proxy,
                )
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
        is_reported = self._request.redirects is RedirectPolicy.REPORT and remote.url != self._request.url
        facts = RemoteFacts(
            size=remote.size,
            remote_size=remote.validators.size,
            etag=remote.validators.etag,
            last_modified=remote.validators.last_modified,
            response_headers=remote.headers,
            inode=remote.inode,
            boot=self._to.boot_id,
            remote_name=remote.url if is_reported else self._request.url,
            asked_name=self._request.url,
        )
        await self._to.reports.remote_known(self._job_id, self._index, facts, offset)

    async def synced(self, offset: int) -> None:
        await self._to.reports.synced(self._job_id, self._index, offset)


def _raise_unless_transfer_errors(failures: BaseExceptionGroup) -> None:
    """Raise what is no fault of the transfer: one of the queue's own errors as it is, anything else as it came."""
    _, others = failures.split(TransferError)
    if others is None:
        return
    leaf: BaseException = others
    while isinstance(leaf, BaseExceptionGroup):
        leaf = leaf.exceptions[0]
    raise leaf if isinstance(leaf, JobQueueError) else failures


def _redirects(flags: tuple[str, ...]) -> RedirectPolicy:
    if "REDIRECT_DISALLOW" in flags:
        return RedirectPolicy.DISALLOW
    return RedirectPolicy.REPORT if "REDIRECT_ALLOW_REPORT" in flags else RedirectPolicy.SILENT
