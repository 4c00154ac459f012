"""One transfer, told top to bottom: open the part file, ask, judge the reply, stream, verify, sync.

Owns the order of these steps and when to ask again: a dropped connection is reopened, a changed file starts over, a
server that fails gives way to the next. Refuses to know HTTP (http.py), what a reply means (reply.py), what proves that
bytes are of one version (proof.py), and how they reach the disk (sink.py, partfile.py).
"""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace

from transfer.crew import Crew
from transfer.errors import (
    BadReplyError,
    ConnectionLostError,
    InvalidRangeError,
    NetworkError,
    OriginError,
    RemoteChangedError,
    TooLargeError,
    TransferError,
    UnexpectedSizeError,
    shown,
)
from transfer.failover import WRONG_BYTES, Failover
from transfer.hosts import Room
from transfer.integrity import content_digests, duplicates
from transfer.partfile import PartFile, part_file
from transfer.proof import Held, terms_for
from transfer.recheck import are_unchanged
from transfer.reply import Complete, Continue, Fresh, Restart, judge
from transfer.request import Observer, PartRecord, Progress, RemoteFile, Result, Settings, TransferRequest, Validators
from transfer.segments import Span, are_within, local_size, locate, pieces
from transfer.shield import to_the_end
from transfer.sink import Sink
from transfer.source import Ask, Head, Reply, Source
from transfer.swarm import Swarm

AT_ONCE = 1 << 20
"""Bytes of a file that is written as soon as there is room for it."""
RESTART_LIMIT = 3
"""How often one attempt begins a file again before it calls the file a moving target."""


async def transfer(
    request: TransferRequest,
    *,
    source: Source,
    executor: Crew,
    settings: Settings,
    observer: Observer,
    progress: Progress,
    room: Room | None = None,
) -> Result:
    """Bring the file of `request` into its part file; every local file operation runs on `executor`.

    `room`: of the job, for connections; that of this file's first is taken here. Raises TransferError with `moved` set.
    Cancelled, it keeps, syncs and reports what has come before it ends.
    """
    record, room = request.part if request.is_resumable else PartRecord(), room or Room()
    async with part_file(request.part_path, record, executor=executor, make_dirs=request.make_dirs) as part:
        sink = Sink(
            part,
            progress,
            observer,
            recorded=record.size,
            settings=settings,
            executor=executor,
        )
        attempt = _Attempt(request, part, sink, source=source, observer=observer, settings=settings, room=room)
        try:
            with room.taken():
                size = await _with_checkpoints(attempt, sink)
            return Result(size, sink.mtime)
        except BaseException as error:
            await to_the_end(sink.settle())
            if isinstance(error, TransferError):
                error.moved = sink.landed > 0
            raise


async def _with_checkpoints(attempt: "_Attempt", sink: Sink) -> int:
    try:
        async with asyncio.TaskGroup() as group:
            with sink.checkpoints(group):
                return await attempt.run()
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None


