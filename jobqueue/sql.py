"""One transaction on the queue's database: jobqueue.transaction in SQL. Runs on the store's thread."""

import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any, TypeVar

from jobqueue import sums
from jobqueue.errors import FileNotInJobError, NotFoundError
from jobqueue.job import EVERYBODY, Event, File, Job, Owner, State
from jobqueue.records import Records
from jobqueue.secrets import JobSecrets
from jobqueue.sums import COLUMNS
from jobqueue.transaction import EventQuery, IdempotentRequest, JobQuery, Leftover, Place

T = TypeVar("T")
_JOB = "SELECT record, row FROM jobs "
_UPDATE_JOB = f"UPDATE jobs SET {', '.join(f'{name} = ?' for name in (*COLUMNS['jobs'], 'sum'))} WHERE id = ?"
_SET_WAKE = (
    "UPDATE jobs SET wake_at = ?1,"
    f" sum = row_sum({', '.join('?1' if name == 'wake_at' else name for name in COLUMNS['jobs'])}) WHERE id = ?2"
)


class SqlTransaction:
    """A Transaction on an open connection; the store begins and commits it."""

    def __init__(self, connection: sqlite3.Connection, records: Records) -> None:
        self._db = connection
        self._records = records
        self._meta: dict[str, str] = {}
        """Set and not written yet: every change of a group sets the same few, and the last one counts."""

    def flush(self) -> None:
        """Write what is still to be written; the store does before it commits."""
        for row in self._meta.items():
            self._db.execute(sums.insert("meta", "INSERT OR REPLACE"), sums.with_sum(*row))
        self._meta.clear()

    def attempt(self, work: Callable[[], T]) -> T:
        self._db.execute("SAVEPOINT attempt")
        meta = dict(self._meta)
        try:
            result = work()
        except sqlite3.Error:
            raise  # the store gives up the whole transaction then
        except Exception:
            self._meta = meta
            self._db.execute("ROLLBACK TO attempt")
            self._db.execute("RELEASE attempt")
            raise
        self._db.execute("RELEASE attempt")
        return result

    def job(self, job_id: str) -> Job:
        jobs = self._jobs(_JOB + "WHERE id = ?", job_id)
        if not jobs:
            raise NotFoundError(f"there is no job {job_id}")
        return jobs[0]

    def insert_job(self, job: Job, wake_at: float | None) -> Job:
        cursor = self._db.execute(sums.insert("jobs"), self._columns(job, wake_at))
        return replace(job, row=int(cursor.lastrowid or 0))

    def put_job(self, job: Job, wake_at: float | None) -> None:
        self._db.execute(_UPDATE_JOB, (*self._columns(job, wake_at), job.id))

    def set_wake(self, job_id: str, wake_at: float | None) -> None:
        self._db.execute(_SET_WAKE, (wake_at, job_id))

    def delete_job(self, job_id: str) -> None:
        self._db.execute("DELETE FROM jobs WHERE id = ?", (job_id,))

    def count_jobs(self, owner_uid: int | None = None) -> int:
        where, values = ("", ()) if owner_uid is None else (" AND owner_uid = ?", (owner_uid,))
        return int(self._number(f"SELECT count(*) FROM jobs WHERE is_final = 0{where}", *values))

    def count_in(self, states: Sequence[State]) -> int:
        marks = ", ".join("?" * len(states))
        return int(self._number(f"SELECT count(*) FROM jobs WHERE state IN ({marks})", *states))

    def is_any_in(self, states: Sequence[State]) -> bool:
        marks = ", ".join("?" * len(states))
        return bool(self._number(f"SELECT EXISTS (SELECT 1 FROM jobs WHERE state IN ({marks}))", *states))

    def last_row(self) -> int:
        return int(self._number("SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'jobs'), 0)"))

    def job_rows(self, query: JobQuery, limit: int | None = None) -> Sequence[int]:
        where, values = ["is_final = 0", "row > ?"], [query.after_row]  # type: tuple[list[str], list[object]]
        if query.states is not None:
            where.append(f"state IN ({', '.join('?' * len(query.states))})")
            values += query.states
        for condition, value in (
            ("owner_uid = ?", query.owner_uid),
            ("row <= ?", query.up_to_row),
            ("display_name GLOB ?", query.name),
            ("changed_seq > ?", query.changed_since),
        ):
            if value is not None:
                where.append(condition)
                values.append(value)
        values.append(-1 if limit is None else limit)
        index = "" if query.changed_since is None else "INDEXED BY jobs_by_change"
        rows = self._db.execute(
            f"SELECT row FROM jobs {index} WHERE {' AND '.join(where)} ORDER BY row LIMIT ?",
            values,
        )
        return [row for (row,) in rows]

    def jobs(self, rows: Sequence[int]) -> Sequence[Job]:
        found: list[Job] = []
        for row in rows:
            found += self._jobs(_JOB + "WHERE row = ?", row)
        return found

    def every_job(self) -> Iterator[Job]:
        last = 0
        while batch := self._jobs(_JOB + "WHERE row > ? ORDER BY row LIMIT 500", last):
            yield from batch
            last = batch[-1].row

    def removed_since(self, seq: int, owner_uid: int | None) -> Sequence[str]:
        gone = self._db.execute(
            "SELECT id FROM jobs WHERE is_final = 1 AND changed_seq > ?1 AND (?2 IS NULL OR owner_uid = ?2)"
            " UNION SELECT job_id FROM events WHERE seq > ?1 AND type = 'JOB_REMOVED'"
            " AND (?2 IS NULL OR owner_uid = ?2)",
            (seq, owner_uid),
        )
        return [job_id for (job_id,) in gone]

    def queued(self, level: int, limit: int | None) -> Sequence[Place]:
        places = self._db.execute(
            "SELECT id, turn FROM jobs WHERE state = 'QUEUED' AND level = ? AND intent IS NULL"
            " ORDER BY turn, row LIMIT ?",
            (level, -1 if limit is None else limit),
        )
        return [Place(*place) for place in places]

    def jobs_in(self, states: Sequence[State]) -> Sequence[Job]:
        return [job for state in states for job in self._jobs(_JOB + "WHERE state = ? ORDER BY row", state)]

    def jobs_with_intent(self) -> Sequence[Job]:
        return self._jobs(_JOB + "INDEXED BY jobs_by_intent WHERE intent IS NOT NULL ORDER BY row")

    def due_jobs(self, now: float, limit: int) -> Sequence[Job]:
        return self._jobs(_JOB + "WHERE wake_at <= ? ORDER BY wake_at LIMIT ?", now, limit)

    def next_wake(self) -> float | None:
        found = self._number("SELECT min(wake_at) FROM jobs WHERE wake_at IS NOT NULL")
        return None if found is None else float(found)

    def files(self, job_id: str) -> Sequence[File]:
        return self._files("SELECT record FROM files WHERE job_id = ? ORDER BY idx", job_id)

    def file(self, job_id: str, index: int) -> File:
        files = self._files("SELECT record FROM files WHERE job_id = ? AND idx = ?", job_id, index)
        if not files:
            raise FileNotInJobError(f"job {job_id} has no file {index}")
        return files[0]

    def put_file(self, job_id: str, file: File) -> None:
        row = (job_id, file.index, int(file.transferred), self._records.file_to_text(file))
        self._db.execute(sums.insert("files", "INSERT OR REPLACE"), sums.with_sum(*row))

    def next_files(self, job_id: str, from_index: int, limit: int) -> Sequence[File]:
        return self._files(
            "SELECT record FROM files WHERE job_id = ? AND idx >= ? AND transferred = 0 ORDER BY idx LIMIT ?",
            job_id,
            from_index,
            limit,
        )

    def secrets(self, job_id: str) -> JobSecrets:
        row = self._db.execute("SELECT record FROM secrets WHERE job_id = ?", (job_id,)).fetchone()
        return JobSecrets() if row is None else self._records.secrets_from_text(row[0])

    def put_secrets(self, job_id: str, secrets: JobSecrets) -> None:
        if secrets:
            row = (job_id, self._records.secrets_to_text(secrets))
            self._db.execute(sums.insert("secrets", "INSERT OR REPLACE"), sums.with_sum(*row))
        else:
            self._db.execute("DELETE FROM secrets WHERE job_id = ?", (job_id,))

    def jobs_with_lost_secrets(self) -> Sequence[str]:
        # a whole record is sealed with one key; these words cannot come from a text in it, where quotes are escaped
        mark = self._records.seal.mark
        lost = 'instr(record, \'"sealed":"\') > 0 AND instr(record, ?1) = 0'
        rows = self._db.execute(
            f"SELECT id FROM jobs WHERE {lost} UNION SELECT job_id FROM files WHERE {lost}"
            " UNION SELECT job_id FROM secrets WHERE instr(record, ?2) != 1",
            (f'"sealed":"{mark}', mark),
        )
        return [job_id for (job_id,) in rows]

    def has_own_seal(self) -> bool:
        return self.meta("seal") == self._records.seal.mark

    def note_own_seal(self) -> None:
        self.set_meta("seal", self._records.seal.mark)

    def put_leftover(self, leftover: Leftover) -> None:
        row = (json.dumps(leftover.path), json.dumps(asdict(leftover)))
        self._db.execute(sums.insert("leftovers", "INSERT OR REPLACE"), sums.with_sum(*row))

    def leftovers(self) -> Sequence[Leftover]:
        return [_leftover(text) for (text,) in self._db.execute("SELECT record FROM leftovers ORDER BY path")]

    def drop_leftover(self, path: str) -> None:
        self._db.execute("DELETE FROM leftovers WHERE path = ?", (json.dumps(path),))

    def append_event(self, event: Event) -> int:
        row = (event.type, event.job_id, event.owner_uid, event.time, event.at, json.dumps(dict(event.data)))
        cursor = self._db.execute(sums.insert("events"), sums.with_sum(*row))
        return int(cursor.lastrowid or 0)

    def events(self, query: EventQuery) -> Sequence[Event]:
        where, values = ["seq > ?"], [query.after]  # type: tuple[list[str], list[object]]
        if query.types is not None:
            where.append(f"type IN ({', '.join('?' * len(query.types))})")
            values += query.types
        is_his = f"owner_uid IN (?, {EVERYBODY})"
        for condition, value in ((is_his, query.owner_uid), ("job_id = ?", query.job_id)):
            if value is not None:
                where.append(condition)
                values.append(value)
        rows = self._db.execute(
            "SELECT type, job_id, owner_uid, time, at, data, seq FROM events"
            f" WHERE {' AND '.join(where)} ORDER BY seq LIMIT ?",
            (*values, query.limit),
        )
        return [Event(kind, job, uid, time, at, json.loads(data), seq) for kind, job, uid, time, at, data, seq in rows]

    def last_seq(self) -> int:
        return int(self._number("SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0)"))

    def events_floor(self) -> int:
        return int(self.meta("events_floor") or 0)

    def prune_events(self, before: float) -> None:
        floor = self._number("SELECT max(seq) FROM events WHERE at < ?", before)
        if floor is not None:
            self._db.execute("DELETE FROM events WHERE seq <= ?", (floor,))
            self.set_meta("events_floor", str(floor))

    def idempotent_job(self, request: IdempotentRequest) -> tuple[str, str] | None:
        row = self._db.execute(
            "SELECT fingerprint, job_id FROM requests WHERE uid = ? AND key = ?", (request.uid, request.key)
        ).fetchone()
        if row is None:
            return None
        return self._records.seal.unseal(row[0]) or row[0], row[1]  # as it is: from before there were seals

    def remember_request(self, request: IdempotentRequest, job_id: str) -> None:
        row = (request.uid, request.key, self._records.seal.seal(request.fingerprint), job_id)
        self._db.execute(sums.insert("requests"), sums.with_sum(*row))

    def meta(self, key: str) -> str | None:
        if key in self._meta:
            return self._meta[key]
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def set_meta(self, key: str, value: str) -> None:
        self._meta[key] = value

    def _number(self, statement: str, *values: object) -> Any:  # noqa: ANN401 - what SQLite gives
        return self._db.execute(statement, values).fetchone()[0]

    def _jobs(self, statement: str, *values: object) -> list[Job]:
        return [self._records.job_from_text(text, row) for text, row in self._db.execute(statement, values)]

    def _files(self, statement: str, *values: object) -> list[File]:
        return [self._records.file_from_text(text) for (text,) in self._db.execute(statement, values)]

    def _columns(self, job: Job, wake_at: float | None) -> tuple[object, ...]:
        return sums.with_sum(
            job.id,
            job.owner.uid,
            job.properties.display_name,
            job.state,
            int(job.state.is_final),
            job.properties.priority.level,
            job.timers.turn,
            job.intent,
            wake_at,
            job.changed_seq,
            self._records.job_to_text(job),
        )


def _leftover(text: str) -> Leftover:
    data = json.loads(text)
    return Leftover(**data | {"owner": None if data["owner"] is None else Owner(**data["owner"])})
