"""A file of a job as bytes, while it is being fetched: what has landed at once, the rest as it comes (§5.9).

Whoever reads gets one version of the file, or sees the connection break. Bytes are sent only if, after they were read,
the record still has them; the last byte only when the whole file is verified. Refuses to make Complete or Cancel wait.
"""

import asyncio
from contextlib import suppress

from aiohttp import HttpVersion11, web

from daemon.access import guard
from daemon.api.call import Call
from daemon.api.problem import problem
from daemon.api.ranges import Part, asked_for, part_of
from daemon.dispatch.reading import FetchedFile, fetched_file
from jobqueue.errors import JobQueueError, RefusedError
from jobqueue.job import File, Job, State
from jobqueue.transaction import Transaction

BLOCK = 256 * 1024
POLL = 0.1
"""Seconds between two looks at live progress."""
IDLE = 5.0
"""Seconds between two looks whether the client is still there, when nothing can land."""


async def read(call: Call) -> web.StreamResponse:
    """GET content: the file's bytes, with those that are still to come. Takes one Range; HEAD gives the size alone."""
    view = _View(call)
    await view.look()
    async with fetched_file(call.backend.executors.of(view.job.owner)) as file:
        part, is_range = await _part(view, file)
        if is_range and part.is_empty:
            return _unsatisfiable(view)
        response = _head(view, part, is_range=is_range)
        if call.request.method != "HEAD":
            await _Stream(view, file, part).send(response)
    return response


class _View:
    """The job and its file as they are on record; up to date after each `look`."""

    job: Job
    file: File

    def __init__(self, call: Call) -> None:
        self.request = call.request
        self.backend = call.backend
        self._job_id, self._index = call.job_id, call.index
        self._may_read = guard(call.caller, call.access)
        self._commits = -1

    async def look(self) -> None:
        """Raises JobQueueError when there is nothing to read any more, ConnectionError when nobody reads."""
        transport = self.request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("nobody reads any more")
        if self.backend.events.is_closed:
            raise RefusedError("SERVICE_UNAVAILABLE", "the service is stopping")
        commits = self.backend.queue.commits
        if commits == self._commits:
            return
        self.job, self.file = await self.backend.queue.read(self._read)
        self._commits = commits
        is_cancelled = self.job.state is State.CANCELLED or self.job.intent == "CANCEL"
        if is_cancelled or (self.job.state.is_final and not self.file.transferred):
            raise self.gone("it was dropped with its job")

    def gone(self, why: str) -> RefusedError:
        return RefusedError("CONTENT_GONE", f"cannot read file {self._index} of job {self._job_id}: {why}")

    @property
    def landed(self) -> int:
        """Bytes that are in the file now, from its start on."""
        return self.backend.queue.live.file_readable(self.job.id, self.file)

    @property
    def etag(self) -> str:
        return f'"{self.file.generation}"'

    async def wait(self, news: asyncio.Event) -> None:
        """Until there may be something new since `news` was taken."""
        with suppress(TimeoutError):
            async with asyncio.timeout(POLL if self.job.state is State.TRANSFERRING else IDLE):
                await news.wait()

    def _read(self, tx: Transaction) -> tuple[Job, File]:
        job = tx.job(self._job_id)
        self._may_read(job)
        return job, tx.file(self._job_id, self._index)


def ready(file: File, landed: int) -> int:
    """How many of the landed bytes may be read: not the last one while the whole may still turn out wrong."""
    return landed if file.transferred or file.size is None else min(landed, file.size - 1)


async def _part(view: _View, file: FetchedFile) -> tuple[Part, bool]:
    """Which bytes to send of the file, now open, and whether a range was asked for; once there is anything to send."""
    headers = view.request.headers
    wanted = headers.get("Range", "") if view.request.method == "GET" else ""  # RFC 9110 §14.2
    while True:
        news = view.backend.events.news()
        await view.look()
        record = view.file
        if record.transferred or view.landed:
            asked = asked_for(wanted, headers.get("If-Range"), view.etag)
            part = part_of(asked, record.size, view.landed)
            # the end of a body without length shows in chunks only, which HTTP/1.0 does not have
            is_clear = part is not None and (part.end is not None or view.request.version >= HttpVersion11)
            if part is not None and is_clear and await file.open(record):
                return part, asked is not None and part.end is not None
            if record.transferred:
                raise view.gone("it is not there any more, or was changed by somebody else")
        await view.wait(news)


def _head(view: _View, part: Part, *, is_range: bool) -> web.StreamResponse:
    response = web.StreamResponse(
        status=206 if is_range else 200,
        headers={"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes", "ETag": view.etag},
    )
    if part.end is not None:
        response.content_length = part.end - part.start
        if is_range:
            size = "*" if view.file.size is None else view.file.size
            response.headers["Content-Range"] = f"bytes {part.start}-{part.end - 1}/{size}"
    return response


def _unsatisfiable(view: _View) -> web.Response:
    size = view.file.size
    refusal = problem("BG_E_INVALID_RANGE", f"the file has only {size} bytes", status=416)
    refusal.headers["Content-Range"] = f"bytes */{size}"
    return refusal


class _Stream:
    """Sends a part of the file; whatever keeps it from being whole and of one version breaks the connection."""

    def __init__(self, view: _View, file: FetchedFile, part: Part) -> None:
        self._view = view
        self._file = file
        self._part = part
        self._generation = view.file.generation
        self._moved = asyncio.Event()

    async def send(self, response: web.StreamResponse) -> None:
        """Raises ConnectionError when it did not get to the end."""
        request = self._view.request
        try:
            await response.prepare(request)
            await self._send(response)
        except BaseException as error:
            if request.transport is not None:
                request.transport.abort()  # an orderly end would make a whole of what is none
            if isinstance(error, JobQueueError):
                raise ConnectionAbortedError(str(error)) from error
            raise

    async def _send(self, response: web.StreamResponse) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                watching = group.create_task(self._watch())
                await self._pump(response)
                watching.cancel()
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def _watch(self) -> None:
        """Keep the view up to date until it is over, however slowly the client reads."""
        while True:
            news = self._view.backend.events.news()
            await self._look()
            self._moved.set()
            await self._view.wait(news)

    async def _look(self) -> None:
        await self._view.look()
        if self._view.file.generation != self._generation:
            raise self._view.gone("it is being fetched anew")

    async def _pump(self, response: web.StreamResponse) -> None:
        position = self._part.start
        while position != (end := self._end()):
            limit = ready(self._view.file, self._view.landed)
            limit = limit if end is None else min(limit, end)
            if position >= limit:
                self._moved.clear()
                await self._moved.wait()
                continue
            data = await self._file.read(position, min(BLOCK, limit - position))
            await self._look()  # bytes of another version are written only after that is on record
            position += len(data)
            if not data or position > self._view.landed:
                raise self._view.gone("it is being fetched anew, or was changed by somebody else")
            await response.write(data)

    def _end(self) -> int | None:
        """Where the last byte ends, as soon as that is certain."""
        record = self._view.file
        return record.size if self._part.end is None and record.transferred else self._part.end
