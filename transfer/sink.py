"""Where received bytes go: gathered, written, digested, counted, and synced from time to time.

Owns the order that keeps the record honest: written before counted, synced before reported, nothing reported across
a restart. Refuses to know requests and replies.
"""

import asyncio
from concurrent.futures import Executor
from contextlib import suppress

from transfer.errors import LocalFileError
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
        digests: Digests,
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
        self._digests = digests
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
        self._syncing = asyncio.Lock()
        progress.transferred = part.offset

    @property
    def position(self) -> int:
        return self._progress.transferred + self._gathered

    async def seed(self) -> None:
        """Feed the digests with what the part file holds already."""
        offset = 0
        while self._digests and offset < self._part.offset:
            data = await self._part.read(offset, min(SEED_SIZE, self._part.offset - offset))
            if not data:
                break  # somebody cut the file; the digest will not match, and that is the truth
            await on_executor(self._executor, lambda data=data: self._digests.update(data))  # type: ignore[misc]
            offset += len(data)

    async def add(self, chunk: bytes) -> None:
        """Take the next bytes; they are written once there are enough of them, or when they have waited long enough."""
        self._pending.append(chunk)
        self._gathered += len(chunk)
        if self._gathered >= self._chunk_size or self._loop.time() - self._flushed_at >= LONGEST_GATHERING:
            await self.flush()

    async def flush(self) -> None:
        """Write what is gathered."""
        if self._pending:
            data = self._pending[0] if len(self._pending) == 1 else b"".join(self._pending)
            self._pending.clear()
            self._gathered = 0
            await to_the_end(self._write(data))
        self._flushed_at = self._loop.time()

    async def _write(self, data: bytes) -> None:
        hashing = self._loop.run_in_executor(self._executor, self._digests.update, data) if self._digests else None
        try:
            await self._part.write(data)
        finally:
            if hashing is not None:
                await hashing
        self._progress.transferred += len(data)
        self.landed += len(data)

    async def restart(self) -> None:
        """Throw away every byte; what a running sync counted is reported before, never after."""
        async with self._syncing:
            self._pending.clear()
            self._gathered = 0
            await to_the_end(self._part.clear())
            self._digests.reset()
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
        """Sync every `interval` seconds, until cancelled."""
        while True:
            await asyncio.sleep(interval)
            await self.sync()

    async def settle(self) -> None:
        """The attempt is over: keep what came. That this fails too is no news after the first failure."""
        with suppress(LocalFileError):
            await self.flush()
        with suppress(LocalFileError):
            await self.sync()
