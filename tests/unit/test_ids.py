"""Ids of new jobs: never the same, neighbours when given out together, unlike each other when not."""

from itertools import pairwise
from uuid import UUID

from jobqueue.ids import GAP, Ids, temporary_name

MANY = 10_000


def test_ids_are_uuids_and_no_two_are_the_same() -> None:
    ids = Ids()
    given = [ids.next(number * GAP / 2 if number % 10 else number * GAP) for number in range(MANY)]
    assert len(set(given)) == MANY
    assert all(str(UUID(text)) == text and UUID(text).version == 8 for text in given)


def test_ids_given_out_together_are_neighbours_in_the_order_of_their_making() -> None:
    ids = Ids()
    given = [ids.next(1.0 + number * GAP / MANY) for number in range(MANY)]
    assert given == sorted(given)
    assert len({text[:8] for text in given}) == 1


def test_ids_given_out_one_by_one_differ_in_their_first_digits() -> None:
    ids = Ids()
    assert len({ids.next(number * 2 * GAP)[:8] for number in range(100)}) > 95


def test_no_two_temporary_files_have_the_same_name() -> None:
    start = 2**32 - MANY // 2  # the numbers go round
    names = {temporary_name(number, b"key") for number in range(start, start + 20 * MANY)}
    assert len(names) == 20 * MANY
    assert all(len(name) == len(".BIT01234567.tmp") for name in names)


def test_temporary_files_have_names_that_only_the_key_tells() -> None:
    ours, theirs = ([temporary_name(number, key) for number in range(MANY)] for key in (b"ours", b"theirs"))
    assert sum(one == other for one, other in zip(ours, theirs, strict=True)) < MANY // 1000
    steps = {(int(later[4:12], 16) - int(name[4:12], 16)) % 2**32 for name, later in pairwise(ours)}
    assert len(steps) > MANY * 0.99
