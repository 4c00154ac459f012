"""Claims: whatever happens to them, they never overlap, and in the end every byte came exactly once."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer.claims import Claim, Claims, gaps, shares
from transfer.request import Piece
from transfer.segments import Span

LEAST = 10
STEPS = st.lists(
    st.tuples(st.sampled_from(["take", "bring", "drop", "bound", "hold"]), st.integers(0, 50), st.integers(0, 100)),
    max_size=60,
)


def even(_claim: Claim) -> float:
    return 1.0


def covered(claims: Claims) -> list[tuple[int, int]]:
    """What is still to come, in order; fails when something is claimed twice."""
    assert all(claim.position <= claim.end <= claim.limit for claim in claims.running)
    spans = sorted([(claim.position, claim.end) for claim in claims.running if claim.left] + claims._free)
    assert all(before[1] <= after[0] for before, after in pairwise(spans))
    return spans


@given(st.lists(st.tuples(st.integers(1, 100), st.integers(1, 300)), min_size=1, max_size=5), st.integers(1, 8), STEPS)
def test_every_byte_is_brought_exactly_once(
    layout: list[tuple[int, int]], count: int, steps: list[tuple[str, int, int]]
) -> None:
    missing, at = [], 0
    for skip, length in layout:
        missing.append(Span(at + skip, at + skip + length))
        at += skip + length
    wanted = sorted(byte for span in missing for byte in range(span.start, span.end or 0))
    claims = Claims(shares(missing, count, LEAST), LEAST)
    brought: list[int] = []

    def bring(claim: Claim, most: int) -> None:
        upto = min(claim.end, claim.position + most)
        brought.extend(range(claim.position, upto))
        claim.reach(upto)

    for what, which, amount in [*steps, *([("take", 0, 0), ("bring", 0, 10_000), ("drop", 0, 0)] * 400)]:
        running = claims.running
        if what == "take":
            claims.take(lambda claim: float(claim.start % 7))
        elif running:
            claim = running[which % len(running)]
            match what:
                case "bring":
                    bring(claim, amount)
                case "drop":
                    claims.drop(claim)
                case "bound":
                    claims.bound(claim, claim.position + max(amount, claim.free - claim.position))
                case _:
                    held = claim.hold(amount)
                    claims.take(even)
                    assert claim.end - claim.position >= held
                    bring(claim, held)
        left = covered(claims)
        assert sum(end - start for start, end in left) == claims.left == len(wanted) - len(brought)
    assert sorted(brought) == wanted


def test_a_newcomer_takes_what_nobody_fetches_before_it_takes_from_others() -> None:
    claims = Claims([Span(0, 100), Span(200, 300)], LEAST)
    first, second, third = claims.take(even), claims.take(even), claims.take(even)
    assert [(claim.position, claim.end) for claim in (first, second, third) if claim] == [
        (0, 50),
        (200, 300),
        (50, 100),
    ]


@pytest.mark.parametrize(
    ("rates", "taken"),
    [((1.0, 1.0), (500, 1000)), ((9.0, 1.0), (1167, 2000)), ((1.0, 9.0), (167, 1000)), ((0.0, 1.0), (10, 1000))],
)
def test_the_tail_of_the_slowest_is_taken_so_that_both_end_together(
    rates: tuple[float, float], taken: tuple[int, int]
) -> None:
    claims = Claims([Span(0, 1000), Span(1000, 2000)], LEAST)
    held = [claims.take(even), claims.take(even)]
    thief = claims.take(lambda claim: rates[held.index(claim)])
    assert thief is not None
    assert (thief.start, thief.end) == taken


def test_what_a_thread_may_be_writing_is_not_taken() -> None:
    claims = Claims([Span(0, 100)], LEAST)
    claim = claims.take(even)
    assert claim is not None
    claim.hold(85)
    assert claims.take(even) is None
    claim.reach(20)
    thief = claims.take(even)
    assert thief is not None
    assert thief.start == 60


def test_what_was_given_up_goes_to_the_connection_that_comes_by_there_anyway() -> None:
    claims = Claims([Span(0, 100)], LEAST)
    first = claims.take(even)
    second = claims.take(even)
    assert first is not None
    assert second is not None
    claims.drop(second)
    assert (first.end, claims.running) == (100, [first])
    third = claims.take(even)
    assert third is not None
    third.reach(60)
    claims.drop(third)  # what it has brought lies between
    assert (first.end, claims.left) == (50, 90)


def test_only_small_and_slow_claims_are_worth_a_second_connection() -> None:
    claims = Claims([Span(0, 1000), Span(1000, 1010), Span(2000, 2010)], LEAST)
    large, small, quick = (claims.take(even) for _ in range(3))
    rates = {large: 0.1, small: 0.1, quick: 8.0}
    assert claims.slowest(lambda claim: rates[claim], 1.0) is small
    assert claims.slowest(lambda claim: rates[claim], 0.05) is None


def test_gaps_are_what_is_missing() -> None:
    pieces = (Piece(10, 20, 0), Piece(30, 40, 0))
    assert gaps(5, pieces, 50) == [Span(5, 10), Span(20, 30), Span(40, 50)]
    assert gaps(5, pieces, 40) == [Span(5, 10), Span(20, 30)]
    assert gaps(7, (), 7) == []
