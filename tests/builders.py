"""Records of the queue as tests want them: everything has a default, and a test names only what it is about."""

from dataclasses import replace
from typing import Any

from jobqueue.edit import Limits
from jobqueue.job import Failed, File, Job, JobError, Owner, Properties, State, Timers, Totals
from jobqueue.retry import Policy

ANNA = Owner(1000, 1000, "anna")
BEN = Owner(1001, 1001, "ben")
ROOT = Owner(0, 0, "root")

HOUR = 3600
DAY = 86_400

POLICY = Policy(
    minimum_retry_delay=60,
    minimum_retry_delay_floor=5,
    no_progress_timeout_foreground=HOUR,
    no_progress_timeout_background=DAY,
    inactivity_timeout=90 * DAY,
    maximum_download_time=90 * DAY,
    history_retention=7 * DAY,
)
LIMITS = Limits(jobs_per_user=60, jobs_per_machine=300, files_per_job=200, ranges_per_file=500)
NO_LIMITS = Limits(0, 0, 0, 0)

TIMED_OUT = JobError("ERROR_WINHTTP_TIMEOUT", 0x80072EE2, "GENERAL_TRANSPORT", "the server is silent")
NOT_FOUND = JobError("BG_E_HTTP_ERROR_404", 0x80190194, "REMOTE_FILE", "not found", http_status=404)

PROPERTIES = frozenset(Properties.__dataclass_fields__)
TIMERS = frozenset(Timers.__dataclass_fields__)


def a_file(index: int = 0, **fields: Any) -> File:  # noqa: ANN401 - fields of File
    """A file under /data, of unknown size unless told."""
    name = f"file-{index}"
    file = File(index, f"http://origin/{name}", f"/data/{name}", f"/data/.BIT{index:08x}.tmp")
    return replace(file, **fields)


def a_job(state: State = State.SUSPENDED, **fields: Any) -> Job:  # noqa: ANN401 - of Job, its properties and timers
    """A job in this state with one file, the clocks and the error such a job has; `fields` go where they belong."""
    job = Job("j", ANNA, Properties("a job"), created=1.0, modified=1.0, state=state, totals=Totals(1, sizes_unknown=1))
    if state in {State.ERROR, State.TRANSIENT_ERROR}:
        job = replace(job, error=TIMED_OUT, error_count=1)
    if state in {State.TRANSFERRING, State.CONNECTING}:
        job = replace(job, timers=Timers(active_since=0.0))
    own = {name: fields.pop(name) for name in list(fields) if name in PROPERTIES}
    timers = {name: fields.pop(name) for name in list(fields) if name in TIMERS}
    job = replace(job, properties=replace(job.properties, **own), timers=replace(job.timers, **timers))
    return replace(job, **fields)


def transient(*, moved: bool = False, retry_after: int | None = None) -> Failed:
    """An attempt that failed and may be repeated."""
    return Failed(TIMED_OUT, transient=True, moved=moved, retry_after=retry_after)


def fatal() -> Failed:
    """An attempt that failed for good."""
    return Failed(NOT_FOUND, transient=False)
