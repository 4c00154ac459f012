"""One transfer, told top to bottom: open the part file, ask, judge the reply, stream, verify, sync.

Owns the order of these steps and when to ask again: a dropped connection is reopened, a changed file starts over.
Refuses to know HTTP (http.py), what a reply means (reply.py), and how bytes reach the disk (sink.py, partfile.py).
"""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import Executor
from dataclasses import replace

from transfer.errors import (
    BadReplyError,
    ConnectionLostError,
    DigestMismatchError,
    InvalidRangeError,
    RemoteChangedError,
    TooLargeError,
    TransferError,
    UnexpectedSizeError,
    shown,
)
from transfer.partfile import PartFile, part_file
from transfer.reply import Continue, Restart, judge
from transfer.request import (
    Observer,
    PartRecord,
    Progress,
    RemoteFile,
    Result,
    Settings,
    TransferRequest,
    Validators,
)
from transfer.segments import Span, are_within, local_size, locate
from transfer.shield import to_the_end
from transfer.sink import Sink
from transfer.source import Ask, Head, Source
from transfer.verify import Digests

RESTART_LIMIT = 3
"""How often one attempt begins a file again before it calls the file a moving target."""


async def transfer(
    request: TransferRequest,
    *,
    source: Source,
    executor: Executor,
    settings: Settings,
    observer: Observer,
    progress: Progress,
) -> Result:
    """Bring the file of `request` into its part file; every local file operation runs on `executor`.

    Raises TransferError with `moved` set. Cancelled, it keeps, syncs and reports what has come before it ends.
    """
    record = request.part if _may_resume(request) else PartRecord()
    async with part_file(request.part_path, record, executor=executor, make_dirs=request.make_dirs) as part:
        sink = Sink(
            part,
            Digests(request.digest),
            progress,
            observer,
            synced=record.offset if part.is_resumed else 0,
            chunk_size=settings.chunk_size,
            executor=executor,
        )
        attempt = _Attempt(request, part, sink, source=source, observer=observer, reopen_limit=settings.reopen_limit)
        try:
            return await _with_checkpoints(attempt, sink, settings.checkpoint_interval)
        except BaseException as error:
            await to_the_end(sink.settle())
            if isinstance(error, TransferError):
                error.moved = sink.landed > 0
            raise


def _may_resume(request: TransferRequest) -> bool:
    """The bytes on disk can be continued, or are all there already."""
    if not request.is_resumable:
        return False
    return bool(request.validators.strong) or request.part.offset == local_size(request.ranges, request.validators.size)


async def _with_checkpoints(attempt: "_Attempt", sink: Sink, interval: float) -> Result:
    try:
        async with asyncio.TaskGroup() as group:
            checkpoints = group.create_task(sink.checkpoints(interval))
            size = await attempt.run()
            checkpoints.cancel()
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return Result(size)


