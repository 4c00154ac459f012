"""The state machine: one table, and the one function that assigns a state.

The table is spec/service.md §2.2 and §2.3 for download jobs. What is not in it is refused and changes nothing.
docs/states.md shows it as a diagram made by `diagram()`; a test holds the two together.
"""

from dataclasses import replace
from enum import StrEnum

from jobqueue.errors import InvalidStateError
from jobqueue.job import Job, JobError, State, Timers


class Trigger(StrEnum):
    """What can happen to a job: calls of its owner first, then what happens by itself (T-numbers of §2.3)."""

    EDIT = "edit"  # add files, set properties, remote names, take ownership
    SUSPEND = "suspend"
    RESUME = "resume"
    COMPLETE = "complete"
    CANCEL = "cancel"
    INVALIDATE = "judged invalid"
    START = "start"  # T2, T3
    YIELD = "yield"  # T5, T23: pre-empted, or the service stopped
    SLICE_END = "time slice"  # T5
    FINISH = "finish"  # T6
    FAIL = "transient failure"  # T4, T7
    FAIL_FATAL = "fatal failure"  # T8
    RETRY = "retry"  # T9
    GIVE_UP = "no progress"  # T10
    OVERRUN = "maximum download time"  # T17
    EXPIRE = "inactivity"  # T19
    RENAME_FAILED = "rename failed"


S = State
LIVE = tuple(state for state in State if not state.is_final)
ACTIVE = (S.CONNECTING, S.TRANSFERRING)

TRANSITIONS: dict[Trigger, dict[State, State]] = {
    Trigger.EDIT: {state: state for state in LIVE},
    Trigger.SUSPEND: dict.fromkeys(LIVE, S.SUSPENDED),
    Trigger.RESUME: dict.fromkeys(LIVE, S.QUEUED) | {state: state for state in ACTIVE},
    Trigger.COMPLETE: dict.fromkeys(LIVE, S.ACKNOWLEDGED),
    Trigger.CANCEL: dict.fromkeys(LIVE, S.CANCELLED),
    Trigger.INVALIDATE: dict.fromkeys(LIVE, S.ERROR),
    Trigger.START: {S.QUEUED: S.TRANSFERRING},
    Trigger.YIELD: dict.fromkeys(ACTIVE, S.QUEUED),
    Trigger.SLICE_END: dict.fromkeys(ACTIVE, S.QUEUED),
    Trigger.FINISH: dict.fromkeys((*ACTIVE, S.QUEUED), S.TRANSFERRED),
    Trigger.FAIL: dict.fromkeys(ACTIVE, S.TRANSIENT_ERROR),
    Trigger.FAIL_FATAL: dict.fromkeys(ACTIVE, S.ERROR),
    Trigger.RETRY: {S.TRANSIENT_ERROR: S.QUEUED},
    Trigger.GIVE_UP: {S.TRANSIENT_ERROR: S.ERROR},
    Trigger.OVERRUN: dict.fromkeys(ACTIVE, S.ERROR),
    Trigger.EXPIRE: dict.fromkeys(LIVE, S.CANCELLED),
    Trigger.RENAME_FAILED: dict.fromkeys(LIVE, S.TRANSFERRED),
}


def check(job: Job, trigger: Trigger) -> State:
    """The state the trigger leads to. Raises InvalidStateError when it is not legal now."""
    if job.intent is not None:
        doing = "completed" if job.intent == "COMPLETE" else "cancelled"
        raise InvalidStateError(f"cannot {trigger} job {job.id}: it is being {doing}", state=job.state)
    target = TRANSITIONS[trigger].get(job.state)
    if target is None:
        raise InvalidStateError(f"cannot {trigger} job {job.id}: it is {job.state}", state=job.state)
    return target


def advance(job: Job, trigger: Trigger, now: float, wall: float, error: JobError | None = None) -> Job:
    """The job after the trigger. `now` is service time, `wall` the wall clock; `error` goes with failures.

    Raises InvalidStateError when the trigger is not legal in the job's state; a legal trigger that leads to the same
    state returns the job unchanged.
    """
    target = check(job, trigger)
    if target is job.state and error is None:
        return job
    moved = replace(
        job,
        state=target,
        error=(error or job.error) if target in {S.ERROR, S.TRANSIENT_ERROR} else None,
        yielded=trigger is Trigger.SLICE_END,
        timers=_left(job, now),
    )
    return _entered(moved, trigger, now, wall)


def _left(job: Job, now: float) -> Timers:
    """Timers after leaving the present state."""
    timers = job.timers
    if timers.active_since is not None:
        timers = replace(timers, active_time=timers.active_time + now - timers.active_since, active_since=None)
    if timers.queued_at is not None:
        waited = now - timers.queued_at
        since = timers.no_progress_since
        # waiting for a turn is nobody's failure: the no-progress clock stands still (docs/api.md, decisions)
        timers = replace(timers, queued_at=None, no_progress_since=None if since is None else since + waited)
    return timers


def _entered(job: Job, trigger: Trigger, now: float, wall: float) -> Job:
    """Timers and stamps that belong to the state just entered."""
    timers = job.timers
    match job.state:
        case S.QUEUED:
            timers = replace(timers, queued_at=now, turn=timers.turn if trigger is Trigger.YIELD else now)
            if trigger is Trigger.RESUME:  # "I fixed it": both clocks start anew (§3.2.9, §3.7)
                timers = replace(timers, no_progress_since=None, active_time=0.0)
                job = replace(job, resumed=True)
        case S.TRANSFERRING | S.CONNECTING:
            timers = replace(timers, active_since=now)
        case S.TRANSFERRED:
            timers = replace(timers, no_progress_since=None)
            job = job if trigger is Trigger.RENAME_FAILED else replace(job, transfer_completed=wall)
        case S.SUSPENDED:
            timers = replace(timers, no_progress_since=None)
        case S.ACKNOWLEDGED | S.CANCELLED:
            timers = replace(timers, final_at=now)
        case S.ERROR | S.TRANSIENT_ERROR:
            pass
    return replace(job, timers=timers)


def diagram() -> str:
    """The table as a Mermaid state diagram (the text of docs/states.md); EDIT changes no state and is left out."""
    labels: dict[tuple[State, State], list[str]] = {}
    for trigger, moves in TRANSITIONS.items():
        for source, target in moves.items():
            if source is not target and S.CONNECTING not in {source, target}:
                labels.setdefault((source, target), []).append(trigger)
    lines = [f"    {source} --> {target}: {', '.join(names)}" for (source, target), names in labels.items()]
    return "\n".join(["stateDiagram-v2", "    [*] --> SUSPENDED: create", *sorted(lines)])
