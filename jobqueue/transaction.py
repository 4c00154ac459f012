"""What one transaction on the store can do: the seam between the queue's rules and where its rows live.

Everything is synchronous: a store runs a whole transaction at once, on its own thread or in memory, so that a change
reads, decides and writes with nobody in between.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from jobqueue.job import Event, File, Job, Owner, State
from jobqueue.secrets import JobSecrets

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class JobQuery:
    """Which jobs a listing wants, never a final one. `owner_uid` None = everybody's; `states` None = every state."""

    owner_uid: int | None = None
    states: tuple[State, ...] | None = None
    name: str | None = None
    """A glob over display_name, case-sensitive."""
    changed_since: int | None = None
    after_row: int = 0
    up_to_row: int | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Of a QUEUED job in the line of its level: who got in line first has the lowest `turn` (service time)."""

    job_id: str
    turn: float


@dataclass(frozen=True, slots=True)
class EventQuery:
    """Which events are wanted: those after number `after`, at most `limit`, oldest first."""

    after: int
    limit: int
    owner_uid: int | None = None
    job_id: str | None = None
    types: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class IdempotentRequest:
    """A create that was made under a client's key: the same key and request later get the same job."""

    uid: int
    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Leftover:
    """A temporary file whose job is over; `since` in wall-clock seconds.

    `owner` None = the job was lost with part of the queue: whose file it is cannot be told.
    """

    path: str
    job_id: str
    owner: Owner | None
    since: float


class Transaction(Protocol):
    """Rows in, rows out; no rules. `job` and `file` raise NotFoundError and FileNotInJobError.

    `attempt` runs a part of the transaction, of which nothing stays when it raises.
    """

    def attempt(self, work: Callable[[], T]) -> T: ...

    def job(self, job_id: str) -> Job: ...
    def insert_job(self, job: Job, wake_at: float | None) -> Job: ...
    def put_job(self, job: Job, wake_at: float | None) -> None: ...
    def set_wake(self, job_id: str, wake_at: float | None) -> None: ...
    def delete_job(self, job_id: str) -> None: ...
    def count_jobs(self, owner_uid: int | None = None) -> int: ...
    def count_in(self, states: Sequence[State]) -> int: ...
    def is_any_in(self, states: Sequence[State]) -> bool: ...
    def job_rows(self, query: JobQuery, limit: int | None = None) -> Sequence[int]: ...
    def last_row(self) -> int: ...  # the newest job's; 0 = there was none yet
    def jobs(self, rows: Sequence[int]) -> Sequence[Job]: ...
    def every_job(self) -> Iterator[Job]: ...
    def removed_since(self, seq: int, owner_uid: int | None) -> Sequence[str]: ...

    def queued(self, level: int, limit: int | None) -> Sequence[Place]: ...
    def jobs_in(self, states: Sequence[State]) -> Sequence[Job]: ...
    def jobs_with_intent(self) -> Sequence[Job]: ...
    def due_jobs(self, now: float, limit: int) -> Sequence[Job]: ...
    def next_wake(self) -> float | None: ...

    def files(self, job_id: str) -> Sequence[File]: ...
    def file(self, job_id: str, index: int) -> File: ...
    def put_file(self, job_id: str, file: File) -> None: ...
    def next_files(self, job_id: str, from_index: int, limit: int) -> Sequence[File]: ...  # not transferred yet

    def secrets(self, job_id: str) -> JobSecrets: ...
    def put_secrets(self, job_id: str, secrets: JobSecrets) -> None: ...
    def jobs_with_lost_secrets(self) -> Sequence[str]: ...  # sealed with another key than this store's
    def has_own_seal(self) -> bool: ...  # there are none of these, as was noted
    def note_own_seal(self) -> None: ...

    def put_leftover(self, leftover: Leftover) -> None: ...
    def leftovers(self) -> Sequence[Leftover]: ...
    def drop_leftover(self, path: str) -> None: ...

    def append_event(self, event: Event) -> int: ...
    def events(self, query: EventQuery) -> Sequence[Event]: ...
    def last_seq(self) -> int: ...
    def events_floor(self) -> int: ...
    def prune_events(self, before: float) -> None: ...

    def idempotent_job(self, request: IdempotentRequest) -> tuple[str, str] | None: ...  # fingerprint, job id
    def remember_request(self, request: IdempotentRequest, job_id: str) -> None: ...

    def meta(self, key: str) -> str | None: ...
    def set_meta(self, key: str, value: str) -> None: ...
