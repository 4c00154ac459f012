"""The database file of the queue: who may have touched it, how it is opened, how it comes to the newest schema.

Blocking. Raises StoreFailedError with a sentence that says what to do, and sqlite3.Error for the rest.
"""

import os
import sqlite3
import stat
from contextlib import closing
from fnmatch import fnmatchcase
from importlib import resources

from jobqueue.errors import StoreFailedError
from jobqueue.records import Records
from jobqueue.sums import row_sum

SCRIPTS = {
    int(script.name[:4]): script.read_text()
    for script in sorted(resources.files("jobqueue").joinpath("migrations").iterdir(), key=lambda file: file.name)
    if script.name.endswith(".sql")
}
NEWEST = max(SCRIPTS)
FIRST_WITH_SUMS = 3
"""The schema that gave every row its checksum; the summed columns are the same since (sums.py)."""
OTHERS = stat.S_IWGRP | stat.S_IWOTH


def check_access(path: str) -> None:
    """Raise StoreFailedError when somebody else could have written to the file, or it is no file."""
    try:
        facts = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISREG(facts.st_mode):
        raise StoreFailedError(f"cannot use the queue's database {path}: it is not a regular file; move it away")
    if facts.st_uid != os.geteuid() or facts.st_mode & OTHERS:
        raise StoreFailedError(
            f"cannot use the queue's database {path}: others may have written to it (owner {facts.st_uid}, mode"
            f" {stat.S_IMODE(facts.st_mode):o}); if you trust it, give it to uid {os.geteuid()} with mode 600"
        )


def connect(path: str, records: Records) -> sqlite3.Connection:
    """Open or make the file (mode 0600)."""
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA cache_size = -2048")
        connection.execute("PRAGMA temp_store = MEMORY")
        # patterns mean what they mean to a shell and to the twin in memory: [!x], an open bracket
        connection.create_function("glob", 2, lambda pattern, name: fnmatchcase(name, pattern), deterministic=True)
        connection.create_function("row_sum", -1, row_sum, deterministic=True)
        # for migrations: the same record, with what must be sealed in it sealed
        connection.create_function("sealed_job", 1, lambda text: records.job_to_text(records.job_from_text(text, 0)))
        connection.create_function("sealed_file", 1, lambda text: records.file_to_text(records.file_from_text(text)))
    except Exception:
        connection.close()
        raise
    return connection


def schema_of(connection: sqlite3.Connection) -> int:
    """The number of the last migration the file has seen."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def check_not_newer(connection: sqlite3.Connection, path: str) -> None:
    """Raise StoreFailedError when a later version of bitsd wrote it."""
    version = schema_of(connection)
    if version > NEWEST:
        raise StoreFailedError(
            f"cannot use the queue's database {path}: it was written by a newer bitsd"
            f" (schema {version}, this one knows {NEWEST}); start that version, or another --state-dir"
        )


def migrate(connection: sqlite3.Connection, path: str) -> None:
    """Apply the numbered scripts that the file has not seen: all of them or, when one fails, none.

    What was there before is kept as PATH.schema-N.
    """
    version = schema_of(connection)
    missing = [script for number, script in SCRIPTS.items() if number > version]
    if not missing:
        return
    if version:
        _back_up(connection, f"{path}.schema-{version}")
    try:
        connection.executescript("\n".join(["BEGIN;", *missing, f"PRAGMA user_version = {NEWEST};", "COMMIT;"]))
    except sqlite3.Error as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise StoreFailedError(
            f"cannot bring the queue's database {path} from schema {version} to {NEWEST}: {error}; it is as it was,"
            " and the version of bitsd that wrote it can go on with it"
        ) from error


def sync_directory(path: str) -> None:
    """Bring the names in the directory of the file to the disk."""
    number = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _back_up(connection: sqlite3.Connection, path: str) -> None:
    """A whole, synced copy at `path`, or none."""
    draft = f"{path}.new"
    number = os.open(draft, os.O_CREAT | os.O_TRUNC | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        with closing(sqlite3.connect(draft)) as copy:
            connection.backup(copy)
        os.fsync(number)
    finally:
        os.close(number)
    os.rename(draft, path)
    sync_directory(path)
