"""The bytes that the lying origin serves: made on demand from a seed, so big bodies need no memory.

Three kinds with one interface (`size`, `pieces`, `read`, `digest`): a pattern, given bytes, two versions in one body.
"""

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Protocol

BLOCK = 1 << 16


@cache
def _pattern(seed: int) -> bytes:
    return random.Random(seed).randbytes(BLOCK)


class Body(Protocol):
    """Some bytes, readable from anywhere."""

    @property
    def size(self) -> int: ...

    def pieces(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Bytes `start` up to but not including `end`, in blocks of up to 64 KiB."""

    def read(self, start: int = 0, end: int | None = None) -> bytes:
        """The same in one piece."""

    def digest(self, algorithm: str = "sha256") -> str:
        """Hex digits over all of it."""


class _Readable:
    """What follows from `pieces`."""

    __slots__ = ()

    def pieces(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        raise NotImplementedError

    def read(self, start: int = 0, end: int | None = None) -> bytes:
        return b"".join(self.pieces(start, end))

    def digest(self, algorithm: str = "sha256") -> str:
        state = hashlib.new(algorithm)
        for piece in self.pieces():
            state.update(piece)
        return state.hexdigest()


@dataclass(frozen=True, slots=True)
class Content(_Readable):
    """`size` bytes that depend on `seed` and on their position."""

    seed: int
    size: int

    def pieces(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        end = self.size if end is None else min(end, self.size)
        while start < end:
            number, skip = divmod(start, BLOCK)
            block = (number.to_bytes(8, "big") + _pattern(self.seed)[8:])[skip : skip + end - start]
            yield block
            start += len(block)


@dataclass(frozen=True, slots=True)
class Fixed(_Readable):
    """Given bytes."""

    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    def pieces(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        end = len(self.data) if end is None else min(end, len(self.data))
        for position in range(start, end, BLOCK):
            yield self.data[position : min(position + BLOCK, end)]


@dataclass(frozen=True, slots=True)
class Spliced(_Readable):
    """What nobody meant: `old` up to byte `at`, `new` from there."""

    old: Body
    new: Body
    at: int

    @property
    def size(self) -> int:
        return self.old.size

    def pieces(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        end = self.size if end is None else min(end, self.size)
        yield from self.old.pieces(start, min(end, self.at))
        yield from self.new.pieces(max(start, self.at), end)
