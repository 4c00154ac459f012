"""Brings a wire's bytes into the part file in turns of a thread, and digests what one turn brought during the next.

Owns the buffers, which are few and used again and again. Refuses to count, to sync and to judge.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from itertools import repeat

from transfer.partfile import on_executor
from transfer.shield import to_the_end
from transfer.source import Wire

BLOCK = 256 << 10
"""Bytes that are read before they are written: fewer cost system calls, more do not stay in the processor's cache."""
TURN = 64
"""Blocks that a thread moves before it looks whether there is something else to do."""
DIGESTED_TURN = 8
"""The same where the blocks must wait in memory for their digest."""

Write = Callable[[memoryview], None]
Update = Callable[[Sequence[bytes | memoryview]], None]


class Pump:
    """`write`: takes all bytes in order, and so does `digest`, in a thread; None = nobody wants to see them."""

    def __init__(self, wire: Wire, write: Write, executor: Executor, digest: Update | None) -> None:
        self._wire = wire
        self._write = write
        self._executor = executor
        self._digest = digest
        count = 1 if digest is None else 2 * DIGESTED_TURN
        self._buffers = [memoryview(bytearray(BLOCK)) for _ in range(count)]
        self._digesting: asyncio.Future[None] | None = None

    async def turn(self) -> None:
        """Move what has come. Raises LocalFileError."""
        digest, buffers = self._digest, self._buffers
        if digest is None:
            await on_executor(self._executor, lambda: self._wire.move(repeat(buffers[0], TURN), self._write))
            return
        now, self._buffers = buffers[:DIGESTED_TURN], buffers[DIGESTED_TURN:] + buffers[:DIGESTED_TURN]
        filled = await on_executor(self._executor, lambda: self._wire.move(now, self._write))
        await self.settle()
        loop = asyncio.get_running_loop()
        self._digesting = loop.run_in_executor(self._executor, digest, filled)

    async def settle(self) -> None:
        """Everything that was moved is digested."""
        if self._digesting is not None:
            await to_the_end(self._digesting)
