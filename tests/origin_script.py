"""How one path of the lying origin behaves: every lie is an option of `Script`, and options combine.

Owns the options, the bytes of each version and the request record. The socket side is tests/origin.py.
"""

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

BLOCK = 1 << 16


@cache
def _pattern(seed: int) -> bytes:
    return random.Random(seed).randbytes(BLOCK)


@dataclass(frozen=True, slots=True)
class Content:
    """`size` bytes that depend on `seed` and on their position; made on demand, so big bodies need no memory."""

    seed: int
    size: int

    def pieces(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Bytes `start` up to but not including `end`, in blocks of up to 64 KiB."""
        end = self.size if end is None else min(end, self.size)
        while start < end:
            number, skip = divmod(start, BLOCK)
            block = (number.to_bytes(8, "big") + _pattern(self.seed)[8:])[skip : skip + end - start]
            yield block
            start += len(block)

    def read(self, start: int = 0, end: int | None = None) -> bytes:
        return b"".join(self.pieces(start, end))

    def digest(self, algorithm: str = "sha256") -> str:
        state = hashlib.new(algorithm)
        for piece in self.pieces():
            state.update(piece)
        return state.hexdigest()


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it was received; header names in lower case."""

    method: str
    path: str
    headers: dict[str, str]

    @property
    def range(self) -> str | None:
        return self.headers.get("range")


@dataclass(slots=True)
class Script:
    """What one path serves and how. Everything may be changed while the origin runs.

    Faults with a `_times` option happen that many times, then the path behaves; -1 = always.
    """

    size: int = 0
    seed: int = 0
    # What the head says
    etag: str | None = '"v1"'
    last_modified: str | None = "Wed, 01 Jan 2025 00:00:00 GMT"
    headers: dict[str, str] = field(default_factory=dict)
    """Further fields, or other values for the usual ones; an empty value leaves the field out."""
    framing: Literal["length", "chunked", "close"] = "length"
    http10: bool = False
    # Ranges
    no_range: bool = False
    """Every request gets the whole file with 200."""
    ignore_if_range: bool = False
    """A Range is served whatever If-Range says."""
    content_range: str | None = None
    """This Content-Range instead of the true one; empty = none at all."""
    range_shift: int = 0
    """A 206 starts this many bytes away from what was asked, and says so."""
    range_limit: int | None = None
    """A 206 brings at most so many bytes of what was asked."""
    # Other answers
    statuses: list[int] = field(default_factory=list)
    """Answered in order, one a request, before the file is served."""
    retry_after: str | None = None
    redirect: str | None = None
    redirect_status: int = 302
    garbage_head: bytes = b""
    # Broken bodies: positions count bytes of one reply's body
    drop_after: int | None = None
    drop_times: int = 1
    drop_by_reset: bool = False
    stall_after: int | None = None
    """-1 = before the head."""
    stall_times: int = 1
    short_by: int = 0
    """So many bytes less than the head promises, then the connection closes."""
    extra: bytes = b""
    """More than the head promises."""
    rate: int | None = None
    """Bytes a second."""
    # Versions
    change_after: int | None = None
    """After so many requests the file is another one: other bytes, other validators, `changed_size` bytes."""
    change_keeps_validators: bool = False
    changed_size: int | None = None
    served: int = 0
    """Requests answered so far."""

    @property
    def is_changed(self) -> bool:
        return self.change_after is not None and self.served >= self.change_after

    @property
    def content(self) -> Content:
        """The bytes of the present version."""
        if not self.is_changed:
            return Content(self.seed, self.size)
        return Content(self.seed + 1_000_003, self.size if self.changed_size is None else self.changed_size)

    @property
    def validators(self) -> tuple[str | None, str | None]:
        """ETag and Last-Modified of the present version."""
        if not self.is_changed or self.change_keeps_validators:
            return self.etag, self.last_modified
        etag = None if self.etag is None else self.etag[:-1] + '-changed"'
        return etag, None if self.last_modified is None else "Thu, 02 Jan 2025 00:00:00 GMT"

    def may_drop(self) -> bool:
        """Use up one of `drop_times`."""
        if self.drop_after is None or self.drop_times == 0:
            return False
        self.drop_times -= 1
        return True

    def may_stall(self) -> bool:
        """Use up one of `stall_times`."""
        if self.stall_after is None or self.stall_times == 0:
            return False
        self.stall_times -= 1
        return True
