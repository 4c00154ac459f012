"""Who fetches which bytes when several connections share a file: claims that never overlap and leave nothing out. Pure.

A claim is what one connection has said it will bring. It grows shorter when others take of its end, and longer when
what is behind it was given up and its connection brings that anyway. Bytes that a thread may be writing at this moment
are held: nobody takes those. Refuses to know connections, files and clocks.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from math import inf

from transfer.request import Piece
from transfer.segments import Span

WORTH = 1.0
"""Seconds that a claim must last to be fetched twice."""


class Claim:
    """Bytes from `position` up to but not including `end`, brought in order. `limit`: how far its connection brings."""

    __slots__ = ("_held", "end", "limit", "position", "start")

    def __init__(self, start: int, end: int) -> None:
        self.start = self.position = self._held = start
        self.end = self.limit = end

    def __repr__(self) -> str:
        return f"Claim({self.position}..{self.end})"

    @property
    def left(self) -> int:
        return self.end - self.position

    @property
    def brought(self) -> int:
        return self.position - self.start

    @property
    def free(self) -> int:
        """Where the part begins that may be taken from it."""
        return max(self.position, self._held)

    def hold(self, most: int) -> int:
        """So many of the next bytes, at most, are about to come: nobody takes these. Returns how many."""
        self._held = min(self.end, self.position + most)
        return self._held - self.position

    def reach(self, position: int) -> None:
        """All bytes before `position` are here; nothing is held any more."""
        self.position = self._held = position


Rate = Callable[[Claim], float]


class Claims:
    """The claims on everything that is missing (`gaps`, in order); none is worth a connection below `least` bytes."""

    def __init__(self, gaps: Iterable[Span], least: int) -> None:
        self.running: list[Claim] = []
        self._least = max(1, least)
        self._free = [(gap.start, gap.end) for gap in gaps if gap.end is not None and gap.end > gap.start]

    @property
    def left(self) -> int:
        """Bytes still to come."""
        return sum(end - start for start, end in self._free) + sum(claim.left for claim in self.running)

    def take(self, rate: Rate) -> Claim | None:
        """What one more connection may bring: what nobody fetches, else of the claim that would end last, by the bytes
        per second of each, a fair share from its end. None = nothing is worth it.
        """
        if self._free:
            return self._claimed(*self._free.pop(0))
        worth = [claim for claim in self.running if claim.end - claim.free >= 2 * self._least]
        if not worth:
            return None
        last = max(worth, key=lambda claim: _lasts(claim, rate(claim)))
        middle = last.end - self._share(last, rate)
        end, last.end = last.end, middle
        return self._claimed(middle, end)

    def slowest(self, rate: Rate, most: float) -> Claim | None:
        """The claim that would end last, if it is small and slower than `most` bytes per second: a second connection
        for the same bytes is worth it.
        """
        small = [claim for claim in self.running if 0 < claim.left < 2 * self._least and rate(claim) < most]
        slow = [claim for claim in small if _lasts(claim, rate(claim)) > WORTH]
        return max(slow, key=lambda claim: _lasts(claim, rate(claim)), default=None)

    def drop(self, claim: Claim) -> None:
        """Its connection brings no more: what is missing of it goes to the connection that comes by there anyway, or to
        whoever takes it.
        """
        if claim not in self.running:
            return
        self.running.remove(claim)
        if not claim.left:
            return
        self._release(claim.position, claim.end)
        for before in self.running:
            if before.left:
                self._lengthen(before)

    def bound(self, claim: Claim, limit: int) -> None:
        """Its connection brings no more than what is before `limit`."""
        end, claim.limit = claim.end, limit
        claim.end = min(end, limit)
        self._release(claim.end, end)

    def _lengthen(self, claim: Claim) -> None:
        """By what is free behind it, as far as its connection brings."""
        for start, end in tuple(self._free):
            if start == claim.end < claim.limit:
                claim.end = min(end, claim.limit)
                self._free.remove((start, end))
                self._release(claim.end, end)

    def _release(self, start: int, end: int) -> None:
        if start < end:
            self._free.append((start, end))
            self._free.sort()

    def _share(self, last: Claim, rate: Rate) -> int:
        """Of what may be taken from `last`: both would end at the same time if the newcomer is like the others."""
        rates = [rate(claim) for claim in self.running]
        newcomer, own = sum(rates) / len(rates), rate(last)
        most = last.end - last.free
        part = newcomer / (newcomer + own) if newcomer + own else 0.5
        return min(max(int(most * part), self._least), most - self._least)

    def _claimed(self, start: int, end: int) -> Claim:
        claim = Claim(start, end)
        self.running.append(claim)
        return claim


def gaps(start: int, pieces: Iterable[Piece], size: int) -> list[Span]:
    """What is missing of a file of `size` bytes that has those before `start`, and these pieces beyond."""
    found = []
    for piece in (*pieces, Piece(size, size, 0)):
        if start < piece.start:
            found.append(Span(start, piece.start))
        start = piece.end
    return found


def shares(missing: Sequence[Span], count: int, least: int) -> list[Span]:
    """The same bytes in about `count` equal parts, none of them smaller than `least` where it need not be."""
    sizes = [(span.end or span.start) - span.start for span in missing]
    share = max(least, -(-sum(sizes) // count), 1)
    found = []
    for span, size in zip(missing, sizes, strict=True):
        number = max(1, -(-size // share))
        steps = [span.start + size * step // number for step in range(number + 1)]
        found += [Span(start, end) for start, end in pairwise(steps)]
    return found


def _lasts(claim: Claim, rate: float) -> float:
    """Seconds."""
    return claim.left / rate if rate else inf
