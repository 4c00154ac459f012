import itertools

from hypothesis import given
from hypothesis import strategies as st

from transfer.request import ByteRange
from transfer.segments import Span, are_within, local_size, locate

lengths = st.one_of(st.none(), st.integers(1, 40))
pieces = st.lists(st.builds(ByteRange, st.integers(0, 99), lengths), max_size=6).map(tuple)


def remote_positions(ranges: tuple[ByteRange, ...], total: int) -> list[int]:
    """The specification, byte by byte."""
    ends = (total if piece.length is None else piece.offset + piece.length for piece in ranges or (ByteRange(0),))
    starts = (piece.offset for piece in ranges or (ByteRange(0),))
    return list(itertools.chain.from_iterable(range(start, end) for start, end in zip(starts, ends, strict=True)))


@given(pieces, st.integers(100, 200))
def test_every_local_byte_is_asked_for_where_the_ranges_put_it(ranges: tuple[ByteRange, ...], total: int) -> None:
    positions = remote_positions(ranges, total)
    assert local_size(ranges, total) == len(positions)
    for offset, position in enumerate(positions):
        span = locate(ranges, offset, total)
        assert span is not None
        assert span.end is not None
        assert span.start == position
        assert positions[offset : offset + span.end - span.start] == list(range(span.start, span.end))
    assert locate(ranges, len(positions), total) is None


@given(pieces, st.integers(0, 300))
def test_an_unknown_total_leaves_only_an_open_range_without_end(ranges: tuple[ByteRange, ...], offset: int) -> None:
    size = local_size(ranges, None)
    has_open = not ranges or any(piece.length is None for piece in ranges)
    assert (size is None) == has_open
    span = locate(ranges, offset, None)
    if size is not None:
        assert (span is None) == (offset >= size)
    else:
        assert span is not None


def test_ranges_keep_the_order_they_were_given_in() -> None:
    ranges = (ByteRange(100, 100), ByteRange(900, 100), ByteRange(400, 100))
    assert local_size(ranges, None) == 300
    assert locate(ranges, 150, None) == Span(950, 1000)
    assert locate(ranges, 299, None) == Span(499, 500)


def test_a_range_past_the_end_is_not_within() -> None:
    assert are_within((), 0)
    assert are_within((ByteRange(5, 5),), 10)
    assert are_within((ByteRange(9),), 10)
    assert not are_within((ByteRange(5, 6),), 10)
    assert not are_within((ByteRange(10),), 10)
