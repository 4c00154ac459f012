"""When a job tries again and when it gives up: spec/service.md §3.2, §3.7, §3.8 and docs/api.md, rule by rule."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobqueue.job import Job, Priority, State, Totals
from jobqueue.retry import GiveUpAt, RetryAt, decide, due, maximum_download_time, no_progress_timeout, wake_at
from jobqueue.states import Trigger
from tests.builders import DAY, HOUR, POLICY, a_job

DONE = Totals(1, 1, 10, 0, 10)


def failed(*, at: float = 1000.0, since: float | None = None, **fields: object) -> Job:
    """A job that failed transiently at `at`; its first failure without a byte since was at `since`."""
    return a_job(State.TRANSIENT_ERROR, failed_at=at, no_progress_since=at if since is None else since, **fields)


# the retry delay


def test_a_failed_job_is_tried_again_after_the_minimum_retry_delay() -> None:
    assert decide(failed(), POLICY) == RetryAt(1060.0)
    assert decide(failed(minimum_retry_delay=600), POLICY) == RetryAt(1600.0)


@pytest.mark.parametrize("delay", [0, 1, 4, 5])
def test_a_delay_below_the_floor_is_raised_to_it(delay: int) -> None:
    assert decide(failed(minimum_retry_delay=delay), POLICY) == RetryAt(1005.0)


def test_the_floor_also_bounds_the_default() -> None:
    assert decide(failed(), replace(POLICY, minimum_retry_delay=1)) == RetryAt(1005.0)


def test_a_server_may_ask_for_a_longer_wait_but_not_for_a_shorter_one() -> None:
    assert decide(failed(retry_after=500), POLICY) == RetryAt(1500.0)
    assert decide(failed(retry_after=3), POLICY) == RetryAt(1060.0)


def test_jitter_lengthens_the_wait_by_a_tenth_at_most() -> None:
    assert decide(failed(jitter=1.0), POLICY).at == pytest.approx(1066.0)
    assert decide(failed(jitter=0.5, retry_after=100), POLICY).at == pytest.approx(1105.0)


# the no-progress timeout


def test_the_no_progress_timeout_follows_the_priority_until_it_is_set() -> None:
    assert no_progress_timeout(a_job(), POLICY) == DAY
    assert no_progress_timeout(a_job(priority=Priority.HIGH), POLICY) == DAY
    assert no_progress_timeout(a_job(priority=Priority.FOREGROUND), POLICY) == HOUR
    assert no_progress_timeout(a_job(priority=Priority.FOREGROUND, no_progress_timeout=7), POLICY) == 7
    assert no_progress_timeout(a_job(no_progress_timeout=0), POLICY) == 0


def test_the_clock_runs_from_the_first_failure_and_not_from_the_last() -> None:
    job = failed(at=4000.0, since=1000.0, no_progress_timeout=HOUR)
    assert decide(job, POLICY) == RetryAt(4060.0)
    assert decide(replace(job, timers=replace(job.timers, failed_at=4550.0)), POLICY) == GiveUpAt(4600.0)


def test_timeout_zero_makes_every_error_final() -> None:
    assert decide(failed(no_progress_timeout=0), POLICY) == GiveUpAt(1000.0)
    assert decide(failed(no_progress_timeout=0, retry_after=500), POLICY) == GiveUpAt(1000.0)


def test_a_delay_longer_than_the_timeout_means_no_retry_at_all() -> None:
    assert decide(failed(minimum_retry_delay=101, no_progress_timeout=100), POLICY) == GiveUpAt(1000.0)


def test_the_floor_counts_when_the_delay_is_compared_with_the_timeout() -> None:
    assert decide(failed(minimum_retry_delay=0, no_progress_timeout=4), POLICY) == GiveUpAt(1000.0)


def test_a_delay_as_long_as_the_timeout_gives_one_retry() -> None:
    job = failed(minimum_retry_delay=100, no_progress_timeout=100)
    assert decide(job, POLICY) == RetryAt(1100.0)
    assert decide(failed(minimum_retry_delay=100, no_progress_timeout=100, jitter=1.0), POLICY) == RetryAt(1100.0)
    assert decide(failed(at=1101.0, since=1000.0, minimum_retry_delay=100, no_progress_timeout=100), POLICY) == (
        GiveUpAt(1100.0)
    )


def test_a_wait_never_outlives_the_timeout() -> None:
    assert decide(failed(no_progress_timeout=100, retry_after=101), POLICY) == GiveUpAt(1100.0)
    assert decide(failed(at=1050.0, since=1000.0, no_progress_timeout=100), POLICY) == GiveUpAt(1100.0)


def test_what_the_server_asks_for_does_not_count_when_delay_and_timeout_are_compared() -> None:
    """§3.2 rule 6 compares the timeout with minimum_retry_delay alone: the job waits its timeout out."""
    assert decide(failed(no_progress_timeout=100, retry_after=10**9), POLICY) == GiveUpAt(1100.0)


def test_a_changed_timeout_counts_from_when_the_clock_started() -> None:
    job = failed(at=1500.0, since=1000.0, no_progress_timeout=DAY)
    shorter = replace(job, properties=replace(job.properties, no_progress_timeout=510))
    longer = replace(job, properties=replace(job.properties, no_progress_timeout=2 * DAY))
    assert decide(shorter, POLICY) == GiveUpAt(1510.0)
    assert decide(longer, POLICY) == RetryAt(1560.0)


@given(
    delay=st.integers(0, 2000),
    timeout=st.integers(0, 5000),
    retry_after=st.none() | st.integers(0, 10_000),
    age=st.integers(0, 5000),
    jitter=st.floats(0, 1),
)
def test_whatever_the_numbers_no_retry_comes_too_early_or_after_the_timeout(
    delay: int, timeout: int, retry_after: int | None, age: int, jitter: float
) -> None:
    job = failed(
        at=10_000.0,
        since=10_000.0 - age,
        minimum_retry_delay=delay,
        no_progress_timeout=timeout,
        retry_after=retry_after,
        jitter=jitter,
    )
    verdict = decide(job, POLICY)
    wait = max(delay, 5, retry_after or 0)
    if isinstance(verdict, RetryAt):
        assert 10_000 + wait <= verdict.at <= 10_000 - age + timeout
        assert verdict.at <= 10_000 + wait * 1.1 + 1e-6
    else:
        assert timeout < max(delay, 5) or age + wait > timeout
        assert verdict.at in {10_000, 10_000 - age + timeout}


# what time alone does


def test_a_waiting_job_is_due_for_its_retry_or_for_its_end() -> None:
    assert due(failed(), POLICY) == (1060.0, Trigger.RETRY)
    assert due(failed(no_progress_timeout=100, retry_after=101), POLICY) == (1100.0, Trigger.GIVE_UP)


def test_a_running_job_may_spend_its_maximum_download_time_in_several_goes() -> None:
    job = a_job(State.TRANSFERRING, active_since=500.0, active_time=40.0, maximum_download_time=100)
    assert due(job, POLICY) == (560.0, Trigger.OVERRUN)
    assert maximum_download_time(a_job(), POLICY) == 90 * DAY
    assert maximum_download_time(a_job(maximum_download_time=0), POLICY) == 0


@pytest.mark.parametrize(
    "state", [State.SUSPENDED, State.QUEUED, State.ERROR, State.TRANSFERRED, State.TRANSIENT_ERROR, State.TRANSFERRING]
)
def test_a_job_nothing_happens_to_expires_whatever_its_state(state: State) -> None:
    job = failed(activity_at=200.0, no_progress_timeout=10**9, retry_after=10**8)
    job = replace(job, state=state, timers=replace(job.timers, active_since=10.0**9))
    assert due(job, POLICY) == (200.0 + 90 * DAY, Trigger.EXPIRE)


@pytest.mark.parametrize("state", [State.SUSPENDED, State.QUEUED, State.ERROR, State.TRANSFERRED])
def test_without_an_inactivity_timeout_an_idle_job_stays_for_ever(state: State) -> None:
    policy = replace(POLICY, inactivity_timeout=0)
    assert due(a_job(state), policy) is None
    assert wake_at(a_job(state), policy) is None


def test_a_queued_job_with_nothing_new_to_fetch_is_done_at_once() -> None:
    assert due(a_job(State.QUEUED, totals=DONE, activity_at=1e6), POLICY) == (0.0, Trigger.FINISH)


@pytest.mark.parametrize("state", [State.SUSPENDED, State.ERROR, State.TRANSFERRED])
def test_time_finishes_no_job_that_was_not_resumed(state: State) -> None:
    following = due(a_job(state, totals=DONE), POLICY)
    assert following is not None
    assert following[1] is Trigger.EXPIRE


@pytest.mark.parametrize("state", list(State))
def test_time_does_nothing_to_a_job_that_is_being_ended(state: State) -> None:
    assert due(a_job(state, intent="CANCEL"), POLICY) is None
    assert wake_at(a_job(state, intent="COMPLETE"), POLICY) is None


@pytest.mark.parametrize("state", [State.ACKNOWLEDGED, State.CANCELLED])
def test_a_final_job_is_looked_at_when_its_history_ends(state: State) -> None:
    job = a_job(state, final_at=100.0)
    assert due(job, POLICY) is None
    assert wake_at(job, POLICY) == 100.0 + 7 * DAY


@pytest.mark.parametrize(
    "job", [failed(), a_job(State.TRANSFERRING), a_job(State.QUEUED, totals=DONE), a_job()], ids=lambda job: job.state
)
def test_the_scheduler_looks_when_something_is_due(job: Job) -> None:
    following = due(job, POLICY)
    assert following is not None
    assert wake_at(job, POLICY) == following[0]