class _Attempt:
    """What one attempt knows: what it holds of which version of the remote file, and what it has told the observer."""

    def __init__(
        self,
        request: TransferRequest,
        part: PartFile,
        sink: Sink,
        *,
        source: Source,
        observer: Observer,
        settings: Settings,
        room: Room,
    ) -> None:
        self._request = request
        self._source = source
        self._sink = sink
        self._observer = observer
        self._settings = settings
        self._room = room
        self._may_split = settings.connections_per_file > 1
        self._part = part
        self._servers = Failover(request.urls, request.fetched_from if part.is_resumed else None)
        self._held = Held(request, is_resumed=part.is_resumed)
        self._told: tuple[str, int | None, Validators] | None = None
        self._restarts = 0
        self._reopened = 0

    async def run(self) -> int:
        """The size of the complete, verified and synced file."""
        size = local_size(self._request.ranges, self._held.version.size)
        if size is not None and self._sink.position > size:
            await self._start_over("the part file is longer than the remote file")
        await self._sink.expect(tuple(self._request.digest.items()), is_own=True)
        if not self._request.ranges:
            await self._sink.expect(self._held.version.digest)
        while True:
            try:
                return await self._fetch()
            except TooLargeError:
                raise  # the job's own limit: no server can help
            except (OriginError, NetworkError) as error:
                if isinstance(error, WRONG_BYTES):
                    await self._discard()
                await self._sink.flush()
                self._servers.next(error)
                self._restarts = self._reopened = 0

    async def _fetch(self) -> int:
        """Everything that is missing, from the server whose turn it is."""
        while True:
            while (span := self._missing()) is not None:
                await self._reopen(span)
            if not self._held.needs_recheck or await self._is_unchanged():
                break
            await self._start_over("the file changed between two ranges")
        self._require_size(self._sink.position)
        await self._sink.verify()
        await self._sink.finish()
        return self._sink.position

    def _missing(self) -> Span | None:
        return locate(self._request.ranges, self._sink.position, self._held.version.size)

    async def _reopen(self, span: Span) -> None:
        """One exchange; a connection dropped in the middle of it is forgiven a few times."""
        landed = self._sink.landed
        try:
            await self._exchange(span)
        except ConnectionLostError:
            await self._sink.flush()
            is_spent = self._reopened == self._settings.reopen_limit or not self._request.is_resumable
            if is_spent or self._sink.landed == landed:
                raise
            self._reopened += 1

    async def _exchange(self, span: Span) -> None:
        """Ask for what is missing and take what comes."""
        await self._sink.flush()
        url, position = self._servers.url, self._sink.position
        proof = self._held.proof(url, position)
        if proof is None or (position and not self._request.is_resumable):
            await self._discard()
            return
        overlap = self._held.overlap(proof, position)
        ask = self._ask(url, Span(span.start - overlap, span.end), proof)
        async with AsyncExitStack() as connection:
            reply = await connection.enter_async_context(self._source.open(ask))
            verdict = judge(ask, reply.head)
            if isinstance(verdict, Restart):
                await self._start_over(verdict.reason)
                return
            if isinstance(verdict, Fresh) and position:
                await self._start_over("the server sent the whole file")
            await self._accept(url, verdict.validators, reply.head)
            if isinstance(verdict, Complete):
                return
            if self._is_splittable(verdict, reply.head):
                limit = position + (verdict.length or 0)
                swarm = self._swarm(url)
                await swarm.run(reply, connection.pop_all(), limit)
                self._may_split = not swarm.is_alone
                return
            self._sink.forget_pieces()
            skip = verdict.skip + overlap if isinstance(verdict, Continue) else 0
            await self._stream(reply, verdict.length, skip, is_checked=skip == overlap > 0)
        if verdict.length is None:
            self._held.complete(self._sink.position)

    def _is_splittable(self, verdict: Continue | Fresh, head: Head) -> bool:
        """Several connections may bring this file, and it may be worth it; or what they brought is here already."""
        version, request, own = self._held.version, self._request, self._settings
        is_plain = request.method == "GET" and request.is_resumable and not request.ranges
        does_ranges = head.status == 206 or "bytes" in (head.get("accept-ranges") or "").lower().split(", ")
        is_whole = verdict.length is not None and not (isinstance(verdict, Continue) and verdict.skip)
        is_proven = version.strong is not None and version.size is not None and not content_digests(head)
        if not (is_plain and does_ranges and is_whole and is_proven):
            return False
        is_large = (version.size or 0) - self._sink.position >= max(1, own.split_size)
        return bool(self._sink.pieces) or (self._may_split and is_large)

    def _swarm(self, url: str) -> Swarm:
        version = self._held.version
        template = Ask(url=url, validators=version, terms=terms_for(self._request, url))
        settings = self._settings if self._may_split else replace(self._settings, connections_per_file=1)
        return Swarm(self._sink, self._source, settings, template=template, size=version.size or 0, room=self._room)

    def _ask(self, url: str, span: Span, proof: Validators) -> Ask:
        """A whole file is asked for to its end, wherever that may be by now, so that growth shows."""
        is_piece = bool(self._request.ranges)
        rest = None if self._sink.position == 0 else Span(span.start)
        return Ask(
            url=url,
            method=self._request.method,
            span=span if is_piece else rest,
            is_piece=is_piece,
            validators=proof,
            terms=terms_for(self._request, url),
        )

    async def _discard(self) -> None:
        """The bytes on disk are of no use."""
        await self._sink.restart()
        self._held.forget()
        self._told = None

    async def _start_over(self, reason: str) -> None:
        """The remote file is another one than it was."""
        if self._restarts == RESTART_LIMIT:
            raise RemoteChangedError(f"cannot fetch {shown(self._servers.url)}: {reason}, again and again")
        self._restarts += 1
        await self._discard()

    async def _accept(self, url: str, seen: Validators, head: Head) -> None:
        """Check the sizes, then have the new facts recorded, before the first byte of the body counts."""
        self._held.accept(url, seen, self._sink.position)
        version, ranges = self._held.version, self._request.ranges
        total = version.size
        if total is not None and not are_within(ranges, total):
            raise InvalidRangeError(f"cannot fetch {shown(url)}: a requested range lies outside its {total} bytes")
        size = local_size(ranges, total)
        self._require_size(size)
        if not ranges:
            await self._sink.expect(version.digest)
        if self._held.has_digest:
            self._servers.add(duplicates(head))
        if self._told != (url, size, version):
            # The offset that goes on record is one that the disk holds.
            await self._sink.flush()
            await self._sink.sync()
            remote = RemoteFile(url, head.url, size, version, head.block, self._part.inode)
            await self._observer.started(remote, self._sink.position)
            self._told = (url, size, version)
            if size is not None and size > AT_ONCE:
                await self._part.reserve(size)

    async def _stream(self, reply: Reply, length: int | None, skip: int, *, is_checked: bool) -> None:
        """Take the body but for its first `skip` bytes, which are here; `is_checked`: see that they are the same."""
        await self._sink.begin_body(() if skip else content_digests(reply.head))
        wire = None if skip or length is None else await reply.take()
        if wire is not None:
            with wire:
                self._require_all(reply, await self._sink.pump(wire), length)
            await self._sink.verify_body()
            return
        here = await self._part.read(self._sink.position - skip, skip) if is_checked else b""
        received = 0
        async for chunk in reply.chunks:
            again = chunk[: max(0, skip - received)]
            if is_checked and again != here[received : received + len(again)]:
                await self._start_over("bytes that were fetched again are different")
                return
            received += len(chunk)
            if length is not None and received > length:
                await self._discard()
                raise BadReplyError(f"cannot fetch {shown(reply.head.url)}: the body is longer than was promised")
            fresh = chunk[len(again) :]
            self._require_room(self._sink.position + len(fresh))
            if fresh:
                await self._sink.add(fresh)
        self._require_all(reply, received, length)
        await self._sink.verify_body()

    def _require_all(self, reply: Reply, received: int, length: int | None) -> None:
        if length is not None and received < length:
            raise ConnectionLostError(f"cannot fetch {shown(reply.head.url)}: the body is shorter than was promised")

    async def _is_unchanged(self) -> bool:
        """Ranges that came one after the other are of one version (recheck.py)."""
        await self._sink.flush()
        spans = pieces(self._request.ranges, self._held.version.size)[:-1]
        asks = [self._ask(self._servers.url, span, self._held.version) for span in spans]
        return await are_unchanged(self._source, asks, self._part)

    def _require_size(self, size: int | None) -> None:
        if size is None:
            return
        self._require_room(size)
        if self._request.expected_size not in {None, size}:
            raise UnexpectedSizeError(
                f"cannot fetch {shown(self._servers.url)}: "
                f"it has {size} bytes, {self._request.expected_size} are expected"
            )

    def _require_room(self, size: int) -> None:
        if self._request.maximum_size is not None and size > self._request.maximum_size:
            raise TooLargeError(
                f"cannot fetch {shown(self._servers.url)}: "
                f"it is larger than the {self._request.maximum_size} bytes that it may have"
            )
