"""Names: ids of new jobs, and temporary files, which never have the name of another.

Ids are UUIDs (RFC 9562, version 8), neighbours when they are given out together. The store keeps several things in
the order of ids: with ids at random every new job would touch pages of its own there, and the more of them the more
jobs there are already; neighbours share their pages. Jobs that are made one by one differ in their first digits, so
that a few of them name a job.
"""

import secrets
import uuid
from hashlib import blake2b
from math import inf

GAP = 0.05
"""Seconds without a new job after which the next is no neighbour of the last."""


ROUNDS = 4
"""Of a Feistel network, which is a permutation whatever its rounds do."""


def temporary_name(number: int, key: bytes) -> str:
    """`.BIT<8 hex>.tmp` (§5.9): another one for each of 2**32 numbers in a row.

    Who does not know the key cannot tell the next one: in a directory that many may write to, a name that is known
    before it is used can be taken.
    """
    left, right = divmod(number % 2**32, 2**16)
    for turn in range(ROUNDS):
        mixed = blake2b(right.to_bytes(2, "big"), digest_size=2, key=key, salt=bytes([turn]))
        left, right = right, left ^ int.from_bytes(mixed.digest(), "big")
    return f".BIT{left:04x}{right:04x}.tmp"


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
