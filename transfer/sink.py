"""What has arrived in the part file: counted, digested, synced from time to time, reported.

Owns the order that keeps the record honest: written before counted, synced before reported, nothing reported across
a restart. How bytes get into the file is inlet.py. Refuses to know requests and replies.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial

from transfer.claims import Claim
from transfer.errors import LocalFileError
from transfer.inlet import LONGEST_GATHERING, Inlet
from transfer.integrity import Pairs
from transfer.partfile import PartFile, on_executor
from transfer.pump import Update
from transfer.request import Observer, Piece, Progress, Settings
from transfer.shield import to_the_end
from transfer.source import Wire
from transfer.verify import Digests

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
        self._digested = 0
        """How far the digests have come."""
        self._body = Digests()
        self._progress = progress
        self._observer = observer
        self._executor = executor
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._synced = part.runs.size
        self._recorded = recorded
        """What the observer knows of."""
        self._is_sync_broken = False
        self._is_much_unsynced = asyncio.Event()
        self._holding = asyncio.Lock()
        self._syncing = asyncio.Lock()
        self._digesting = asyncio.Lock()
        self._inlets: list[Inlet] = []
        self._main: Inlet | None = None
        self._look()

    @property
    def position(self) -> int:
        return self._part.runs.readable if self._main is None else self._main.position

    @property
    def is_begun(self) -> bool:
        """The first byte is in the file: only then may there be pieces beyond it."""
        return self._part.runs.first.end > 0

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """What is here beyond the first gap."""
        return self._part.runs.filled[1:]

    @property
    def _unsynced(self) -> int:
        return self._progress.transferred - self._synced

    async def expect(self, pairs: Pairs, *, is_own: bool = False) -> None:
        """The file must have these digests; what is in it already is read back for them.

        `is_own`: they hold for every server, others only until a restart. Raises DigestMismatchError when two of them
        contradict each other.
        """
        if is_own:
            self._own = pairs
        await self.flush()
        self.end_body()
        await self.catch_up()
        fresh = self._digests.expect(pairs)
        if fresh:
            await self._feed(fresh.update, 0, self._digested)

    async def catch_up(self) -> None:
        """Have everything digested that is here without a gap: read back what did not pass by in order."""
        async with self._digesting:
            if self._main is not None:
                return  # it passes by right now
            end = self._part.runs.readable
            if self._digests:
                await self._feed(self._digest, self._digested, end)
            self._digested = end

    async def _feed(self, update: Callable[[bytes], None], offset: int, end: int) -> None:
        while offset < end:
            data = await self._part.read(offset, min(SEED_SIZE, end - offset))
            if not data:
                break  # somebody cut the file; the digest will not match, and that is the truth
            await on_executor(self._executor, partial(update, data))
            offset += len(data)

    def _digest(self, data: bytes | memoryview) -> None:
        self._digests.update(data)
        self._digested += len(data)

    async def begin_body(self, pairs: Pairs) -> None:
        """The bytes that come now are the body of one reply, which must have these digests of its own."""
        self.end_body()
        await self.catch_up()
        self._body = Digests().expect(pairs)
        digest = self._hash if self._digests or self._body else None
        self._main = self._open(self._part.runs.readable, digest, chunk_size=self._settings.chunk_size)

    @property
    def body(self) -> Inlet:
        """The way in for the body that was begun."""
        assert self._main is not None  # noqa: S101 - it was begun
        return self._main

    async def verify_body(self) -> None:
        """Raises DigestMismatchError if the body, to its end, does not have its digests."""
        if self._body:
            await self.flush()
        self._body.check("the server's reply")

    async def add(self, chunk: bytes) -> None:
        """Take the next bytes of the body."""
        await self.body.add(chunk)

    async def flush(self) -> None:
        """Write what is gathered."""
        for inlet in tuple(self._inlets):
            await inlet.flush()

    async def pump(self, wire: Wire) -> int:
        """Take what `wire` brings, to its end; returns how many bytes that were."""
        begun = self.body.position
        await self.body.pump(wire, Claim(begun, begun + wire.left))
        return self.body.position - begun

    async def flush_body(self) -> None:
        """No more of the body will come here; what is gathered of it is written."""
        try:
            await self.body.flush()
        finally:
            self.end_body()

    def end_body(self) -> None:
        """No more of it will come here."""
        if self._main is not None:
            self._close(self._main)
            self._main = None

    @asynccontextmanager
    async def inlet(self, at: int) -> AsyncIterator[Inlet]:
        """A way into the file beside others, for bytes from `at` on."""
        inlet = self._open(at, chunk_size=self._settings.chunk_size // 4)  # there are many of them
        try:
            yield inlet
        finally:
            try:
                await inlet.flush()
            finally:
                self._close(inlet)

    def _open(self, at: int, digest: Update | None = None, *, chunk_size: int) -> Inlet:
        inlet = Inlet(
            self._part,
            self._part.runs.open(at),
            executor=self._executor,
            chunk_size=chunk_size,
            stall_timeout=self._settings.stall_timeout,
            digest=digest,
            count=self._count,
            room=self._room,
            hold_back=self._hold_back,
        )
        self._inlets.append(inlet)
        return inlet

    def _close(self, inlet: Inlet) -> None:
        self._inlets.remove(inlet)
        self._part.runs.close(inlet.run)

    def _count(self, taken: int) -> None:
        """So many bytes more are in the file now: a disk that fills up takes some of what it is given."""
        self.landed += taken
        self._look()
        if self._unsynced >= self._settings.sync_size:
            self._is_much_unsynced.set()

    def _look(self) -> None:
        self._progress.transferred = self._part.runs.size
        self._progress.readable = self._part.runs.readable

    def _room(self) -> int:
        """Bytes that may be written before the disk must have some of them."""
        return 2 * self._settings.sync_size - self._unsynced

    async def _hold_back(self) -> None:
        """While the disk is slower than the network."""
        while self._room() <= 0:
            async with self._holding:
                if self._room() <= 0:
                    await self.sync()

    def _hash(self, pieces: Sequence[bytes | memoryview]) -> None:
        for data in pieces:
            self._digest(data)
            self._body.update(data)

    def forget_pieces(self) -> None:
        """What is beyond the first gap is of no use: whoever brings what is missing brings that too."""
        self._part.runs.forget_others()
        self._synced = min(self._synced, self._part.runs.size)
        self._look()

    async def restart(self) -> None:
        """Throw away every byte; what a running sync counted is reported before, never after."""
        async with self._syncing:
            if self._main is not None:
                await self._main.take()
            self.end_body()
            await to_the_end(self._part.clear())
            self._digests, self._body, self._digested = Digests(), Digests(), 0
            self._digests.expect(self._own)
            self._synced = 0
            self._look()

    async def verify(self) -> None:
        """Raises DigestMismatchError if the digests of all bytes are not the expected ones."""
        if self._digests:
            await self.flush()
            self.end_body()
            await self.catch_up()
        self._digests.check(self._part.path)

    async def sync(self) -> None:
        """Bring all written bytes to the disk, then report them."""
        if self._unsynced or self._syncing.locked():
            await to_the_end(self._sync())

    async def finish(self) -> None:
        """The file is whole: bring it to the disk, and its name even if it is empty. The caller reports its end."""
        async with self._syncing:
            await to_the_end(self._finish())

    async def _finish(self) -> None:
        run = self._part.runs.first if self._main is None else self._main.run
        pieces = () if self._main is None else await self._main.take()
        whole = run.end + sum(map(len, pieces))
        before = self._part.runs.size
        try:
            self.mtime = await self._part.finish(run, pieces)
            self._synced = self._part.runs.size
        except LocalFileError:
            self._is_sync_broken = run.end == whole  # else it was the writing that failed
            raise
        finally:
            if self._main is not None:
                self._main.settle()
            self._count(self._part.runs.size - before)

    async def _sync(self, *, is_last: bool = False) -> None:
        async with self._syncing:
            self._is_much_unsynced.clear()
            has_news = self._unsynced or (is_last and self._part.runs.size != self._recorded)
            # After a failed sync the kernel forgets what it could not write: a later success would be a lie.
            if has_news and not self._is_sync_broken:
                first, *others = await self._bring_down()
                await self._observer.synced(first.end, first.checksum, self.mtime, tuple(others))
                self._recorded = self._synced

    async def _bring_down(self) -> tuple[Piece, ...]:
        """Bring what is written by now to the disk; returns that."""
        written = self._part.runs.filled
        if not self._part.is_open:  # and so finished
            return written
        try:
            self.mtime = await self._part.sync()
        except LocalFileError:
            self._is_sync_broken = True
            raise
        self._synced = sum(piece.length for piece in written)
        return written

    @contextmanager
    def checkpoints(self, group: asyncio.TaskGroup) -> Iterator[None]:
        """During the block: write what came before the server went silent, and sync every `checkpoint_interval` seconds
        or `sync_size` bytes. All transfers do so at the same moments: what they report then shares a commit.
        """
        tasks: list[asyncio.Task[None]] = []
        pause, due = min(self._settings.checkpoint_interval, LONGEST_GATHERING), self._next_checkpoint()
        # most files are here before it is time for the first: a timer costs less than a task
        timer = self._loop.call_later(pause, lambda: tasks.append(group.create_task(self._checkpoints(pause, due))))
        try:
            yield
        finally:
            timer.cancel()
            for task in tasks:
                task.cancel()

    async def _checkpoints(self, pause: float, due: float) -> None:
        while True:
            await self.flush()
            await self._observer.lasts()
            if self._is_much_unsynced.is_set() or self._loop.time() >= due:
                await self.sync()
                due = self._next_checkpoint()
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._is_much_unsynced.wait()

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
