"""A database that something else has written to, cut, or put back: what can be read goes on, and the rest is told."""

import json
import os
import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from daemon.keys import KeySeal
from jobqueue import database
from jobqueue.errors import StoreFailedError
from jobqueue.job import Event, File, Job, State, Totals
from jobqueue.store import SqliteStore, open_store
from jobqueue.transaction import EventQuery, IdempotentRequest, Transaction
from tests.builders import ANNA, BEN, a_file, a_job

SEAL = KeySeal(bytes(32))
JOBS = 120
PAGE = 4096


@dataclass(frozen=True, slots=True)
class Found:
    """What is in a store."""

    jobs: dict[str, tuple[Job, tuple[File, ...]]]
    events: list[Event]
    floor: int
    last_seq: int
    loss: dict[str, object] | None
    orphans: set[str]


def job_id(number: int) -> str:
    return f"{number:08d}-0000-4000-8000-000000000000"


def fill(tx: Transaction) -> None:
    for number in range(JOBS):
        owner = BEN if number % 3 else ANNA
        job = replace(a_job(owner=owner), id=job_id(number))
        job = tx.insert_job(job, 7.5 if number % 2 else None)
        tx.append_event(Event("JOB_CREATED", job.id, owner.uid, 1.7e9, 3.0))
        totals = Totals()
        for index in range(number % 3):
            file = a_file(
                index, temporary_name=f"/data/.BIT{number:04x}{index:04x}.tmp", inode=number + 1, offset=index
            )
            tx.put_file(job.id, file)
            totals = totals.changed(None, file)
        tx.put_job(replace(job, totals=totals, state=State.QUEUED), 8.0)
        tx.remember_request(IdempotentRequest(owner.uid, f"key {number}", "print"), job.id)
    tx.set_meta("clock", "12.0")


async def read(store: SqliteStore) -> Found:
    def work(tx: Transaction) -> Found:
        jobs = {job.id: (job, tuple(tx.files(job.id))) for job in tx.every_job()}
        loss = tx.meta("loss")
        return Found(
            jobs,
            list(tx.events(EventQuery(tx.events_floor(), 10_000))),
            tx.events_floor(),
            tx.last_seq(),
            json.loads(loss) if loss else None,
            {leftover.path for leftover in tx.leftovers()},
        )

    return await store.read(work)


