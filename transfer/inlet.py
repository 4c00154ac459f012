"""One connection's way into the part file: its bytes gathered, digested, written to one run, counted.

Owns what is on the way between a connection and the file. A write is never cut, and while one is under way nobody else
gets the bytes it may bring. Refuses to sync and to judge.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from functools import partial

from transfer.claims import Claim
from transfer.partfile import PartFile, on_executor
from transfer.pump import BLOCK, TURN, Pump, Update
from transfer.runs import Run
from transfer.shield import to_the_end
from transfer.source import Wire

LONGEST_GATHERING = 0.5
"""Seconds that bytes of a slow body may wait in memory while more arrive."""


class Inlet:
    """`digest`: takes the bytes in order, in a thread. `count`: is told how many more are in the file; `room`:
    how many may be written now; `hold_back` returns when more may be written.
    """

    def __init__(
        self,
        part: PartFile,
        run: Run,
        *,
        executor: Executor,
        chunk_size: int,
        stall_timeout: float,
        digest: Update | None,
        count: Callable[[int], None],
        room: Callable[[], int],
        hold_back: Callable[[], Awaitable[None]],
    ) -> None:
        self.run = run
        self._part = part
        self._executor = executor
        self._chunk_size = chunk_size
        self._stall_timeout = stall_timeout
        self._digest = digest
        self._count = count
        self._room = room
        self._hold_back = hold_back
        self._pending: list[bytes] = []
        self._gathered = 0
        self.position = run.end
        """Where the next byte goes: `run` tells how far the thread that writes has come, which may be any moment's."""
        self._loop = asyncio.get_running_loop()
        self._flushed_at = self._loop.time()
        self._writing = asyncio.Lock()

    async def add(self, chunk: bytes) -> None:
        """Take the next bytes; they are written once there are enough of them, or when they have waited long enough."""
        self._pending.append(chunk)
        self._gathered += len(chunk)
        self.position += len(chunk)
        if self._gathered > self._chunk_size or self._loop.time() - self._flushed_at >= LONGEST_GATHERING:
            await self.flush()
            await self._hold_back()

    async def flush(self) -> None:
        """Write what is gathered."""
        async with self._writing:
            if self._pending:
                pieces, self._pending = self._pending, []
                await to_the_end(self._write(pieces))
            self._flushed_at = self._loop.time()

    async def take(self) -> Sequence[bytes]:
        """What is gathered, for somebody else to write, who says with `settle` when that is done."""
        async with self._writing:
            pieces, self._pending, self._gathered = self._pending, [], 0
            return pieces

    async def _write(self, pieces: Sequence[bytes]) -> None:
        hashing = None
        if self._digest is not None:
            hashing = self._loop.run_in_executor(self._executor, self._digest, pieces)
        before = self.run.end
        try:
            await on_executor(self._executor, lambda: self._part.append(self.run, *pieces))
        finally:
            if hashing is not None:
                await hashing
            self._gathered -= sum(map(len, pieces))
            self.settle()
            self._count(self.run.end - before)

    def settle(self) -> None:
        """Nobody is writing: the next byte goes to where that has come, also when it failed."""
        self.position = self.run.end + self._gathered

    async def pump(self, wire: Wire, claim: Claim) -> None:
        """Take what `wire` brings, to the end of the claim or of the connection."""
        pump = Pump(wire, partial(self._part.append, self.run), self._executor, self._digest)
        try:
            while claim.left and not wire.is_ended:
                wire.left = claim.left
                await wire.more(self._stall_timeout)
                async with self._writing:
                    await to_the_end(self._turn(pump, wire, claim))
                await self._hold_back()
        finally:
            await pump.settle()

    async def _turn(self, pump: Pump, wire: Wire, claim: Claim) -> None:
        before = self.run.end
        most = min(TURN * BLOCK, max(BLOCK, self._room()))
        wire.left = claim.hold(most)  # others may have taken some of it meanwhile
        try:
            if wire.left:
                await pump.turn()
        finally:
            self.settle()
            claim.reach(self.run.end)
            self._count(self.run.end - before)
