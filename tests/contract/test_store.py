"""What every Store promises, over SQLite and over its twin in memory."""

import asyncio
import os
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from blockbuster import BlockingError

from daemon.keys import KeySeal
from jobqueue.database import connect
from jobqueue.errors import StoreFailedError
from jobqueue.job import Event, Job, Priority, State, Timers
from jobqueue.records import Records
from jobqueue.store import Store, open_store
from jobqueue.transaction import EventQuery, IdempotentRequest, JobQuery, Transaction
from tests.builders import TIMED_OUT, a_file, a_job
from tests.stores import SqliteKind, StoreKind

ALL = JobQuery()
SEAL = KeySeal(bytes(32))
EVERY_EVENT = EventQuery(after=0, limit=1000)


def named(job_id: str, state: State = State.SUSPENDED, **fields: object) -> Job:
    return replace(a_job(state, **fields), id=job_id)


def inserting(*jobs: Job, wake_at: float | None = None) -> Callable[[Transaction], None]:
    def work(tx: Transaction) -> None:
        for job in jobs:
            tx.insert_job(job, wake_at)

    return work


def ids(tx: Transaction, query: JobQuery = ALL) -> list[str]:
    return [job.id for job in tx.jobs(tx.job_rows(query))]


class OopsError(Exception):
    pass


# whole or not at all


async def test_work_that_raises_leaves_nothing_behind(store: Store) -> None:
    request = IdempotentRequest(1000, "key", "print")

    def prepare(tx: Transaction) -> None:
        tx.insert_job(named("kept"), 5.0)
        tx.put_file("kept", a_file())
        tx.append_event(Event("JOB_CREATED", "kept", 1000, 1.0, at=1.0))
        tx.set_meta("clock", "1.0")

    def fail(tx: Transaction) -> None:
        tx.insert_job(named("lost"), 1.0)
        tx.put_job(named("kept", State.ERROR), None)
        tx.put_file("kept", a_file(offset=5))
        tx.put_file("kept", a_file(1))
        tx.append_event(Event("JOB_STATE", "kept", 1000, 2.0, at=2.0))
        tx.prune_events(1e9)
        tx.remember_request(request, "lost")
        tx.set_meta("clock", "2.0")
        tx.set_meta("new", "x")
        tx.delete_job("kept")
        raise OopsError

    def look(tx: Transaction) -> object:
        events = tx.events(EVERY_EVENT), tx.events_floor(), tx.last_seq()
        rest = tx.idempotent_job(request), tx.meta("clock"), tx.meta("new"), tx.next_wake(), tx.removed_since(0, None)
        return ids(tx), tx.job("kept"), tx.files("kept"), events, rest

    await store.write(prepare)
    before = await store.read(look)
    with pytest.raises(OopsError):
        await store.write(fail)
    assert await store.read(look) == before


async def test_a_change_is_seen_by_the_very_next_read_and_gives_its_result(store: Store) -> None:
    assert await store.write(lambda tx: tx.insert_job(named("a"), None).row) == 1
    assert await store.read(ids) == ["a"]


async def test_many_changes_at_once_all_happen_each_exactly_once(store: Store) -> None:
    async def add(number: int) -> None:
        def work(tx: Transaction) -> None:
            tx.set_meta("count", str(int(tx.meta("count") or 0) + 1))
            tx.insert_job(named(f"j{number}"), None)

        await store.write(work)

    await asyncio.gather(*(add(number) for number in range(200)))
    assert await store.read(lambda tx: tx.meta("count")) == "200"
    assert await store.read(lambda tx: tx.count_jobs()) == 200


async def test_of_a_part_that_raises_nothing_stays_and_the_rest_does(store: Store) -> None:
    def part(tx: Transaction, name: str, *, fails: bool) -> None:
        tx.insert_job(named(name), None)
        tx.set_meta("last", name)
        if fails:
            raise OopsError

    def work(tx: Transaction) -> None:
        tx.attempt(lambda: part(tx, "a", fails=False))
        with pytest.raises(OopsError):
            tx.attempt(lambda: part(tx, "b", fails=True))
        assert tx.meta("last") == "a"
        tx.attempt(lambda: part(tx, "c", fails=False))

    await store.write(work)
    assert await store.read(lambda tx: (ids(tx), tx.meta("last"))) == (["a", "c"], "c")


async def test_a_change_that_fails_among_others_does_not_hurt_them(store: Store) -> None:
    def work(number: int) -> Callable[[Transaction], int]:
        def add(tx: Transaction) -> int:
            tx.insert_job(named(f"j{number}"), None)
            if number % 3 == 0:
                raise OopsError(number)
            return number

        return add

    results = await asyncio.gather(*(store.write(work(number)) for number in range(30)), return_exceptions=True)
    assert [result if isinstance(result, int) else "failed" for result in results] == [
        "failed" if number % 3 == 0 else number for number in range(30)
    ]
    assert await store.read(ids) == [f"j{number}" for number in range(30) if number % 3]


