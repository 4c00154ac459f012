"""The durable store: SQLite in WAL mode on one dedicated thread. With sql.py the only place that knows SQLite.

Owns the file, its migrations and the rule that a change is reported only after it is committed and synced. Changes
that arrive while a commit is under way share the next one.
"""

import asyncio
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from importlib import resources
from typing import Any, Protocol, TypeVar

from jobqueue.errors import StoreFailedError, StoreFullError
from jobqueue.records import Records
from jobqueue.secrets import Seal
from jobqueue.sql import SqlTransaction
from jobqueue.transaction import Transaction

T = TypeVar("T")
_Task = tuple[Callable[[Transaction], Any], bool]
"""What to run, and whether it writes."""


class Store(Protocol):
    """Runs whole transactions. What `work` raises is raised to the caller, and nothing of that work stays."""

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """Run and commit; returns once the change is on the disk. Raises StoreFullError, StoreFailedError."""
        ...

    async def read(self, work: Callable[[Transaction], T]) -> T:
        """Run without changing anything. Raises StoreFailedError."""
        ...

    async def close(self) -> None:
        """Finish what was asked for and let go of the file."""
        ...


class SqliteStore:
    """The Store in a file; open it with `open_store`."""

    def __init__(self, thread: ThreadPoolExecutor, connection: sqlite3.Connection, records: Records) -> None:
        self._thread = thread
        self._connection = connection
        self._records = records
        self._waiting: list[tuple[_Task, asyncio.Future[Any]]] = []
        self._is_busy = False
        self._idle = asyncio.Event()
        self._idle.set()

    async def write(self, work: Callable[[Transaction], T]) -> T:
        return await self._enqueue(work, is_write=True)

    async def read(self, work: Callable[[Transaction], T]) -> T:
        return await self._enqueue(work, is_write=False)

    async def close(self) -> None:
        await self._idle.wait()
        await asyncio.get_running_loop().run_in_executor(self._thread, self._connection.close)
        self._thread.shutdown(wait=False)

    async def _enqueue(self, work: Callable[[Transaction], T], *, is_write: bool) -> T:
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append(((work, is_write), future))
        if not self._is_busy:
            self._submit()
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            # what was handed over happens: nobody goes on before its outcome is known
            await asyncio.wait({future})
            future.exception()  # looked at: there is nobody left to raise it to
            raise

    def _submit(self) -> None:
        """Hand everything that waits to the thread as one group."""
        group, self._waiting = self._waiting, []
        self._is_busy = True
        self._idle.clear()
        running = asyncio.get_running_loop().run_in_executor(self._thread, self._run, [task for task, _ in group])
        running.add_done_callback(lambda done: self._deliver(group, done))

    def _deliver(
        self, group: list[tuple[_Task, asyncio.Future[Any]]], done: "asyncio.Future[list[tuple[Any, Exception | None]]]"
    ) -> None:
        for (_, future), (result, error) in zip(group, done.result(), strict=True):
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)
        if self._waiting:
            self._submit()
        else:
            self._is_busy = False
            self._idle.set()

    def _run(self, group: list[_Task]) -> list[tuple[Any, Exception | None]]:
        """On the store's thread: all works of a group, each alone in a savepoint, one commit."""
        transaction = SqlTransaction(self._connection, self._records)
        has_writes = any(is_write for _, is_write in group)
        try:
            if has_writes:
                self._connection.execute("BEGIN IMMEDIATE")
            results = [self._run_one(transaction, task) for task in group]
            if has_writes:
                self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            failed = _translated(error)
            return [(None, failed)] * len(group)
        return results

    def _run_one(self, transaction: Transaction, task: _Task) -> tuple[Any, Exception | None]:
        work, is_write = task
        if is_write:
            self._connection.execute("SAVEPOINT one")
        try:
            result, problem = work(transaction), None
        except sqlite3.Error:
            raise
        except Exception as error:  # noqa: BLE001 - it belongs to the caller that sent the work, not to this thread
            result, problem = None, error
        if is_write:
            if problem is not None:
                self._connection.execute("ROLLBACK TO one")
            self._connection.execute("RELEASE one")
        return result, problem


async def open_store(path: str, seal: Seal) -> SqliteStore:
    """Open or create the database at `path` (mode 0600) and bring it to the newest schema; `seal` hides its secrets.

    Raises StoreFailedError when it cannot be opened or was written by a newer bitsd.
    """
    thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
    try:
        connection = await asyncio.get_running_loop().run_in_executor(thread, _connect, path, Records(seal))
    except (sqlite3.Error, OSError) as error:
        thread.shutdown(wait=False)
        raise StoreFailedError(f"cannot open the queue's database {path}: {error}") from error
    except StoreFailedError:
        thread.shutdown(wait=False)
        raise
    return SqliteStore(thread, connection, Records(seal))


def _connect(path: str, records: Records) -> sqlite3.Connection:
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA cache_size = -2048")
        # patterns mean what they mean to a shell and to the twin in memory: [!x], an open bracket
        connection.create_function("glob", 2, lambda pattern, name: fnmatchcase(name, pattern), deterministic=True)
        # for migrations: the same record, with what must be sealed in it sealed
        connection.create_function("sealed_job", 1, lambda text: records.job_to_text(records.job_from_text(text, 0)))
        connection.create_function("sealed_file", 1, lambda text: records.file_to_text(records.file_from_text(text)))
        _migrate(connection, path)
    except Exception:
        connection.close()
        raise
    return connection


def _migrate(connection: sqlite3.Connection, path: str) -> None:
    """Apply the numbered scripts that the file has not seen, each with its number in one transaction."""
    scripts = sorted(
        (int(script.name[:4]), script.read_text())
        for script in resources.files("jobqueue").joinpath("migrations").iterdir()
        if script.name.endswith(".sql")
    )
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    newest = scripts[-1][0]
    if version > newest:
        raise StoreFailedError(
            f"cannot use the queue's database {path}: it was written by a newer bitsd"
            f" (schema {version}, this one knows {newest}); start that version, or another --state-dir"
        )
    for number, script in scripts:
        if number > version:
            connection.executescript(f"BEGIN;\n{script}\nPRAGMA user_version = {number};\nCOMMIT;")


def _translated(error: sqlite3.Error) -> StoreFullError | StoreFailedError:
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
        return StoreFullError("cannot record the change: no space left for the queue's database")
    return StoreFailedError(f"cannot use the queue's database: {error}")
