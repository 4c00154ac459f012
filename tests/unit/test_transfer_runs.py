"""What is filled of a file that grows at several places, and the checksums of it."""

from crc32c import crc32c
from hypothesis import given
from hypothesis import strategies as st

from transfer.crc import combined
from transfer.request import Piece
from transfer.runs import Run, Runs

DATA = bytes(range(256)) * 4


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_checksums_of_two_parts_make_that_of_the_whole(first: bytes, second: bytes) -> None:
    assert combined(crc32c(first), crc32c(second), len(second)) == crc32c(first + second)


def test_checksums_of_parts_of_any_length_combine() -> None:
    for length in (2**20, 2**31 - 1, 2**40 + 12345):  # zeros behind zeros: by halves and as a whole
        half = combined(0x12345678, 0, length)
        assert combined(half, 0, length) == combined(0x12345678, 0, 2 * length)


def write(run: Run, length: int) -> None:
    end, checksum = run.tail
    run.tail = (end + length, crc32c(DATA[end : end + length], checksum))


@given(st.lists(st.integers(0, 40), min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_runs_join_to_what_is_in_the_file(lengths: list[int], chances: object) -> None:
    starts = [sum(lengths[:number]) for number in range(len(lengths))]
    order = list(zip(starts, lengths, strict=True))
    chances.shuffle(order)  # type: ignore[attr-defined]
    runs, here = Runs(), set[int]()
    for start, length in order:
        run = runs.open(start)
        write(run, length)
        here |= set(range(start, start + length))
        check(runs, here)
        runs.close(run)
        check(runs, here)
    assert runs.filled == (Piece(0, sum(lengths), crc32c(DATA[: sum(lengths)])),)


def check(runs: Runs, here: set[int]) -> None:
    for piece in runs.filled:
        assert piece.checksum == crc32c(DATA[piece.start : piece.end])
    assert {byte for piece in runs.filled for byte in range(piece.start, piece.end)} == here
    assert runs.size == len(here)
    assert runs.readable == runs.filled[0].end
    before = -1
    for piece in runs.filled:
        assert piece.start > before
        before = piece.end


def test_a_run_that_is_written_to_is_joined_to_the_eye_only() -> None:
    runs = Runs()
    first, second = runs.open(0), runs.open(5)
    write(second, 5)
    write(first, 5)
    runs.close(first)
    assert runs.filled == (Piece(0, 10, crc32c(DATA[:10])),)
    write(second, 3)
    runs.close(second)
    assert (runs.first.piece, runs.readable) == (Piece(0, 13, crc32c(DATA[:13])), 13)


def test_a_run_has_one_writer() -> None:
    runs = Runs()
    first = runs.open(0)
    write(first, 5)
    assert runs.open(5) is not first


def test_writing_goes_on_in_the_run_that_ends_there() -> None:
    runs = Runs(5, crc32c(DATA[:5]), [Piece(10, 20, crc32c(DATA[10:20]))])
    run = runs.open(20)
    write(run, 5)
    assert runs.filled[1:] == (Piece(10, 25, crc32c(DATA[10:25])),)


def test_what_is_beyond_the_first_gap_can_be_forgotten() -> None:
    runs = Runs(5, 7, [Piece(10, 20, 8)])
    runs.forget_others()
    assert runs.filled == (Piece(0, 5, 7),)
