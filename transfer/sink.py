"""Where received bytes go: gathered, written, digested, counted, and synced from time to time.

Owns the order that keeps the record honest: written before counted, synced before reported, nothing reported across
a restart. Refuses to know requests and replies.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import suppress

from transfer.errors import LocalFileError
from transfer.integrity import Pairs
from transfer.partfile import PartFile, on_executor
from transfer.pump import Pump
from transfer.request import Observer, Progress, Settings
from transfer.shield import to_the_end
from transfer.source import Wire
from transfer.verify import Digests

LONGEST_GATHERING = 0.5
"""Seconds that bytes of a slow body may wait in memory while more arrive."""
SEED_SIZE = 4 << 20


class Sink:
    """Takes the body's chunks in order; `position` is the local offset of the next one."""

    def __init__(
        self,
        part: PartFile,
        progress: Progress,
        observer: Observer,
        *,
        recorded: int,
        settings: Settings,
        executor: Executor,
    ) -> None:
        self.landed = 0
        """Bytes written in this attempt, those that a restart threw away included."""
        self.mtime = 0
        """Of the file when it was last synced (st_mtime_ns)."""
        self._part = part
        self._own: Pairs = ()
        self._digests = Digests()
        self._body = Digests()
        self._progress = progress
        self._observer = observer
        self._executor = executor
        self._settings = settings
        self._pending: list[bytes] = []
        self._gathered = 0
        self._loop = asyncio.get_running_loop()
        self._flushed_at = self._loop.time()
        self._synced = part.offset
        self._recorded = recorded
        """What the observer knows of."""
        self._is_sync_broken = False
        self._is_much_unsynced = asyncio.Event()
        self._writing = asyncio.Lock()
        self._syncing = asyncio.Lock()
        progress.transferred = part.offset

    @property
    def position(self) -> int:
        return self._progress.transferred + self._gathered

    @property
    def _unsynced(self) -> int:
        return self._part.end - self._synced

    async def expect(self, pairs: Pairs, *, is_own: bool = False) -> None:
        """The file must have these digests; what is in it already is read back for them.

        `is_own`: they hold for every server, others only until a restart. Raises DigestMismatchError when two of them
        contradict each other.
        """
        if is_own:
            self._own = pairs
        await self.flush()
        fresh, offset, end = self._digests.expect(pairs), 0, self._progress.transferred
        while fresh and offset < end:
            data = await self._part.read(offset, min(SEED_SIZE, end - offset))
            if not data:
                break  # somebody cut the file; the digest will not match, and that is the truth
            await on_executor(self._executor, lambda data=data: fresh.update(data))  # type: ignore[misc]
            offset += len(data)

    def begin_body(self, pairs: Pairs) -> None:
        """The bytes that come now are the body of one reply, which must have these digests of its own."""
        self._body = Digests().expect(pairs)

    def verify_body(self) -> None:
        """Raises DigestMismatchError if the body, to its end, does not have its digests."""
        self._body.check("the server's reply")

    async def add(self, chunk: bytes) -> None:
        """Take the next bytes; they are written once there are enough of them, or when they have waited long enough."""
        self._pending.append(chunk)
        self._gathered += len(chunk)
        if self._gathered >= self._settings.chunk_size or self._loop.time() - self._flushed_at >= LONGEST_GATHERING:
            await self.flush()
            await self._hold_back()

    async def flush(self) -> None:
        """Write what is gathered."""
        async with self._writing:
            if self._pending:
                pieces, self._pending = self._pending, []
                await to_the_end(self._write(pieces))
            self._flushed_at = self._loop.time()

    async def _write(self, pieces: Sequence[bytes]) -> None:
        hashing = None
        if self._digests or self._body:
            hashing = self._loop.run_in_executor(self._executor, self._hash, pieces)
        before = self._part.end
        try:
            await on_executor(self._executor, lambda: self._part.append(*pieces))
        finally:
            if hashing is not None:
                await hashing
            self._gathered -= sum(map(len, pieces))
            self._count(before)

    def _count(self, before: int) -> None:
        """The bytes that are in the file now: a disk that fills up takes some of what it is given."""
        taken = self._part.end - before
        self._progress.transferred += taken
        self.landed += taken
        if self._unsynced >= self._settings.sync_size:
            self._is_much_unsynced.set()

    async def pump(self, wire: Wire) -> int:
        """Take what `wire` brings, to its end; returns how many bytes that were."""
        length = wire.left
        pump = Pump(wire, self._part, self._executor, self._hash if self._digests or self._body else None)
        try:
            while wire.left and not wire.is_ended:
                await wire.more(self._settings.stall_timeout)
                async with self._writing:
                    await to_the_end(self._turn(pump))
                await self._hold_back()
        finally:
            await pump.settle()
        return length - wire.left

    async def _turn(self, pump: Pump) -> None:
        before = self._part.end
        try:
            await pump.turn()
        finally:
            self._count(before)

    async def _hold_back(self) -> None:
        """While the disk is slower than the network."""
        while self._unsynced >= 2 * self._settings.sync_size:
            await self.sync()

    def _hash(self, pieces: Sequence[bytes | memoryview]) -> None:
        for data in pieces:
            self._digests.update(data)
            self._body.update(data)

    async def restart(self) -> None:
        """Throw away every byte; what a running sync counted is reported before, never after."""
        async with self._writing, self._syncing:
            self._pending.clear()
            self._gathered = 0
            await to_the_end(self._part.clear())
            self._digests, self._body = Digests(), Digests()
            self._digests.expect(self._own)
            self._progress.transferred = 0
            self._synced = 0

    def verify(self) -> None:
        """Raises DigestMismatchError if the digests of all bytes are not the expected ones."""
        self._digests.check(self._part.path)

    async def sync(self) -> None:
        """Bring all written bytes to the disk, then report them."""
        await to_the_end(self._sync())

    async def finish(self) -> None:
        """The file is whole: bring it to the disk, and its name even if it is empty. The caller reports its end."""
        async with self._syncing:
            await self._bring_down()

    async def _sync(self, *, is_last: bool = False) -> None:
        async with self._syncing:
            self._is_much_unsynced.clear()
            has_news = self._unsynced or (is_last and self._part.end != self._recorded)
            # After a failed sync the kernel forgets what it could not write: a later success would be a lie.
            if has_news and not self._is_sync_broken:
                checksum = await self._bring_down()
                await self._observer.synced(self._synced, checksum, self.mtime)
                self._recorded = self._synced

    async def _bring_down(self) -> int:
        """Bring what is written by now to the disk; returns its checksum."""
        written, checksum = self._part.tail
        try:
            self.mtime = await self._part.sync()
        except LocalFileError:
            self._is_sync_broken = True
            raise
        self._synced = written
        return checksum

    async def checkpoints(self) -> None:
        """Until cancelled: write what came before the server went silent, and sync every `checkpoint_interval` seconds
        or `sync_size` bytes. All transfers do so at the same moments: what they report then shares a commit.
        """
        interval = self._settings.checkpoint_interval
        due = self._next_checkpoint()
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(min(interval, LONGEST_GATHERING)):
                    await self._is_much_unsynced.wait()
            await self.flush()
            if self._is_much_unsynced.is_set() or self._loop.time() >= due:
                await self.sync()
                due = self._next_checkpoint()

    def _next_checkpoint(self) -> float:
        interval = self._settings.checkpoint_interval
        return (self._loop.time() // interval + 1) * interval

    async def settle(self) -> None:
        """The attempt is over: keep what came, and have it on record. That this fails too is no news after the first
        failure.
        """
        with suppress(LocalFileError):
            await self.flush()
        with suppress(LocalFileError):
            await to_the_end(self._sync(is_last=True))