class _Attempt:
    """What one attempt knows: which version of the remote file it is fetching, and what it has told the observer."""

    def __init__(
        self,
        request: TransferRequest,
        part: PartFile,
        sink: Sink,
        *,
        source: Source,
        observer: Observer,
        reopen_limit: int,
    ) -> None:
        self._request = request
        self._source = source
        self._sink = sink
        self._observer = observer
        self._reopen_limit = reopen_limit
        self._part = part
        self._version = request.validators if part.is_resumed else Validators()
        self._told: tuple[int | None, Validators] | None = None
        self._restarts = 0
        self._reopened = 0

    async def run(self) -> int:
        """The size of the complete, verified and synced file."""
        size = local_size(self._request.ranges, self._version.size)
        if size is not None and self._sink.position > size:
            await self._start_over("the part file is longer than the remote file")
        await self._sink.seed()
        while (span := self._missing()) is not None:
            await self._fetch(span)
        await self._verify()
        await self._sink.sync()
        return self._sink.position

    def _missing(self) -> Span | None:
        return locate(self._request.ranges, self._sink.position, self._version.size)

    async def _fetch(self, span: Span) -> None:
        """One exchange; a connection dropped in the middle of it is forgiven a few times."""
        landed = self._sink.landed
        try:
            await self._exchange(span)
        except ConnectionLostError:
            await self._sink.flush()
            is_spent = self._reopened == self._reopen_limit or not self._request.is_resumable
            if is_spent or self._sink.landed == landed:
                raise
            self._reopened += 1
            if self._version.strong is None:
                await self._start_over("the connection dropped and the server gives nothing to resume by")

    async def _exchange(self, span: Span) -> None:
        ask = self._ask(span)
        async with self._source.open(ask) as reply:
            verdict = judge(ask, reply.head)
            if isinstance(verdict, Restart):
                await self._start_over(verdict.reason)
                return
            if verdict.start != span.start:
                await self._start_over("the server sent the whole file")
            await self._accept(verdict, reply.head)
            await self._stream(reply.chunks, verdict.length)
        if verdict.length is None:
            self._version = replace(self._version, size=self._sink.position)

    def _ask(self, span: Span) -> Ask:
        """A whole file is asked for to its end, wherever that may be by now, so that growth shows."""
        is_start = self._sink.position == 0
        is_piece = bool(self._request.ranges)
        rest = None if is_start else Span(span.start)
        return Ask(
            url=self._request.url,
            method=self._request.method,
            headers=self._request.headers,
            span=span if is_piece else rest,
            is_piece=is_piece,
            validators=Validators() if is_start else self._version,
            redirects=self._request.redirects,
            may_downgrade=self._request.may_downgrade,
            proxy=self._request.proxy,
        )

    async def _start_over(self, reason: str) -> None:
        if self._restarts == RESTART_LIMIT:
            raise RemoteChangedError(f"cannot fetch {shown(self._request.url)}: {reason}, again and again")
        self._restarts += 1
        await self._sink.restart()
        self._version = Validators()
        self._told = None

    async def _accept(self, verdict: Continue, head: Head) -> None:
        """Check the sizes, then have the new facts recorded, before the first byte of the body counts."""
        seen = verdict.validators
        known = self._version if self._sink.position else Validators()
        self._version = Validators(
            seen.etag or known.etag,
            seen.last_modified or known.last_modified,
            known.size if seen.size is None else seen.size,
        )
        total = self._version.size
        if total is not None and not are_within(self._request.ranges, total):
            raise InvalidRangeError(
                f"cannot fetch {shown(self._request.url)}: a requested range lies outside its {total} bytes"
            )
        size = local_size(self._request.ranges, total)
        self._require_size(size)
        if self._told != (size, self._version):
            # The offset that goes on record is one that the disk holds.
            await self._sink.flush()
            await self._sink.sync()
            remote = RemoteFile(head.url, size, self._version, head.block, self._part.inode)
            await self._observer.started(remote, self._sink.position)
            self._told = (size, self._version)

    async def _stream(self, chunks: AsyncIterator[bytes], length: int | None) -> None:
        received = 0
        async for chunk in chunks:
            received += len(chunk)
            if length is not None and received > length:
                raise BadReplyError(f"cannot fetch {shown(self._request.url)}: the body is longer than was promised")
            self._require_room(self._sink.position + len(chunk))
            await self._sink.add(chunk)
        await self._sink.flush()
        if length is not None and received < length:
            raise ConnectionLostError(f"cannot fetch {shown(self._request.url)}: the body is shorter than was promised")

    async def _verify(self) -> None:
        self._require_size(self._sink.position)
        try:
            self._sink.verify()
        except DigestMismatchError:
            await self._sink.restart()
            raise

    def _require_size(self, size: int | None) -> None:
        if size is None:
            return
        self._require_room(size)
        if self._request.expected_size not in {None, size}:
            raise UnexpectedSizeError(
                f"cannot fetch {shown(self._request.url)}: "
                f"it has {size} bytes, {self._request.expected_size} are expected"
            )

    def _require_room(self, size: int) -> None:
        if self._request.maximum_size is not None and size > self._request.maximum_size:
            raise TooLargeError(
                f"cannot fetch {shown(self._request.url)}: "
                f"it is larger than the {self._request.maximum_size} bytes that it may have"
            )
