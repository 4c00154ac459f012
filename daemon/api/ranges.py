"""Which part of a file a request wants (RFC 9110 §14.2), of a file that may still be growing. Pure."""

import re
from dataclasses import dataclass

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Asked:
    """One range as it was asked for: `first` to `last`, None = to the end; without `first`, the `last` bytes."""

    first: int | None
    last: int | None


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes from `start` up to `end`, which is not one of them; None = to the end, wherever that will be."""

    start: int = 0
    end: int | None = None

    @property
    def is_empty(self) -> bool:
        """There is no such byte."""
        return self.end is not None and self.start >= self.end


def asked_for(value: str, condition: str | None, etag: str) -> Asked | None:
    """The range of a Range field, if `condition` (If-Range) allows it; None = the whole file.

    Several ranges, other units and what makes no sense are ignored, as a server may.
    """
    found = _RANGE.fullmatch(value.strip())
    if found is None or condition not in {None, etag}:
        return None
    first, last = (int(digits) if digits else None for digits in found.groups())
    if (first is None and last is None) or (first is not None and last is not None and last < first):
        return None
    return Asked(first, last)


def part_of(asked: Asked | None, size: int | None, landed: int) -> Part | None:
    """What that is of a file of `size` bytes (None = not known yet); None = that cannot be said yet.

    Without the size, a range is answered once all of it has landed: the file may end before it does.
    """
    match asked:
        case None:
            return Part(0, size)
        case Asked(None, int(count)) if size is not None:
            return Part(max(0, size - count), size)
        case Asked(int(first), last) if size is not None:
            return Part(first, size if last is None else min(last + 1, size))
        case Asked(0, None):
            return Part()
        case Asked(int(first), int(last)) if last < landed:
            return Part(first, last + 1)
        case _:
            return None
