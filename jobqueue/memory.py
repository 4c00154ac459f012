"""The store's twin in memory: for tests and `bitsd --ephemeral`. The same contract tests run on both."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any, TypeVar

from jobqueue.errors import FileNotInJobError, NotFoundError
from jobqueue.job import EVERYBODY, Event, File, Job, State
from jobqueue.secrets import JobSecrets
from jobqueue.transaction import EventQuery, IdempotentRequest, JobQuery, Leftover, Place, Transaction

T = TypeVar("T")


class MemoryStore:
    """A Store that forgets everything at the end of the process."""

    def __init__(self) -> None:
        self._data = MemoryTransaction()

    async def write(self, work: Callable[[Transaction], T]) -> T:
        self._data.begin()
        return self._data.attempt(lambda: work(self._data))

    async def read(self, work: Callable[[Transaction], T]) -> T:
        return work(self._data)

    async def flaw(self) -> str | None:
        return None

    async def close(self) -> None:
        return None


class MemoryTransaction:
    """A Transaction on dictionaries; every assignment notes how to undo it."""

    def __init__(self) -> None:
        self._jobs: dict[str, tuple[Job, float | None]] = {}
        self._files: dict[str, list[File]] = {}
        self._events: list[Event] = []
        self._requests: dict[tuple[int, str], tuple[str, str]] = {}
        self._meta: dict[str, str] = {}
        self._secrets: dict[str, JobSecrets] = {}
        self._leftovers: dict[str, Leftover] = {}
        self._undo: list[Callable[[], object]] = []

    def begin(self) -> None:
        self._undo.clear()

    def attempt(self, work: Callable[[], T]) -> T:
        kept = len(self._undo)
        try:
            return work()
        except BaseException:
            while len(self._undo) > kept:
                self._undo.pop()()
            raise

    def job(self, job_id: str) -> Job:
        if job_id not in self._jobs:
            raise NotFoundError(f"there is no job {job_id}")
        return self._jobs[job_id][0]

    def insert_job(self, job: Job, wake_at: float | None) -> Job:
        row = self._count("row")
        job = replace(job, row=row)
        self._set(self._jobs, job.id, (job, wake_at))
        self._set(self._files, job.id, [])
        return job

    def put_job(self, job: Job, wake_at: float | None) -> None:
        self._set(self._jobs, job.id, (job, wake_at))

    def set_wake(self, job_id: str, wake_at: float | None) -> None:
        self._set(self._jobs, job_id, (self._jobs[job_id][0], wake_at))

    def delete_job(self, job_id: str) -> None:
        self._drop(self._jobs, job_id)
        self._drop(self._files, job_id)
        self._drop(self._secrets, job_id)
        for key in [key for key, (_, job) in self._requests.items() if job == job_id]:
            self._drop(self._requests, key)

    def count_jobs(self, owner_uid: int | None = None) -> int:
        return sum(owner_uid in {None, job.owner.uid} for job in self._live())

    def count_in(self, states: Sequence[State]) -> int:
        return sum(job.state in states for job in self.every_job())

    def is_any_in(self, states: Sequence[State]) -> bool:
        return any(job.state in states for job, _ in self._jobs.values())

    def last_row(self) -> int:
        return int(self._meta.get("next_row", 0))

    def job_rows(self, query: JobQuery, limit: int | None = None) -> Sequence[int]:
        found = [
            job.row
            for job in self._live()
            if (query.states is None or job.state in query.states)
            and query.owner_uid in {None, job.owner.uid}
            and query.after_row < job.row
            and (query.up_to_row is None or job.row <= query.up_to_row)
            and (query.name is None or fnmatchcase(job.properties.display_name, query.name))
            and (query.changed_since is None or job.changed_seq > query.changed_since)
        ]
        return found[:limit]

    def jobs(self, rows: Sequence[int]) -> Sequence[Job]:
        by_row = {job.row: job for job in self.every_job()}
        return [by_row[row] for row in rows if row in by_row]

    def every_job(self) -> Iterator[Job]:
        return iter(sorted((job for job, _ in self._jobs.values()), key=lambda job: job.row))

    def removed_since(self, seq: int, owner_uid: int | None) -> Sequence[str]:
        final = {
            job.id
            for job in self.every_job()
            if job.state.is_final and job.changed_seq > seq and owner_uid in {None, job.owner.uid}
        }
        query = EventQuery(seq, limit=len(self._events), owner_uid=owner_uid, types=("JOB_REMOVED",))
        return sorted(final | {event.job_id for event in self.events(query)})

    def queued(self, level: int, limit: int | None) -> Sequence[Place]:
        line = [
            job
            for job in self._live()
            if job.state is State.QUEUED and job.intent is None and job.properties.priority.level == level
        ]
        line.sort(key=lambda job: (job.timers.turn, job.row))
        return [Place(job.id, job.timers.turn) for job in line[:limit]]

    def jobs_in(self, states: Sequence[State]) -> Sequence[Job]:
        return [job for state in states for job in self.every_job() if job.state is state]

    def jobs_with_intent(self) -> Sequence[Job]:
        return [job for job in self.every_job() if job.intent is not None]

    def due_jobs(self, now: float, limit: int) -> Sequence[Job]:
        due = [
            (wake_at, job.row, job) for job, wake_at in self._jobs.values() if wake_at is not None and wake_at <= now
        ]
        return [job for _, _, job in sorted(due, key=lambda item: item[:2])[:limit]]

    def next_wake(self) -> float | None:
        return min((wake_at for _, wake_at in self._jobs.values() if wake_at is not None), default=None)

    def files(self, job_id: str) -> Sequence[File]:
        return tuple(self._files.get(job_id, ()))

    def file(self, job_id: str, index: int) -> File:
        files = self.files(job_id)
        if not 0 <= index < len(files):
            raise FileNotInJobError(f"job {job_id} has no file {index}")
        return files[index]

    def put_file(self, job_id: str, file: File) -> None:
        files = list(self._files[job_id])
        files[file.index : file.index + 1] = [file]
        self._set(self._files, job_id, files)

    def next_files(self, job_id: str, from_index: int, limit: int) -> Sequence[File]:
        return [file for file in self.files(job_id)[from_index:] if not file.transferred][:limit]

    def secrets(self, job_id: str) -> JobSecrets:
        return self._secrets.get(job_id, JobSecrets())

    def put_secrets(self, job_id: str, secrets: JobSecrets) -> None:
        self._set(self._secrets, job_id, secrets)

    def jobs_with_lost_secrets(self) -> Sequence[str]:
        return ()

    def has_own_seal(self) -> bool:
        return True

    def note_own_seal(self) -> None:
        return None

    def put_leftover(self, leftover: Leftover) -> None:
        self._set(self._leftovers, leftover.path, leftover)

    def leftovers(self) -> Sequence[Leftover]:
        return tuple(self._leftovers.values())

    def drop_leftover(self, path: str) -> None:
        self._drop(self._leftovers, path)

    def append_event(self, event: Event) -> int:
        seq = self._count("seq")
        self._events.append(replace(event, seq=seq, data=dict(event.data)))
        self._undo.append(self._events.pop)
        return seq

    def events(self, query: EventQuery) -> Sequence[Event]:
        found = [
            event
            for event in self._events
            if event.seq > query.after
            and (query.owner_uid is None or event.owner_uid in {query.owner_uid, EVERYBODY})
            and query.job_id in {None, event.job_id}
            and (query.types is None or event.type in query.types)
        ]
        return found[: query.limit]

    def last_seq(self) -> int:
        return int(self._meta.get("next_seq", 0))

    def events_floor(self) -> int:
        return int(self._meta.get("events_floor", 0))

    def prune_events(self, before: float) -> None:
        floor = max((event.seq for event in self._events if event.at < before), default=None)
        if floor is not None:
            kept = [event for event in self._events if event.seq > floor]
            old, self._events = self._events, kept
            self._undo.append(lambda: setattr(self, "_events", old))
            self.set_meta("events_floor", str(floor))

    def idempotent_job(self, request: IdempotentRequest) -> tuple[str, str] | None:
        return self._requests.get((request.uid, request.key))

    def remember_request(self, request: IdempotentRequest, job_id: str) -> None:
        self._set(self._requests, (request.uid, request.key), (request.fingerprint, job_id))

    def meta(self, key: str) -> str | None:
        return self._meta.get(key)

    def set_meta(self, key: str, value: str) -> None:
        self._set(self._meta, key, value)

    def _live(self) -> Iterator[Job]:
        return (job for job in self.every_job() if not job.state.is_final)

    def _count(self, name: str) -> int:
        number = int(self._meta.get(f"next_{name}", 0)) + 1
        self.set_meta(f"next_{name}", str(number))
        return number

    def _set(self, table: dict[Any, Any], key: object, value: object) -> None:
        if key in table:
            old = table[key]
            self._undo.append(lambda: table.__setitem__(key, old))
        else:
            self._undo.append(lambda: table.pop(key))
        table[key] = value

    def _drop(self, table: dict[Any, Any], key: object) -> None:
        if key in table:
            old = table.pop(key)
            self._undo.append(lambda: table.__setitem__(key, old))
