"""Opening the database whatever has become of it: sound, damaged, half replaced, or older than it should be. Blocking.

What is damaged is kept aside with a date, and replaced by what can be read of it. No step can be cut so that the next
start would find less: the new file is whole and synced before it takes the place of the old one. What was lost is noted
in the new one, in its meta rows, for lost.py to tell of.
"""

import json
import logging
import os
import shutil
import sqlite3
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from urllib.parse import quote

from jobqueue import database
from jobqueue.errors import StoreFailedError
from jobqueue.mark import Mark, Reading, look_of
from jobqueue.records import Records
from jobqueue.salvage import salvage
from jobqueue.sums import COLUMNS, insert, row_sum, with_sum

log = logging.getLogger(__name__)

NOT_DAMAGE = frozenset(
    {
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
    }
)
"""Errors that say nothing about what is in the file (primary result codes)."""
HEADER = 100
"""Bytes of a database file's header; where it has the number of pages (SQLite, Database File Format §1.3)."""
PAGES = slice(28, 32)
DAMAGED, OLDER = "damaged", "older"


@dataclass(slots=True)
class Opened:
    """An open database of the newest schema, its mark, and what that says now."""

    connection: sqlite3.Connection
    mark: Mark
    reading: Reading


def open_database(path: str, records: Records) -> Opened:
    """Raises StoreFailedError, OSError, sqlite3.Error when it cannot be used and nothing was done about it."""
    database.check_access(path)
    _take_over(path)
    _remove(f"{path}.work", f"{path}.new")  # of a rebuild that was cut
    mark = Mark(f"{path}.mark")
    reading = mark.read()
    connection = _sound(path, records, reading.look)
    if connection is None:
        _replace(path, records, reading)
        connection = database.connect(path, records)
    try:
        database.migrate(connection, path)
        if reading.commits > _meta(connection, "commits"):
            _note(connection, reading, OLDER)
        now = Reading(_meta(connection, "commits"), _last_seq(connection))
    except Exception:
        connection.close()
        raise
    return Opened(connection, mark, now)


