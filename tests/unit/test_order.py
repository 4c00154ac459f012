"""Who runs, who yields, who waits: examples of spec/service.md §4.1, then its rules as properties."""

from collections import Counter
from math import inf
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobqueue.order import Decision, Runner, Slots, Waiter, choose, is_blocked

FOREGROUND, HIGH, NORMAL, LOW = range(4)
LEVELS = st.integers(FOREGROUND, LOW)
SLICE = 300.0


def one_slot(foreground: int = 0) -> Slots:
    return Slots(foreground, 1, SLICE)


# examples


def test_jobs_of_a_level_start_in_the_order_in_which_they_got_in_line() -> None:
    line = [Waiter("late", NORMAL, 3.0), Waiter("early", NORMAL, 1.0), Waiter("between", NORMAL, 2.0)]
    assert choose(line, [], Slots(0, 2, SLICE), 10.0).start == ("early", "between")


def test_a_higher_level_starts_first_however_late_it_came() -> None:
    line = [Waiter("low", LOW, 1.0), Waiter("normal", NORMAL, 2.0), Waiter("high", HIGH, 3.0)]
    assert choose(line, [], Slots(0, 2, SLICE), 10.0).start == ("high", "normal")


def test_a_waiting_high_job_preempts_a_running_low_one_and_starts_when_that_has_stopped() -> None:
    line, low = [Waiter("high", HIGH, 5.0)], Runner("low", LOW, 0.0)
    assert choose(line, [low], one_slot(), 10.0) == Decision(preempted=("low",))
    assert choose(line, [Runner("low", LOW, 0.0, is_stopping=True)], one_slot(), 10.0) == Decision()
    assert choose([*line, Waiter("low", LOW, 0.0)], [], one_slot(), 10.0).start == ("high",)


def test_a_lower_level_keeps_the_slots_that_no_higher_job_can_use() -> None:
    line = [Waiter("high", HIGH, 5.0)]
    running = [Runner("low-1", LOW, 0.0), Runner("low-2", LOW, 1.0)]
    decision = choose(line, running, Slots(0, 2, SLICE), 10.0)
    assert (decision.start, len(decision.preempted)) == ((), 1)
    assert choose(line, running, Slots(0, 3, SLICE), 10.0) == Decision(start=("high",))


def test_foreground_jobs_all_run_and_take_no_slot_of_the_background() -> None:
    line = [Waiter(f"f{number}", FOREGROUND, number) for number in range(50)] + [Waiter("low", LOW, 0.0)]
    assert len(choose(line, [], one_slot(), 10.0).start) == 51
    assert choose([line[0]], [Runner("low", LOW, 0.0)], one_slot(), 10.0) == Decision(start=("f0",))


def test_foreground_slots_bound_the_foreground_and_its_jobs_take_turns_too() -> None:
    line = [Waiter("c", FOREGROUND, 2.0)]
    running = [Runner("a", FOREGROUND, 0.0), Runner("b", FOREGROUND, 100.0)]
    assert choose(line, running, one_slot(foreground=2), 299.0) == Decision(look_again=300.0)
    assert choose(line, running, one_slot(foreground=2), 300.0).slice_over == ("a",)


def test_a_slice_ends_only_when_a_job_of_the_same_level_waits() -> None:
    running = [Runner("a", NORMAL, 0.0)]
    assert choose([], running, one_slot(), 1000.0) == Decision()
    assert choose([Waiter("low", LOW, 0.0)], running, one_slot(), 1000.0) == Decision()
    assert choose([Waiter("b", NORMAL, 5.0)], running, one_slot(), 1000.0) == Decision(slice_over=("a",))


def test_the_next_look_is_at_the_end_of_the_slice() -> None:
    decision = choose([Waiter("b", NORMAL, 5.0)], [Runner("a", NORMAL, 40.0)], one_slot(), 50.0)
    assert decision == Decision(look_again=340.0)


def test_no_more_jobs_lose_their_slice_than_there_are_jobs_waiting() -> None:
    running = [Runner("a", NORMAL, 2.0), Runner("b", NORMAL, 1.0), Runner("c", NORMAL, 3.0)]
    decision = choose([Waiter("d", NORMAL, 5.0)], running, Slots(0, 3, SLICE), 1000.0)
    assert decision.slice_over == ("b",)  # the one whose turn has been the longest