async def opened(path: Path) -> SqliteStore:
    return await open_store(str(path), SEAL)


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A database after a clean end."""
    path = tmp_path / "queue.sqlite"
    store = await opened(path)
    await store.write(fill)
    await store.close()
    return path


async def look(path: Path) -> Found:
    store = await opened(path)
    found = await read(store)
    await store.close()
    return found


def touched(path: Path) -> None:
    """As if it had been written to, so that it is not known from its last clean end."""
    os.utime(path)


async def test_an_untouched_database_is_sound_and_nothing_is_lost(path: Path) -> None:
    before = await look(path)
    assert (len(before.jobs), len(before.events), before.loss) == (JOBS, JOBS, None)
    touched(path)
    assert await look(path) == before
    assert sorted(file.name for file in path.parent.iterdir()) == ["queue.sqlite", "queue.sqlite.mark"]


def flip(path: Path, places: range, count: int, seed: int) -> None:
    rng = random.Random(seed)
    with path.open("r+b") as file:
        for _ in range(count):
            place = rng.choice(places)
            file.seek(place)
            byte = file.read(1)[0]
            file.seek(place)
            file.write(bytes([byte ^ (1 << rng.randrange(8))]))


def overwrite(path: Path, page: int) -> None:
    with path.open("r+b") as file:
        file.seek(page * PAGE)
        file.write(os.urandom(PAGE))


async def check(path: Path, before: Found) -> Found | None:
    """The promise: refused with a sentence, or everything that is there is right, and what is not is told."""
    try:
        found = await look(path)
    except StoreFailedError:
        with pytest.raises(StoreFailedError, match=str(path)):  # again, and in the same way
            await look(path)
        return None
    for job, files in found.jobs.values():
        assert (job, files) == before.jobs[job.id]
    missing = set(before.jobs) - set(found.jobs)
    if missing or len(found.events) < len(before.events):
        assert found.loss is not None
    if found.loss is not None and found.loss["reason"] == "damaged":
        assert Path(str(found.loss["kept"])).exists()
    assert found.last_seq >= before.last_seq
    known = {event.seq: event for event in before.events}
    assert [event.seq for event in found.events] == list(range(found.floor + 1, found.last_seq + 1))
    assert all(event == known[event.seq] for event in found.events)
    assert await look(path) == found, "mended once, sound from then on"
    return found


@pytest.mark.parametrize("seed", range(24))
async def test_flipped_bits_anywhere_are_never_taken_for_the_truth(path: Path, seed: int) -> None:
    before = await look(path)
    flip(path, range(path.stat().st_size), 1 + seed % 6, seed)
    await check(path, before)


async def test_a_changed_value_in_a_sound_structure_is_found(path: Path) -> None:
    before = await look(path)
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b"http://", b"http:/j", 1))
    found = await check(path, before)
    assert found is not None
    assert found.loss is not None
    assert len(found.jobs) == JOBS - 1
    assert found.loss["jobs"] == sorted(set(before.jobs) - set(found.jobs))


async def test_damage_is_found_although_the_date_of_the_file_was_set_back(path: Path) -> None:
    before, facts = await look(path), path.stat()
    path.write_bytes(path.read_bytes().replace(b"http://", b"http:/j", 1))
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    found = await check(path, before)
    assert found is not None
    assert len(found.jobs) == JOBS - 1


async def test_no_copy_of_a_damaged_database_is_open_to_others(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    overwrite(path, 11)
    real, modes = shutil.copyfile, set()

    def copied(source: str, target: str) -> object:
        done = real(source, target)
        modes.add(os.stat(target).st_mode & 0o777)
        return done

    monkeypatch.setattr(shutil, "copyfile", copied)
    found = await look(path)
    modes |= {file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    assert (modes, found.loss is not None) == ({0o600}, True)


@pytest.mark.parametrize("page", [1, 2, 5, 11, 17, 23, 40])
async def test_a_page_of_noise_costs_what_was_on_it_and_orphans_are_on_record(path: Path, page: int) -> None:
    before = await look(path)
    overwrite(path, page)
    found = await check(path, before)
    assert found is not None
    names = {file.temporary_name for job, files in before.jobs.values() for file in files if job.id not in found.jobs}
    assert found.orphans <= names


@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.9])
async def test_a_cut_database_gives_what_is_left_of_it(path: Path, part: float) -> None:
    before = await look(path)
    size = path.stat().st_size
    os.truncate(path, int(size * part))
    found = await check(path, before)
    assert found is not None
    assert found.loss is not None
    assert len(found.jobs) < JOBS


async def test_a_destroyed_header_is_replaced_and_nothing_is_lost(path: Path) -> None:
    before = await look(path)
    with path.open("r+b") as file:
        file.write(os.urandom(100))
    found = await check(path, before)
    assert found is not None
    assert found.jobs == before.jobs


async def test_garbage_in_its_place_is_kept_aside_and_the_queue_begins_anew(path: Path) -> None:
    before = await look(path)
    path.write_bytes(b"this is no database" * 1000)
    found = await check(path, before)
    assert found is not None
    assert found.loss is not None
    assert found.jobs == {}
    assert Path(str(found.loss["kept"])).read_bytes() == b"this is no database" * 1000
    assert (found.floor, found.last_seq) == (before.last_seq, before.last_seq), "no number is given out twice"


async def crashed(tmp_path: Path, more: Callable[[Transaction], object]) -> tuple[Path, Found]:
    """A database as a killed process leaves it, with a log that holds `more`."""
    living = tmp_path / "living" / "queue.sqlite"
    living.parent.mkdir()
    store = await opened(living)
    await store.write(fill)
    await store.write(more)
    before = await read(store)
    dead = tmp_path / "dead"
    shutil.copytree(living.parent, dead)
    await store.close()
    return dead / "queue.sqlite", before


def one_more(tx: Transaction) -> None:
    job = tx.insert_job(replace(a_job(owner=ANNA), id=job_id(JOBS)), None)
    tx.append_event(Event("JOB_CREATED", job.id, ANNA.uid, 1.7e9, 3.0))


async def test_after_a_kill_everything_is_there(tmp_path: Path) -> None:
    path, before = await crashed(tmp_path, one_more)
    assert await look(path) == before


async def test_a_removed_log_is_noticed(tmp_path: Path) -> None:
    path, before = await crashed(tmp_path, one_more)
    path.with_name("queue.sqlite-wal").unlink()
    found = await check_older(path, before)
    assert found.floor == before.last_seq, "events that clients saw are gone: they are told to look anew"


async def check_older(path: Path, before: Found) -> Found:
    found = await look(path)
    assert found.loss is not None
    assert found.loss["reason"] == "older"
    assert found.last_seq == before.last_seq
    assert len(found.jobs) < len(before.jobs)
    return found


@pytest.mark.parametrize("seed", range(6))
async def test_a_log_with_flipped_bits_ends_there_and_that_is_noticed(tmp_path: Path, seed: int) -> None:
    path, before = await crashed(tmp_path, one_more)
    log = path.with_name("queue.sqlite-wal")
    flip(log, range(log.stat().st_size), 2, seed)
    await check(path, before)


async def test_a_cut_log_is_noticed(tmp_path: Path) -> None:
    path, before = await crashed(tmp_path, one_more)
    log = path.with_name("queue.sqlite-wal")
    os.truncate(log, log.stat().st_size - 100)
    await check_older(path, before)


async def test_an_older_copy_put_back_is_noticed_and_numbers_go_on(path: Path) -> None:
    older = path.read_bytes()
    store = await opened(path)
    await store.write(one_more)
    before = await read(store)
    await store.close()
    path.write_bytes(older)
    found = await check_older(path, before)
    assert len(found.jobs) == JOBS


async def test_a_removed_database_is_noticed(path: Path) -> None:
    before = await look(path)
    path.unlink()
    found = await check_older(path, before)
    assert found.jobs == {}


async def test_a_removed_or_garbled_mark_does_no_harm(path: Path) -> None:
    before = await look(path)
    mark = path.with_name("queue.sqlite.mark")
    mark.write_bytes(b"\xff not a mark")
    assert await look(path) == before
    mark.unlink()
    assert await look(path) == before


@pytest.mark.parametrize("harm", ["owner", "mode", "link"])
async def test_a_database_that_others_may_have_written_to_is_refused(path: Path, harm: str) -> None:
    match harm:
        case "owner" if os.geteuid() == 0:
            os.chown(path, 60001, 60001)
        case "link":
            path.rename(path.with_name("elsewhere"))
            path.symlink_to(path.with_name("elsewhere"))
        case _:
            path.chmod(0o620)
    with pytest.raises(StoreFailedError, match=str(path)):
        await opened(path)


async def test_a_rebuild_that_is_cut_anywhere_is_done_again_or_finished(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await look(path)
    overwrite(path, 11)
    cuts = 0
    while True:
        steps = 0

        def step(name: str, real: Callable[..., object], cuts: int = cuts) -> Callable[..., object]:
            def cut(*values: object, **options: object) -> object:
                nonlocal steps
                steps += 1
                if steps > cuts:
                    raise OSError(5, f"cut before {name}")
                return real(*values, **options)

            return cut

        with monkeypatch.context() as patch:
            for name in ("rename", "link", "unlink", "fsync"):
                patch.setattr(os, name, step(name, getattr(os, name)))
            with suppress(StoreFailedError):
                await (await opened(path)).close()
                break
        cuts += 1
    assert cuts > 5
    found = await check(path, before)
    assert found is not None
    assert found.loss is not None


async def test_a_migration_that_fails_changes_nothing_and_the_next_one_keeps_a_copy(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await look(path)
    bad = {**database.SCRIPTS, 98: "CREATE TABLE fine (a);", 99: "UPDATE jobs SET record = ''; SELECT nonsense;"}
    with monkeypatch.context() as patch:
        patch.setattr(database, "SCRIPTS", bad)
        patch.setattr(database, "NEWEST", 99)
        with pytest.raises(StoreFailedError, match="it is as it was"):
            await opened(path)
    assert await look(path) == before
    backup = path.with_name(f"queue.sqlite.schema-{database.NEWEST}")
    assert backup.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(backup)) as copy:
        assert copy.execute("SELECT count(*) FROM jobs").fetchone() == (JOBS,)