def is_damage(error: sqlite3.Error) -> bool:
    """What is in the file cannot be read; another try will not help."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    return isinstance(error, sqlite3.DatabaseError) and code & 0xFF not in NOT_DAMAGE


def flaw_of(path: str) -> str | None:
    """What is wrong with a database, None = nothing. Reads every page and every row, side by side: that halves the
    time. It may be in use.
    """
    try:
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="check") as beside:
            try:
                pages = beside.submit(_flaw_of_pages, path)
            except RuntimeError:  # there is no thread to be had
                return _flaw_of_pages(path) or _flaw_of_rows(path)
            rows = _flaw_of_rows(path)
            return pages.result() or rows
    except sqlite3.Error as error:
        if not is_damage(error):
            raise
        return str(error)


def _flaw_of_pages(path: str) -> str | None:
    with closing(_reading(path)) as connection:
        (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
        return None if verdict == "ok" else str(verdict).splitlines()[-1]


def _flaw_of_rows(path: str) -> str | None:
    with closing(_reading(path)) as connection:
        connection.create_function("row_sum", -1, row_sum, deterministic=True)
        if database.schema_of(connection) >= database.FIRST_WITH_SUMS:
            for table, columns in COLUMNS.items():
                changed = f"SELECT 1 FROM {table} WHERE sum IS NOT row_sum({', '.join(columns)}) LIMIT 1"  # noqa: S608
                if connection.execute(changed).fetchone() is not None:
                    return f"a row of {table} was changed"
    return None


def _reading(path: str) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True)


def _sound(path: str, records: Records, known_look: str) -> sqlite3.Connection | None:
    """The open database, None if it is damaged."""
    is_known = bool(known_look) and os.path.exists(path) and look_of(path) == known_look
    connection = None
    try:
        connection = database.connect(path, records)
        database.check_not_newer(connection, path)
        found = None if is_known else flaw_of(path)
    except Exception as error:
        if connection is not None:
            connection.close()
        if not isinstance(error, sqlite3.Error) or not is_damage(error):
            raise
        found = str(error)
    if found is None:
        return connection
    log.error("the queue's database %s is damaged: %s", path, found)
    if connection is not None:
        connection.close()
    return None


def _replace(path: str, records: Records, reading: Reading) -> None:
    """Build a database of what can be read, keep the damaged one aside, and take the new one over."""
    kept = f"{path}.damaged-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    work, fresh = f"{path}.work", f"{path}.new"
    for end in ("", "-wal"):
        if os.path.exists(path + end):
            os.close(os.open(work + end, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            shutil.copyfile(path + end, work + end)
    with closing(database.connect(fresh, records)) as target:
        database.migrate(target, fresh)
        target.execute("BEGIN")
        lost, has_gap = _salvaged(work, fresh, target)
        target.execute("COMMIT")
        _note(target, reading, DAMAGED, kept=kept, jobs=lost, has_gap=has_gap)
        (mode,) = target.execute("PRAGMA journal_mode = DELETE").fetchone()
        if mode != "delete":
            raise StoreFailedError(f"cannot rebuild the queue's database {path}: its log could not be put into it")
    for end in ("", "-wal"):
        if os.path.exists(path + end):
            os.link(path + end, kept + end)
    os.rename(fresh, f"{path}.ready")
    database.sync_directory(path)
    _take_over(path)
    _remove(work)


def _take_over(path: str) -> None:
    """Put the rebuilt database in the place of the damaged one, also after a start that was cut here."""
    if os.path.exists(f"{path}.ready"):
        for end in ("-wal", "-shm"):
            with suppress(FileNotFoundError):
                os.unlink(path + end)
        database.sync_directory(path)  # the old log must be gone before there is something it could be read into
        os.rename(f"{path}.ready", path)
        database.sync_directory(path)


def _salvaged(work: str, fresh: str, target: sqlite3.Connection) -> tuple[Sequence[str], bool]:
    for is_given_header in (False, True):
        if is_given_header:
            _give_header(work, fresh)
        try:
            with closing(sqlite3.connect(work)) as damaged:
                damaged.execute("SELECT count(*) FROM sqlite_master").fetchone()
                return salvage(damaged, target)
        except sqlite3.DatabaseError:
            continue
    return (), True


def _give_header(path: str, source: str) -> None:
    """The header of a new database in place of one that is destroyed: all of ours have the same."""
    with open(source, "rb") as whole, open(path, "r+b") as file:
        header = bytearray(whole.read(HEADER))
        size = int.from_bytes(header[16:18], "big")
        header[PAGES] = (os.path.getsize(path) // size).to_bytes(4, "big")
        file.write(header)


def _note(
    connection: sqlite3.Connection,
    reading: Reading,
    reason: str,
    *,
    kept: str | None = None,
    jobs: Sequence[str] = (),
    has_gap: bool = False,
) -> None:
    """Put on record what was lost. Numbers of events that clients may have seen are not given out again."""
    known = _last_seq(connection)
    last = max(known, reading.seq)
    loss = json.dumps({"reason": reason, "kept": kept, "jobs": list(jobs)})
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("DELETE FROM sqlite_sequence WHERE name = 'events'")
    connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('events', ?)", (last,))
    rows = {"loss": loss, "commits": str(max(_meta(connection, "commits"), reading.commits))}
    if has_gap or last > known:
        connection.execute("DELETE FROM events")
        rows["events_floor"] = str(last)
    for key, value in rows.items():
        connection.execute(insert("meta", "INSERT OR REPLACE"), with_sum(key, value))
    connection.execute("COMMIT")


def _last_seq(connection: sqlite3.Connection) -> int:
    (seq,) = connection.execute(
        "SELECT max(seq) FROM (SELECT max(seq) AS seq FROM events"
        " UNION ALL SELECT seq FROM sqlite_sequence WHERE name = 'events' UNION ALL SELECT 0)"
    ).fetchone()
    return int(seq)


def _meta(connection: sqlite3.Connection, key: str) -> int:
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return 0 if row is None else int(row[0])


def _remove(*paths: str) -> None:
    for path in paths:
        for end in ("", "-wal", "-shm", "-journal"):
            with suppress(FileNotFoundError):
                os.unlink(path + end)
