"""Who runs, who yields, when to look again. Pure: values in, a decision out.

The rules (spec/service.md §4.1, docs/api.md): FOREGROUND jobs run all at once or in `foreground` slots; the background
levels share `background` slots in order of level, a higher one pre-empting a lower one; equal levels take turns.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf

FOREGROUND = 0


@dataclass(frozen=True, slots=True)
class Slots:
    """How many may run; `foreground` 0 = no limit. `time_slice` in seconds."""

    foreground: int
    background: int
    time_slice: float


@dataclass(frozen=True, slots=True)
class Waiter:
    """A job in QUEUED: `turn` says since when it has been in line."""

    id: str
    level: int
    turn: float


@dataclass(frozen=True, slots=True)
class Runner:
    """A job with a running attempt, since `since` (service time). `is_stopping`: it was told to stop and still has
    its slot.
    """

    id: str
    level: int
    since: float
    is_stopping: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do now. `slice_over` are told to stop because their turn is over, `preempted` because a higher level
    needs the slot. `look_again`: the moment the answer changes by time alone (inf = never).
    """

    start: tuple[str, ...] = ()
    slice_over: tuple[str, ...] = ()
    preempted: tuple[str, ...] = ()
    look_again: float = inf


def choose(queued: Iterable[Waiter], running: Sequence[Runner], slots: Slots, now: float) -> Decision:
    """Decide for both pools. Never starts more than the free slots: a stopping job frees its slot when it has ended."""
    waiting = sorted(queued, key=lambda job: (job.level, job.turn, job.id))
    foreground = _fill(
        [job for job in waiting if job.level == FOREGROUND],
        [job for job in running if job.level == FOREGROUND],
        slots.foreground or len(waiting) + len(running),
        slots.time_slice,
        now,
    )
    background = _fill(
        [job for job in waiting if job.level != FOREGROUND],
        [job for job in running if job.level != FOREGROUND],
        slots.background,
        slots.time_slice,
        now,
    )
    return Decision(
        foreground.start + background.start,
        foreground.slice_over + background.slice_over,
        foreground.preempted + background.preempted,
        min(foreground.look_again, background.look_again),
    )


def _fill(waiting: Sequence[Waiter], running: Sequence[Runner], size: int, time_slice: float, now: float) -> Decision:
    """One pool of `size` slots, filled level by level, highest first."""
    left = size
    start: list[str] = []
    over: list[str] = []
    preempted: list[str] = []
    look_again = inf
    staying = [job for job in running if not job.is_stopping]
    for level in sorted({job.level for job in waiting} | {job.level for job in staying}):
        runners = sorted((job for job in staying if job.level == level), key=lambda job: job.since)
        surplus = max(0, len(runners) - left)
        preempted += [job.id for job in runners[:surplus]]
        runners = runners[surplus:]
        left -= len(runners)
        line = [job.id for job in waiting if job.level == level]
        taken, line = line[:left], line[left:]
        start += taken
        left -= len(taken)
        if line:
            expired = [job for job in runners if job.since + time_slice <= now][: len(line)]
            over += [job.id for job in expired]
            if len(expired) < len(line):
                look_again = min([look_again, *(job.since + time_slice for job in runners[len(expired) :])])
    unoccupied = max(0, size - len(running))
    return Decision(tuple(start[:unoccupied]), tuple(over), tuple(preempted), look_again)


def is_blocked(level: int, running: Sequence[Runner], slots: Slots) -> bool:
    """Every slot a job of this level could have is taken by a job that it may not displace."""
    if level == FOREGROUND:
        busy = sum(job.level == FOREGROUND for job in running)
        return 0 < slots.foreground <= busy
    return sum(FOREGROUND < job.level <= level for job in running) >= slots.background
