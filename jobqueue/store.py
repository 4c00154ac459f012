"""The durable store: SQLite in WAL mode on one dedicated thread.

Owns the rule that a change is reported only after it is committed and synced. Changes that arrive while a commit is
under way share the next one. How the file is opened is in database.py and recovery.py, what is in it in sql.py.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from jobqueue.errors import JobQueueError, StoreDamagedError, StoreFailedError, StoreFullError
from jobqueue.mark import Reading, look_of
from jobqueue.records import Records
from jobqueue.recovery import Opened, flaw_of, open_database
from jobqueue.secrets import Seal
from jobqueue.sql import SqlTransaction
from jobqueue.transaction import Transaction

T = TypeVar("T")
FULL = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE})
DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_Task = tuple[Callable[[Transaction], Any], bool]
"""What to run, and whether it writes."""


class Store(Protocol):
    """Runs whole transactions. What `work` raises is raised to the caller, and nothing of that work stays.

    A work may be run more than once, before what counts: it changes nothing but the transaction.
    """

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """Run and commit; returns once the change is on the disk. Raises StoreFullError, StoreFailedError."""
        ...

    async def read(self, work: Callable[[Transaction], T]) -> T:
        """Run without changing anything. Raises StoreFailedError."""
        ...

    async def flaw(self) -> str | None:
        """What is wrong with what is stored, None = nothing; reads all of it, and holds nobody up."""
        ...

    async def close(self) -> None:
        """Finish what was asked for and let go of the file."""
        ...


class SqliteStore:
    """The Store in a file; open it with `open_store`."""

    def __init__(self, thread: ThreadPoolExecutor, path: str, opened: Opened, records: Records) -> None:
        self._thread = thread
        self._path = path
        self._connection = opened.connection
        self._mark = opened.mark
        self._reading = opened.reading
        self._is_damaged = False
        self._records = records
        self._waiting: list[tuple[_Task, asyncio.Future[Any]]] = []
        self._is_busy = False
        self._idle = asyncio.Event()
        self._idle.set()

    async def write(self, work: Callable[[Transaction], T]) -> T:
        return await self._enqueue(work, is_write=True)

    async def read(self, work: Callable[[Transaction], T]) -> T:
        return await self._enqueue(work, is_write=False)

    async def flaw(self) -> str | None:
        return await asyncio.to_thread(flaw_of, self._path)

    async def close(self) -> None:
        await self._idle.wait()
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
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
            while not future.done():
                with suppress(asyncio.CancelledError):  # one more of them changes nothing
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
        failure = done.exception()  # a bug, or no memory: whoever waits must hear of it
        results = [(None, failure)] * len(group) if failure is not None else done.result()
        for (_, future), (result, error) in zip(group, results, strict=True):
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
        """On the store's thread: all works of a group; one that the disk cannot take fails alone."""
        try:
            return self._commit(group)
        except sqlite3.Error as error:
            self._roll_back()
            self._is_damaged = self._is_damaged or isinstance(_translated(error), StoreDamagedError)
            if len(group) > 1:
                return [self._run([task])[0] for task in group]
            if isinstance(_translated(error), StoreFullError):
                with suppress(sqlite3.Error):
                    # what is in the log is in the database then, and no longer twice on the disk
                    self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                    return self._commit(group)
                self._roll_back()
            return [(None, _translated(error))]

    def _commit(self, group: list[_Task]) -> list[tuple[Any, Exception | None]]:
        """All works in one commit, of which nothing is left of those that raise."""
        transaction = SqlTransaction(self._connection, self._records)
        writes = [is_write for _, is_write in group]
        if not any(writes):
            return [self._outcome(work, transaction) for work, _ in group]
        self._connection.execute("BEGIN IMMEDIATE")
        results = [self._outcome(work, transaction) for work, _ in group]
        if any(is_write and error is not None for is_write, (_, error) in zip(writes, results, strict=True)):
            self._connection.execute("ROLLBACK")
            if len(group) == 1:
                return results
            # this is the exception: a savepoint for each would double what a small work costs
            self._connection.execute("BEGIN IMMEDIATE")
            transaction = SqlTransaction(self._connection, self._records)
            results = [self._outcome(work, transaction, in_savepoint=is_write) for work, is_write in group]
        reading = Reading(self._reading.commits + 1, transaction.last_seq())
        transaction.set_meta("commits", str(reading.commits))
        transaction.flush()
        self._connection.execute("COMMIT")
        self._reading = reading
        self._mark.write(reading)
        return results

    def _roll_back(self) -> None:
        with suppress(sqlite3.Error):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def _close(self) -> None:
        """On the store's thread; what is sound, and untouched until the next start, need not be read through then."""
        self._connection.close()
        self._mark.write(replace(self._reading, look="" if self._is_damaged else look_of(self._path)))
        self._mark.close()

    @staticmethod
    def _outcome(
        work: Callable[[Transaction], Any], transaction: Transaction, *, in_savepoint: bool = False
    ) -> tuple[Any, Exception | None]:
        try:
            return (transaction.attempt(lambda: work(transaction)) if in_savepoint else work(transaction)), None
        except sqlite3.Error:
            raise
        except Exception as error:  # noqa: BLE001 - it belongs to the caller that sent the work, not to this thread
            return None, error


async def open_store(path: str, seal: Seal) -> SqliteStore:
    """Open or create the database at `path` (mode 0600) and bring it to the newest schema; `seal` hides its secrets.

    A damaged one is mended (recovery.py). Raises StoreFailedError when it cannot be opened, belongs to others, or was
    written by a newer bitsd.
    """
    thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
    records = Records(seal)
    try:
        opened = await asyncio.get_running_loop().run_in_executor(thread, open_database, path, records)
    except (sqlite3.Error, OSError) as error:
        thread.shutdown(wait=False)
        raise StoreFailedError(f"cannot open the queue's database {path}: {error}") from error
    except StoreFailedError:
        thread.shutdown(wait=False)
        raise
    return SqliteStore(thread, path, opened, records)


def _translated(error: sqlite3.Error) -> JobQueueError:
    code = getattr(error, "sqlite_errorcode", None)
    if code in FULL:
        return StoreFullError("cannot record the change: no space left for the queue's database")
    if code is not None and code & 0xFF in DAMAGE:
        return StoreDamagedError(f"cannot use the queue's database: {error}; it is mended by a new start")
    return StoreFailedError(f"cannot use the queue's database: {error}")
