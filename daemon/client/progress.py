"""What `bitsctl get` shows while it waits: a live bar on a terminal, plain lines elsewhere, nothing with --json.

Each view is fed the job as often as it is read and decides itself what is worth showing. All of it goes to stderr.
"""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TextIO

from daemon.client.output import clean, format_duration, format_percent, format_size, format_speed, format_time
from daemon.client.speed import SpeedMeter
from daemon.schema import Job, State

if TYPE_CHECKING:
    from rich.progress import Progress

LINE_INTERVAL = 1.0
_FETCHED = frozenset({State.TRANSFERRED, State.ACKNOWLEDGED})


class View(Protocol):
    """Somewhere to show a job that is being fetched."""

    def show(self, job: Job) -> None: ...
    def say(self, text: str) -> None: ...
    def close(self) -> None: ...


class NoView:
    """--json: nothing but the documents."""

    def show(self, job: Job) -> None:
        """Shows nothing."""

    def say(self, text: str) -> None:
        """Says nothing."""

    def close(self) -> None:
        """Holds nothing."""


class LineView:
    """Lines: each change of state, progress once a second at most, and a last line when all is there."""

    def __init__(self, stream: TextIO, clock: Callable[[], float], interval: float = LINE_INTERVAL) -> None:
        self._stream = stream
        self._clock = clock
        self._interval = interval
        self._meter = SpeedMeter()
        self._started = clock()
        self._shown_at: float | None = None
        self._noticed: str | None = None

    def show(self, job: Job) -> None:
        now = self._clock()
        self._meter.add(now, job.progress.bytes_transferred)
        if (notice := describe_state(job)) != self._noticed:
            self._noticed = notice
            if notice:
                self.say(notice)
        if job.state in _FETCHED:
            self.say(last_line(job, now - self._started))
        elif job.state is State.TRANSFERRING and (self._shown_at is None or now - self._shown_at >= self._interval):
            self._shown_at = now
            self.say(progress_line(job, self._meter))

    def say(self, text: str) -> None:
        print(text, file=self._stream, flush=True)

    def close(self) -> None:
        """Lines need no end."""


class BarView:
    """A bar that is redrawn in place; changes of state are lines above it."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._started = clock()
        self._bar = _make_bar()
        self._task = self._bar.add_task("", total=None, name="", size="", speed="", left="")
        self._meter = SpeedMeter()
        self._noticed: str | None = None
        self._bar.start()

    def show(self, job: Job) -> None:
        now = self._clock()
        done, total = job.progress.bytes_transferred, job.progress.bytes_total
        self._meter.add(now, done)
        if (notice := describe_state(job)) != self._noticed:
            self._noticed = notice
            if notice:
                self.say(notice)
        is_moving = job.state is State.TRANSFERRING
        self._bar.update(
            self._task,
            total=max(total, 1) if total is not None else None,
            completed=max(total or 0, 1) if job.state in _FETCHED else done,
            name=f"{clean(job.display_name)} {format_percent(done, total, is_whole=job.state in _FETCHED)}",
            size=f"{format_size(done)} of {format_size(total)}",
            speed=format_speed(self._meter.speed()) if is_moving else job.state.lower(),
            left=f"ETA {format_duration(self._meter.remaining(total))}" if is_moving else "",
        )
        if job.state in _FETCHED:
            self.close()
            self.say(last_line(job, now - self._started))

    def say(self, text: str) -> None:
        self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        self._bar.stop()


def view_for(is_json: bool, clock: Callable[[], float]) -> View:
    """The view that fits where stderr goes."""
    if is_json:
        return NoView()
    return BarView(clock) if sys.stderr.isatty() else LineView(sys.stderr, clock)


def progress_line(job: Job, meter: SpeedMeter) -> str:
    done, total = job.progress.bytes_transferred, job.progress.bytes_total
    head = f"{clean(job.display_name)}  {format_percent(done, total):>4}  {format_size(done)}"
    if total is None:
        return f"{head} of an unknown size  {format_speed(meter.speed())}"
    left = format_duration(meter.remaining(total))
    return f"{head} of {format_size(total)}  {format_speed(meter.speed())}  ETA {left}"


def last_line(job: Job, seconds: float) -> str:
    done = job.progress.bytes_transferred
    mean = format_speed(done / seconds if seconds > 0 else None)
    return f"{clean(job.display_name)}  100%  {format_size(done)} in {format_duration(seconds)} ({mean})"


def describe_state(job: Job) -> str | None:
    """A line about a state that needs one; None for those where progress says enough."""
    match job.state:
        case State.QUEUED:
            is_news = job.waiting is not None and job.waiting.reason != "starting"
            return f"queued: {describe_waiting(job)}" if is_news else None
        case State.TRANSIENT_ERROR:
            message = clean(job.error.message) if job.error else "a transient error"
            return f"transient error: {message}; {describe_waiting(job) or 'will try again'}"
        case State.SUSPENDED:
            return f"suspended: go on with `bitsctl resume {job.id}`"
        case _:
            return None


def describe_waiting(job: Job) -> str:
    """Why it waits and until when, as the service says it."""
    if job.waiting is None:
        return ""
    until = f", next try at {format_time(job.waiting.until, clock_only=True)}" if job.waiting.until else ""
    return f"{clean(job.waiting.detail or job.waiting.reason)}{until}"


def _make_bar() -> "Progress":
    from rich.console import Console  # noqa: PLC0415 - rich costs start-up time and is for terminals only
    from rich.progress import BarColumn, Progress, TextColumn  # noqa: PLC0415

    texts = [TextColumn(f"{{task.fields[{field}]}}", markup=False) for field in ("name", "size", "speed", "left")]
    return Progress(texts[0], BarColumn(), *texts[1:], console=Console(stderr=True), refresh_per_second=8)
