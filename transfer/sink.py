"""Where received bytes go: gathered, written, digested, counted, and synced from time to time.

Owns the order that keeps the record honest: written before counted, synced before reported, nothing reported across
a restart. Refuses to know requests and replies.
"""

import asyncio
from concurrent.futures import Executor
from contextlib import suppress

from transfer.errors import LocalFileError
from transfer.integrity import Pairs
from transfer.partfile import PartFile, on_executor
from transfer.request import Observer, Progress
from transfer.shield import to_the_end
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
        synced: int,
        chunk_size: int,
        executor: Executor,
    ) -> None:
        self.landed = 0
        """Bytes written in this attempt, those that a restart threw away included."""
        self._part = part
        self._own: Pairs = ()
        self._digests = Digests()
        self._body = Digests()
        self._progress = progress
        self._observer = observer
        self._executor = executor
        self._chunk_size = chunk_size
        self._pending: list[bytes] = []
        self._gathered = 0
        self._loop = asyncio.get_running_loop()
        self._flushed_at = self._loop.time()
        self._synced = synced
        self._is_sync_broken = False
        self._writing = asyncio.Lock()
        self._syncing = asyncio.Lock()
        progress.transferred = part.offset

    @property
    def position(self) -> int:
        return self._progress.transferred + self._gathered

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
        if self._gathered >= self._chunk_size or self._loop.time() - self._flushed_at >= LONGEST_GATHERING:
            await self.flush()

    async def flush(self) -> None:
        """Write what is gathered."""
        async with self._writing:
            if self._pending:
                data = self._pending[0] if len(self._pending) == 1 else b"".join(self._pending)
                self._pending.clear()
                await to_the_end(self._write(data))
            self._flushed_at = self._loop.time()

    async def _write(self, data: bytes) -> None:
        hashing = None
        if self._digests or self._body:
            hashing = self._loop.run_in_executor(self._executor, self._hash, data)
        before = self._part.end
        try:
            await self._part.write(data)
        finally:
            if hashing is not None:
                await hashing
            taken = self._part.end - before  # a disk that fills up takes some of it
            self._gathered -= len(data)
            self._progress.transferred += taken
            self.landed += taken

    def _hash(self, data: bytes) -> None:
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

    async def _sync(self) -> None:
        async with self._syncing:
            written = self._progress.transferred
            # After a failed sync the kernel forgets what it could not write: a later success would be a lie.
            if written == self._synced or self._is_sync_broken:
                return
            try:
                await self._part.sync()
            except LocalFileError:
                self._is_sync_broken = True
                raise
            self._synced = written
            await self._observer.synced(written)

    async def checkpoints(self, interval: float) -> None:
        """Sync every `interval` seconds, until cancelled, and write what came before the server went silent."""
        synced_at = self._loop.time()
        while True:
            await asyncio.sleep(min(interval, LONGEST_GATHERING))
            await self.flush()
            if self._loop.time() - synced_at >= interval:
                await self.sync()
                synced_at = self._loop.time()

    async def settle(self) -> None:
        """The attempt is over: keep what came. That this fails too is no news after the first failure."""
        with suppress(LocalFileError):
            await self.flush()
        with suppress(LocalFileError):
            await self.sync()