async def test_a_change_whose_caller_is_gone_happens_all_the_same(store: Store) -> None:
    caller = asyncio.ensure_future(store.write(inserting(named("a"))))
    await asyncio.sleep(0)
    caller.cancel()
    await asyncio.wait({caller})
    assert await store.read(ids) == ["a"]


async def test_reads_among_writes_see_whole_changes_only(store: Store) -> None:
    def move(tx: Transaction) -> None:
        number = int(tx.meta("a") or 0) + 1
        tx.set_meta("a", str(number))
        tx.set_meta("b", str(number))

    async def look() -> None:
        assert await store.read(lambda tx: tx.meta("a") == tx.meta("b"))

    await asyncio.gather(*(store.write(move) if number % 2 else look() for number in range(100)))


# durability


async def test_everything_is_there_after_closing_and_opening_again(stores: StoreKind) -> None:
    job = named(
        "a",
        State.TRANSIENT_ERROR,
        priority=Priority.HIGH,
        notify_flags=("JOB_ERROR",),
        notify_command=("/bin/echo", "ü\n"),
        security_flags=("REDIRECT_DISALLOW",),
        description="ümläut 🎉",
        timers=Timers(turn=1 / 3, failed_at=5.5, retry_after=7, no_progress_since=2.25),
        intent="CANCEL",
        transfer_completed=1.5,
        error=TIMED_OUT,
    )
    file = a_file(
        ranges=((5, 10), (20, None)),
        digest={"sha-256": "ab"},
        mirrors=("http://b/",),
        size=2**60,
        offset=7,
        validated=False,
    )

    def fill(tx: Transaction) -> None:
        tx.insert_job(job, 5.0)
        tx.put_file("a", file)
        tx.append_event(Event("JOB_STATE", "a", 1000, 1.5, 2.5, {"from": State.QUEUED, "to": State.TRANSIENT_ERROR}))

    def look(tx: Transaction) -> object:
        return tx.job("a"), tx.files("a"), tx.events(EVERY_EVENT), tx.next_wake(), tx.jobs_with_intent()

    store = await stores.open()
    await store.write(fill)
    before = await store.read(look)
    await store.close()
    again = await stores.open()
    after = await again.read(look)
    assert after == before
    assert await again.read(lambda tx: (tx.job("a"), tx.file("a", 0))) == (replace(job, row=1), file)
    await again.close()


async def test_what_was_committed_survives_a_kill(stores: StoreKind) -> None:
    store = await stores.open()
    for number in range(20):
        await store.write(inserting(named(f"j{number}")))
    await stores.crash(store)
    again = await stores.open()
    assert await again.read(ids) == [f"j{number}" for number in range(20)]
    assert await again.write(lambda tx: tx.insert_job(named("next"), None).row) == 21
    await again.close()


async def test_close_waits_for_the_changes_it_was_given(stores: StoreKind) -> None:
    store = await stores.open()
    writes = [asyncio.ensure_future(store.write(inserting(named(f"j{number}")))) for number in range(50)]
    await asyncio.sleep(0)
    await store.close()
    await asyncio.gather(*writes)
    again = await stores.open()
    assert await again.read(lambda tx: tx.count_jobs()) == 50
    await again.close()


async def test_the_database_is_never_touched_on_the_event_loop(tmp_path: Path) -> None:
    """This also shows that the guard of tests/conftest.py is awake."""
    path = str(tmp_path / "queue.db")
    await (await open_store(path, SEAL)).close()
    with pytest.raises(BlockingError):
        connect(path, Records(SEAL))


async def test_the_database_is_private_and_of_a_known_schema(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"
    await (await open_store(str(path), SEAL)).close()
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


async def test_a_database_of_a_newer_service_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    kind = SqliteKind(tmp_path)
    store = await kind.open()
    await store.write(inserting(named("a")))
    await store.write(lambda tx: tx._db.execute("PRAGMA user_version = 99"))  # type: ignore[attr-defined]
    await store.close()
    before = kind.path.read_bytes()
    with pytest.raises(StoreFailedError, match="written by a newer bitsd"):
        await kind.open()
    assert kind.path.read_bytes() == before


async def test_what_is_no_file_is_refused_with_its_path(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"
    path.mkdir()
    with pytest.raises(StoreFailedError, match=str(path)):
        await open_store(str(path), SEAL)
