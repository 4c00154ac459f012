"""Names: ids of new jobs, and temporary files, which never have the name of another.

Ids are UUIDs (RFC 9562, version 8), neighbours when they are given out together. The store keeps several things in
the order of ids: with ids at random every new job would touch pages of its own there, and the more of them the more
jobs there are already; neighbours share their pages. Jobs that are made one by one differ in their first digits, so
that a few of them name a job.
"""

import secrets
import uuid
from math import inf

GAP = 0.05
"""Seconds without a new job after which the next is no neighbour of the last."""


SPREAD = 0x9E3779B1
"""An odd number: multiplied by it, the numbers below 2**32 are the same numbers in another order."""


def temporary_name(number: int) -> str:
    """`.BIT<8 hex>.tmp` (§5.9): another one for each of 2**32 numbers in a row, neighbours looking nothing alike."""
    return f".BIT{number * SPREAD % 2**32:08x}.tmp"


class Ids:
    """Gives them out."""

    def __init__(self) -> None:
        self._first = 0
        """32 bits that neighbours begin with."""
        self._count = 0
        self._given_at = -inf

    def next(self, now: float) -> str:
        """An id that no other job has; `now` in service time."""
        self._count = (self._count + 1) % (1 << 28)
        if now - self._given_at > GAP or not self._count:
            self._first, self._count = secrets.randbits(32), 0
        self._given_at = now
        high, low = self._count >> 12, self._count & 0xFFF
        number = self._first << 96 | high << 80 | 0x8 << 76 | low << 64 | 0x2 << 62 | secrets.randbits(62)
        return str(uuid.UUID(int=number))
