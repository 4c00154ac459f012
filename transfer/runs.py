"""What is filled of a file that grows at several places at once: runs of bytes, and how they join. No I/O.

Owns the checksums (CRC-32C) of what is filled. A run is written to by one thread at a time; whoever looks at it sees
its end and its checksum as one value. Runs join only when nobody writes to them; `filled` sees them joined at any time.
"""

from collections.abc import Iterable
from itertools import pairwise

from transfer.crc import combined
from transfer.request import Piece


class Run:
    """Bytes one after the other. `tail`: where the next one goes, and the checksum of all in the run before it."""

    __slots__ = ("is_open", "start", "tail")

    def __init__(self, piece: Piece, *, is_open: bool = False) -> None:
        self.start = piece.start
        self.tail = (piece.end, piece.checksum)
        self.is_open = is_open
        """Somebody writes to it."""

    @property
    def end(self) -> int:
        return self.tail[0]

    @property
    def piece(self) -> Piece:
        """What it is now."""
        return Piece(self.start, *self.tail)


class Runs:
    """All runs of a file; the first begins at zero, whether there is a byte in it or not."""

    def __init__(self, offset: int = 0, checksum: int = 0, pieces: Iterable[Piece] = ()) -> None:
        self.first = Run(Piece(0, offset, checksum))
        self._others = [Run(piece) for piece in pieces]

    @property
    def filled(self) -> tuple[Piece, ...]:
        """What is here now, in order, each as long as can be; the first begins at zero."""
        now = sorted((run.piece for run in self._others if run.end > run.start), key=lambda piece: piece.start)
        joined = [self.first.piece]
        for piece in now:
            last = joined[-1]
            if last.end == piece.start:
                joined[-1] = Piece(last.start, piece.end, combined(last.checksum, piece.checksum, piece.length))
            else:
                joined.append(piece)
        return tuple(joined)

    @property
    def readable(self) -> int:
        """How far the file goes without a gap."""
        end = self.first.end
        for run in sorted(self._others, key=lambda run: run.start):
            if run.start > end:
                break
            end = max(end, run.end)
        return end

    @property
    def size(self) -> int:
        """Bytes in all runs."""
        return self.first.end + sum(run.end - run.start for run in self._others)

    def open(self, at: int) -> Run:
        """A run for somebody who writes from `at` on: the one that ends there, if there is one."""
        for run in (self.first, *self._others):
            if run.end == at and not run.is_open:
                run.is_open = True
                return run
        run = Run(Piece(at, at, 0), is_open=True)
        self._others.append(run)
        return run

    def close(self, run: Run) -> None:
        """Nobody writes to it any more."""
        run.is_open = False
        if run.end == run.start and run is not self.first:
            self._others.remove(run)
        closed = [self.first, *self._others]
        closed = sorted((run for run in closed if not run.is_open), key=lambda run: run.start)
        for before, after in pairwise(closed):
            if before.end == after.start and after is not self.first:
                piece = after.piece
                checksum = combined(before.tail[1], piece.checksum, piece.length)
                after.start, after.tail = before.start, (piece.end, checksum)
                self._drop(before, after)

    def forget_others(self) -> None:
        """Keep what is before the first gap alone."""
        self.first, self._others = Run(self.filled[0]), []

    def _drop(self, before: Run, after: Run) -> None:
        """`after` has become both."""
        self._others.remove(after)
        if before is self.first:
            self.first = after
        else:
            self._others[self._others.index(before)] = after