def test_a_raised_priority_changes_who_runs() -> None:
    running = [Runner("normal", NORMAL, 0.0)]
    assert choose([Waiter("j", NORMAL, 5.0)], running, one_slot(), 10.0).preempted == ()
    assert choose([Waiter("j", HIGH, 5.0)], running, one_slot(), 10.0).preempted == ("normal",)
    lowered = [Runner("was-high", LOW, 0.0)]
    assert choose([Waiter("normal", NORMAL, 5.0)], lowered, one_slot(), 10.0).preempted == ("was-high",)


def test_fewer_slots_than_before_stop_the_lowest_level_first() -> None:
    running = [Runner("high", HIGH, 0.0), Runner("low", LOW, 0.0), Runner("normal", NORMAL, 0.0)]
    assert set(choose([], running, one_slot(), 10.0).preempted) == {"normal", "low"}


@pytest.mark.parametrize(("level", "blocked"), [(FOREGROUND, False), (HIGH, False), (NORMAL, True), (LOW, True)])
def test_a_job_is_blocked_by_its_own_and_higher_levels_only(level: int, blocked: bool) -> None:
    running = [Runner("a", HIGH, 0.0), Runner("b", NORMAL, 0.0), Runner("c", FOREGROUND, 0.0)]
    assert is_blocked(level, running, Slots(0, 2, SLICE)) is blocked


def test_foreground_is_blocked_only_by_a_bound_of_its_own() -> None:
    running = [Runner("c", FOREGROUND, 0.0), Runner("b", HIGH, 0.0)]
    assert is_blocked(FOREGROUND, running, one_slot(foreground=1))
    assert not is_blocked(FOREGROUND, running, one_slot(foreground=2))


# properties


@st.composite
def boards(draw: st.DrawFn) -> tuple[list[Waiter], list[Runner], Slots, float]:
    """Any queue a scheduler can meet: each job once, waiting or running, never more attempts than slots."""
    slots = Slots(draw(st.integers(0, 3)), draw(st.integers(1, 4)), draw(st.sampled_from([1.0, SLICE])))
    now = draw(st.floats(0, 1000))
    moments = st.integers(0, int(now)).map(float)
    waiting = [Waiter(f"w{n}", draw(LEVELS), draw(moments)) for n in range(draw(st.integers(0, 8)))]
    running = [
        Runner(f"r{n}", draw(LEVELS), draw(moments), draw(st.booleans())) for n in range(draw(st.integers(0, 8)))
    ]
    pools: Counter[bool] = Counter()
    possible = []
    for runner in running:
        pools[runner.level == FOREGROUND] += 1
        if pools[True] <= (slots.foreground or inf) and pools[False] <= slots.background:
            possible.append(runner)
        else:
            pools[runner.level == FOREGROUND] -= 1
    return waiting, possible, slots, now


def pool_sizes(slots: Slots) -> dict[bool, float]:
    return {True: slots.foreground or inf, False: slots.background}


@given(boards())
def test_never_more_run_than_there_are_slots_and_a_stopping_job_still_has_its_own(
    board: tuple[list[Waiter], list[Runner], Slots, float],
) -> None:
    waiting, running, slots, now = board
    level = {job.id: job.level for job in waiting}
    started = choose(waiting, running, slots, now).start
    for is_foreground, size in pool_sizes(slots).items():
        busy = sum((job.level == FOREGROUND) is is_foreground for job in running)
        busy += sum((level[job_id] == FOREGROUND) is is_foreground for job_id in started)
        assert busy <= size


@given(boards())
def test_only_waiting_jobs_start_and_only_running_ones_are_told_to_stop_each_once(
    board: tuple[list[Waiter], list[Runner], Slots, float],
) -> None:
    waiting, running, slots, now = board
    decision = choose(waiting, running, slots, now)
    stopped = decision.slice_over + decision.preempted
    assert len({*decision.start}) == len(decision.start)
    assert len({*stopped}) == len(stopped)
    assert {*decision.start} <= {job.id for job in waiting}
    assert {*stopped} <= {job.id for job in running if not job.is_stopping}


