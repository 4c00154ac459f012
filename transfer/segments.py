"""Where the bytes of a local file are in the remote one: pure arithmetic over ranges (spec/service.md §5.7).

The local file is the requested ranges concatenated in the order given; no ranges = the whole remote file.
`total` is the size of the whole remote file, None while it is unknown. Refuses to know requests, replies and files.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from transfer.request import ByteRange

WHOLE = (ByteRange(0),)


@dataclass(frozen=True, slots=True)
class Span:
    """Remote bytes `start` up to but not including `end`; None = to the end of the file."""

    start: int
    end: int | None = None


def local_size(ranges: Sequence[ByteRange], total: int | None) -> int | None:
    """Bytes the local file will have, None while that depends on an unknown `total`."""
    size = 0
    for span in _spans(ranges, total):
        if span.end is None:
            return None
        size += span.end - span.start
    return size


def locate(ranges: Sequence[ByteRange], offset: int, total: int | None) -> Span | None:
    """The remote bytes that belong at local `offset`, to the end of their range; None = the local file is complete."""
    for span in _spans(ranges, total):
        if span.end is None:
            return Span(span.start + offset)
        length = span.end - span.start
        if offset < length:
            return Span(span.start + offset, span.end)
        offset -= length
    return None


def pieces(ranges: Sequence[ByteRange], total: int | None) -> list[Span]:
    """The ranges as remote bytes, in the order given."""
    return list(_spans(ranges, total))


def held_of_piece(ranges: Sequence[ByteRange], offset: int) -> int:
    """How many bytes before local `offset` came with the range that goes on there; 0 where a range begins."""
    start = 0
    for piece in ranges or WHOLE:
        if piece.length is None or offset < start + piece.length:
            return offset - start
        start += piece.length
    return 0


def are_within(ranges: Sequence[ByteRange], total: int) -> bool:
    """Every range lies inside a remote file of `total` bytes and is not empty; the whole file always does."""
    return all(piece.offset + (piece.length or 1) <= total for piece in ranges)


def _spans(ranges: Sequence[ByteRange], total: int | None) -> Iterator[Span]:
    for piece in ranges or WHOLE:
        if piece.length is not None:
            yield Span(piece.offset, piece.offset + piece.length)
        elif total is None:
            yield Span(piece.offset)
        else:
            yield Span(piece.offset, max(piece.offset, total))
