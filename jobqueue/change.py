"""One change of the queue: a transaction together with everything that follows from changing a job in it.

Owns the consequences: revision, modification time, events, the next look of the scheduler. Decides nothing itself.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from jobqueue import retry
from jobqueue.ids import Ids
from jobqueue.job import Event, File, Job, JobError, State
from jobqueue.secrets import Credential, JobSecrets
from jobqueue.states import Trigger, advance
from jobqueue.transaction import Transaction

Guard = Callable[[Job], None]
"""Raises when the caller may not do this to the job; run inside the transaction that does it."""

SCHEDULED = frozenset({State.QUEUED, State.TRANSFERRING, State.TRANSIENT_ERROR})


class Clock(Protocol):
    """Where time comes from."""

    def now(self) -> float:
        """Service time in seconds: never jumps, runs only while the service does, goes on after a restart."""
        ...

    def wall(self) -> float:
        """Seconds since the epoch, for people."""
        ...


@dataclass(slots=True)
class Change:
    """Handed to the work of one transaction. `is_scheduling`: the scheduler must look once this is committed.

    `job_ids`: the jobs that are not on record any more as they were before. `is_progress`: all that changed of them is
    what their own transfers reported.
    """

    tx: Transaction
    now: float
    wall: float
    policy: retry.Policy
    ids: Ids
    next_wake: float
    is_scheduling: bool = field(default=False, init=False)
    has_events: bool = field(default=False, init=False)
    job_ids: set[str] = field(default_factory=set, init=False)
    is_progress: bool = field(default=False, init=False)

    def advance(self, job: Job, trigger: Trigger, error: JobError | None = None) -> Job:
        """states.advance at this change's time. Raises InvalidStateError."""
        return advance(job, trigger, self.now, self.wall, error)

    def save(self, old: Job, new: Job, *, by_owner: bool = False, has_new_files: bool = False) -> Job:
        """Store what became of `old`: a change that a client can see; nothing when nothing changed.

        `by_owner` restarts the inactivity clock; `has_new_files`: the file list changed, whatever the job says.
        """
        if new == old and not has_new_files:
            return old
        new = self.changed(old, new, by_owner=by_owner)
        if new.state.is_final:
            self.tx.put_secrets(new.id, JobSecrets())
            new = replace(new, properties=replace(new.properties, client_certificate=None))
        self.keep(new)
        return new

    def changed(self, old: Job, new: Job, *, by_owner: bool) -> Job:
        """What became of `old`, with its events; still to be stored."""
        timers = replace(new.timers, activity_at=self.now) if by_owner else new.timers
        new = replace(new, revision=old.revision + 1, modified=self.wall, timers=timers)
        if new.state is old.state:
            new = self.emit(new, "JOB_MODIFIED")
        else:
            new = self.emit(new, "JOB_STATE", **{"from": old.state, "to": new.state})
        if new.state is State.TRANSFERRED and old.state is not State.TRANSFERRED:
            new = self.emit(new, "JOB_TRANSFERRED")
        if new.state is State.ERROR and new.error is not None and (old.state, old.error) != (new.state, new.error):
            new = self.emit(new, "JOB_ERROR", code=new.error.code, message=new.error.message)
        self.is_scheduling = self.is_scheduling or bool({old.state, new.state} & SCHEDULED)
        return new

    def insert(self, job: Job) -> Job:
        """Store a new job; returns it as the store has it."""
        return self.tx.insert_job(job, self._wake_at(job))

    def keep(self, job: Job) -> None:
        """Store progress and timers: nothing that counts as a change of the job."""
        self.job_ids.add(job.id)
        self.tx.put_job(job, self._wake_at(job))

    def delete(self, job: Job) -> None:
        """It leaves the history, and is not on record any more."""
        self.job_ids.add(job.id)
        self.emit(job, "JOB_REMOVED")
        self.tx.delete_job(job.id)

    def put_file(self, job: Job, old: File | None, new: File) -> Job:
        """Store a file; returns the job with its totals brought up to date, still to be saved or kept."""
        self.tx.put_file(job.id, new)
        return replace(job, totals=job.totals.changed(old, new))

    def add_credentials(self, job: Job, credentials: Sequence[Credential]) -> None:
        """Those of new files' URLs. Raises RefusedError when one server would get two users."""
        if credentials:
            self.tx.put_secrets(job.id, self.tx.secrets(job.id).added(credentials))

    def put_credentials(self, job: Job, credentials: Sequence[Credential]) -> None:
        """Those of a changed URL, in place of what was there."""
        if credentials:
            self.tx.put_secrets(job.id, self.tx.secrets(job.id).put(*credentials))

    def emit(self, job: Job, kind: str, **data: object) -> Job:
        """Append an event; returns the job with its number, still to be saved or kept."""
        self.has_events = True
        seq = self.tx.append_event(Event(kind, job.id, job.owner.uid, self.wall, self.now, data))
        return replace(job, changed_seq=seq)

    def _wake_at(self, job: Job) -> float | None:
        """When the scheduler must look at the job again; it does so at once if that is sooner than it meant to."""
        wake_at = retry.wake_at(job, self.policy)
        if wake_at is not None and wake_at < self.next_wake:
            self.is_scheduling = True
        return wake_at
