"""When to try again, when to give up, and what else the passage of time does to a job. Pure.

Owns the rules of spec/service.md §3.2 (retry and no progress), §3.7 (maximum download time), §3.8 (inactivity).
All moments are service time.
"""

from dataclasses import dataclass

from jobqueue.job import Job, Priority, State
from jobqueue.states import Trigger

JITTER = 0.1
"""The most a retry delay is lengthened, as a fraction, so that a crowd of clients does not come back at once."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The service's defaults and bounds in seconds (config.toml); 0 in `inactivity_timeout` = never."""

    minimum_retry_delay: int
    minimum_retry_delay_floor: int
    no_progress_timeout_foreground: int
    no_progress_timeout_background: int
    inactivity_timeout: int
    maximum_download_time: int
    history_retention: int


@dataclass(frozen=True, slots=True)
class RetryAt:
    """Try again at this moment."""

    at: float


@dataclass(frozen=True, slots=True)
class GiveUpAt:
    """No retry before the no-progress timeout ends at this moment; then the error is final."""

    at: float


def minimum_retry_delay(job: Job, policy: Policy) -> int:
    """The job's own value or the default, never below the floor (§3.1)."""
    own = job.properties.minimum_retry_delay
    return max(policy.minimum_retry_delay if own is None else own, policy.minimum_retry_delay_floor)


def no_progress_timeout(job: Job, policy: Policy) -> int:
    """The job's own value, else the default of its priority."""
    if job.properties.no_progress_timeout is not None:
        return job.properties.no_progress_timeout
    if job.properties.priority is Priority.FOREGROUND:
        return policy.no_progress_timeout_foreground
    return policy.no_progress_timeout_background


def maximum_download_time(job: Job, policy: Policy) -> int:
    """The job's own value or the default."""
    own = job.properties.maximum_download_time
    return policy.maximum_download_time if own is None else own


def decide(job: Job, policy: Policy) -> RetryAt | GiveUpAt:
    """What becomes of a job that failed transiently at `timers.failed_at`; computed anew whenever a rule changes.

    Rules 5-7 of §3.2: no retry when the timeout is 0 or shorter than the minimum delay; else after
    max(delay, Retry-After) plus jitter, unless the no-progress clock runs out first.
    """
    timers = job.timers
    failed_at = timers.failed_at or 0.0
    delay, timeout = minimum_retry_delay(job, policy), no_progress_timeout(job, policy)
    if timeout == 0 or delay > timeout:
        return GiveUpAt(failed_at)
    since = failed_at if timers.no_progress_since is None else timers.no_progress_since
    deadline = since + timeout
    wait = max(delay, timers.retry_after or 0)
    if failed_at + wait > deadline:
        return GiveUpAt(deadline)
    return RetryAt(min(failed_at + wait * (1 + JITTER * timers.jitter), deadline))


def due(job: Job, policy: Policy) -> tuple[float, Trigger] | None:
    """The next thing that time alone will do to the job, and when. None = nothing."""
    if job.state.is_final or job.intent is not None:
        return None
    options: list[tuple[float, Trigger]] = []
    if policy.inactivity_timeout:
        options.append((job.timers.activity_at + policy.inactivity_timeout, Trigger.EXPIRE))
    match job.state:
        case State.TRANSIENT_ERROR:
            verdict = decide(job, policy)
            options.append((verdict.at, Trigger.RETRY if isinstance(verdict, RetryAt) else Trigger.GIVE_UP))
        case State.TRANSFERRING | State.CONNECTING:
            left = maximum_download_time(job, policy) - job.timers.active_time
            options.append(((job.timers.active_since or 0.0) + left, Trigger.OVERRUN))
        case State.QUEUED if job.totals.is_transferred:
            options.append((0.0, Trigger.FINISH))
        case _:
            pass
    return min(options, default=None)


def wake_at(job: Job, policy: Policy) -> float | None:
    """When the scheduler must look at the job again: what is due, or the end of a final job's history."""
    if job.timers.final_at is not None:
        return job.timers.final_at + policy.history_retention
    following = due(job, policy)
    return None if following is None else following[0]