@given(boards())
def test_no_job_runs_on_or_starts_while_a_higher_one_of_its_pool_is_left_waiting(
    board: tuple[list[Waiter], list[Runner], Slots, float],
) -> None:
    waiting, running, slots, now = board
    decision = choose(waiting, running, slots, now)
    told = {*decision.slice_over, *decision.preempted} | {job.id for job in running if job.is_stopping}
    levels = {job.id: job.level for job in waiting} | {job.id: job.level for job in running}
    for is_foreground in (True, False):
        left = [job.level for job in waiting if job.id not in decision.start and (job.level == 0) is is_foreground]
        going_on = [levels[job.id] for job in running if job.id not in told and (job.level == 0) is is_foreground]
        started = [levels[job_id] for job_id in decision.start if (levels[job_id] == 0) is is_foreground]
        # slots on their way to those who are left: they are promised, highest first
        promised = sum((levels[job_id] == 0) is is_foreground for job_id in told)
        still_left = sorted(left)[promised:]
        if still_left:
            assert all(level <= still_left[0] for level in going_on + started)


@given(boards())
def test_no_slot_stays_empty_while_a_job_that_may_have_it_waits(
    board: tuple[list[Waiter], list[Runner], Slots, float],
) -> None:
    waiting, running, slots, now = board
    decision = choose(waiting, running, slots, now)
    for is_foreground, size in pool_sizes(slots).items():
        mine = [job for job in waiting if (job.level == FOREGROUND) is is_foreground]
        started = sum(job.id in decision.start for job in mine)
        busy = sum((job.level == FOREGROUND) is is_foreground for job in running)
        assert started == min(len(mine), size - busy)


@given(boards())
def test_nobody_is_stopped_when_nobody_waits(board: tuple[list[Waiter], list[Runner], Slots, float]) -> None:
    _, running, slots, now = board
    assert choose([], running, slots, now) == Decision()


@given(boards())
def test_a_job_is_preempted_only_for_a_higher_one(board: tuple[list[Waiter], list[Runner], Slots, float]) -> None:
    waiting, running, slots, now = board
    level = {job.id: job.level for job in running}
    for job_id in choose(waiting, running, slots, now).preempted:
        assert any(0 < job.level < level[job_id] for job in waiting)


@given(boards(), st.randoms())
def test_the_same_queue_gives_the_same_decision_in_whatever_order_it_is_read(
    board: tuple[list[Waiter], list[Runner], Slots, float], random: Random
) -> None:
    waiting, running, slots, now = board
    decision = choose(waiting, running, slots, now)
    random.shuffle(waiting)
    assert choose(iter(waiting), running, slots, now) == decision


@given(boards())
def test_the_next_look_is_in_the_future(board: tuple[list[Waiter], list[Runner], Slots, float]) -> None:
    waiting, running, slots, now = board
    assert choose(waiting, running, slots, now).look_again > now


@given(st.integers(1, 12), st.integers(1, 4), st.integers(FOREGROUND, LOW), st.integers(0, 3))
def test_everyone_of_a_level_has_a_turn_within_as_many_slices_as_there_are_jobs(
    jobs: int, size: int, level: int, below: int
) -> None:
    slots = Slots(size, size, SLICE)
    turns = {f"j{number:02}": float(number) for number in range(jobs)}
    idle = [Waiter(f"z{number}", LOW, 0.0) for number in range(below)] if level not in {FOREGROUND, LOW} else []
    since: dict[str, float] = {}
    ran: Counter[str] = Counter()
    now = 100.0
    for _ in range(2 * jobs):
        running = [Runner(job_id, level, started) for job_id, started in since.items()]
        line = [Waiter(job_id, level, turn) for job_id, turn in turns.items() if job_id not in since]
        for number, job_id in enumerate(choose(line + idle, running, slots, now).slice_over):
            del since[job_id]
            turns[job_id] = now + number / 1000  # they stop one after another
        running = [Runner(job_id, level, started) for job_id, started in since.items()]
        line = [Waiter(job_id, level, turn) for job_id, turn in turns.items() if job_id not in since]
        for job_id in choose(line + idle, running, slots, now).start:
            if job_id in turns:
                since[job_id] = now
                ran[job_id] += 1
        assert len(since) == min(size, jobs)
        now += SLICE
        if now == 100.0 + SLICE * jobs:
            assert set(ran) == set(turns)  # nobody starved
    if jobs > size:
        assert max(ran.values()) - min(ran.values()) <= 1  # and the turns are fairly dealt


@given(st.floats(0, 1e9, allow_nan=False))
def test_the_slice_is_over_at_the_moment_announced_for_it_and_not_a_rounding_error_later(since: float) -> None:
    line, running = [Waiter("b", NORMAL, since)], [Runner("a", NORMAL, since)]
    announced = choose(line, running, one_slot(), since).look_again
    assert choose(line, running, one_slot(), announced).slice_over == ("a",)
