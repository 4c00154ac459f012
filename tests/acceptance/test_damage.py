"""What somebody does to the state directory and to temporary files while the service is down: never a wrong file."""

import asyncio
import json
import os
import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.origin import Origin, Script
from tests.process import Bitsd, Document

SIZE = 400_000
HALF = 200_000


async def running(bitsd: Bitsd, origin: Origin, name: str = "/a") -> tuple[Document, Script]:
    """A job that has half of its file on record, and waits for more."""
    file = origin.file(name, size=SIZE, stall_after=HALF)
    job = await bitsd.create(origin.url(name))
    while True:
        found = await bitsd.job(job, include="files")
        if found["progress"]["bytes_transferred"] == HALF:
            break
        await asyncio.sleep(0.01)  # as in Bitsd.until
    return job, file


async def on_record(bitsd: Bitsd, job: Document) -> None:
    """Returns when what has come is synced and counted, of which only the store itself tells."""
    with closing(sqlite3.connect(f"file:{database(bitsd)}?mode=ro", uri=True)) as store:
        while True:
            ((record,),) = store.execute("SELECT record FROM files WHERE job_id = ?", (job["id"],))
            if json.loads(record).get("offset") == HALF:
                return
            await asyncio.sleep(0.05)


async def killed_halfway(bitsd: Bitsd, origin: Origin) -> tuple[Document, Script]:
    """The service is down, and half of the job's file is on record."""
    job, file = await running(bitsd, origin)
    await on_record(bitsd, job)
    await bitsd.kill()
    return job, file


async def finishes(bitsd: Bitsd, job: Document, file: Script) -> None:
    await bitsd.wait(job, "TRANSFERRED")
    assert (await bitsd.act(job, "complete"))["result"] == "S_OK"
    (local,) = (await bitsd.job(job, include="files"))["files"]
    assert Path(local["local_name"]).read_bytes() == file.content.read()


def flip(path: Path, place: int) -> None:
    with path.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 1]))


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def overwrite_a_page(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(8 * 4096)
        file.write(os.urandom(4096))


def write_garbage(path: Path) -> None:
    path.write_bytes(b"garbage" * 5000)


def put_older_back(path: Path) -> None:
    """The same file with what it had before."""
    data = path.read_bytes()
    with path.open("r+b") as file:
        file.truncate(0)
        file.write(data[: HALF // 2])


HARMS: dict[str, Callable[[Path], None]] = {
    "removed": Path.unlink,
    "emptied": lambda path: os.truncate(path, 0),
    "cut": lambda path: os.truncate(path, HALF // 2),
    "an older one": put_older_back,
    "a bit at the start": lambda path: flip(path, 0),
    "a bit at the end": lambda path: flip(path, HALF - 1),
    "more at its end": append,
    "closed to its owner": lambda path: path.chmod(0),
}


async def test_temporary_files_that_were_damaged_after_a_kill_do_no_harm(tmp_path: Path) -> None:
    async with Origin() as origin:
        bitsd = Bitsd(tmp_path, BITSD_TRANSFER__STALL_TIMEOUT="600", BITSD_SCHEDULER__BACKGROUND_SLOTS="20")
        async with bitsd:
            jobs = [await running(bitsd, origin, f"/{number}") for number in range(len(HARMS))]
            for job, _ in jobs:
                await on_record(bitsd, job)
            parts = [Path((await bitsd.job(job, include="files"))["files"][0]["temporary_name"]) for job, _ in jobs]
            await bitsd.kill()
            for harm, part in zip(HARMS.values(), parts, strict=True):
                harm(part)
            await bitsd.start()
            for (job, file), name, part in zip(jobs, HARMS, parts, strict=True):
                if name == "closed to its owner" and os.geteuid() != 0:
                    error = (await bitsd.wait(job, "ERROR"))["error"]
                    assert (error["code"], str(part) in error["message"]) == ("E_ACCESSDENIED", True)
                    await bitsd.act(job, "cancel")
                else:
                    await finishes(bitsd, job, file)
            assert bitsd.leftovers() == []


async def test_after_a_kill_what_was_recorded_is_not_fetched_again(tmp_path: Path) -> None:
    async with Origin() as origin:
        bitsd = Bitsd(tmp_path, BITSD_TRANSFER__STALL_TIMEOUT="600")
        async with bitsd:
            job, file = await killed_halfway(bitsd, origin)
            await bitsd.start()
            await finishes(bitsd, job, file)
        assert origin.ranges("/a") == [None, f"bytes={HALF}-"]


async def populated(bitsd: Bitsd, origin: Origin) -> list[Document]:
    """Jobs in all states that stay."""
    origin.file("/done", size=SIZE, seed=1)
    done = await bitsd.wait(await bitsd.create(origin.url("/done")), "TRANSFERRED")
    waiting = [await bitsd.create(origin.url(f"/later-{number}"), resume=False) for number in range(60)]
    for number in range(60):
        origin.file(f"/later-{number}", size=5000 + number, seed=number)
    return [done, *waiting]


async def losses(bitsd: Bitsd) -> list[Document]:
    """From the oldest event that is kept: what came before may be lost too."""
    return list((await bitsd.ok("GET", "/v1/events?types=STATE_LOST"))["events"])


def database(bitsd: Bitsd) -> Path:
    return bitsd.home / "state" / "queue.sqlite"


def flip_many(path: Path, seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(4):
        flip(path, rng.randrange(path.stat().st_size))


DAMAGES: dict[str, Callable[[Path], None]] = {
    "bits 1": lambda path: flip_many(path, 1),
    "bits 2": lambda path: flip_many(path, 2),
    "cut": lambda path: os.truncate(path, path.stat().st_size // 2),
    "emptied": lambda path: os.truncate(path, 0),
    "garbage": write_garbage,
    "removed": Path.unlink,
    "a page of noise": overwrite_a_page,
}


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_damaged_database_is_mended_and_what_is_lost_is_told(tmp_path: Path, damage: str) -> None:
    async with Origin() as origin:
        bitsd = Bitsd(tmp_path)
        async with bitsd:
            jobs = await populated(bitsd, origin)
            last = (await bitsd.events())[-1]["seq"]
            await bitsd.signal(15)
            DAMAGES[damage](database(bitsd))
            await bitsd.start()
            there = [job for job in jobs if (await bitsd.call("GET", f"/v1/jobs/{job['id']}"))[0] == 200]
            is_lost = len(there) < len(jobs)
            assert (await bitsd.ok("GET", "/v1"))["state_lost"] or not is_lost
            if is_lost:
                (event,) = await losses(bitsd)
                assert event["job_id"] is None
                assert event["jobs_lost"] <= len(jobs)
                assert not any(job["id"] in str(event) for job in jobs), "every user sees it"
                assert event["seq"] > last, "numbers of events are not given out again"
                assert "ERROR jobqueue.lost" in bitsd.log
            for job in there:
                state = (await bitsd.job(job))["state"]
                await bitsd.act(job, "resume" if state == "SUSPENDED" else "suspend")
                await bitsd.act(job, "resume")
            for job in there:
                await bitsd.wait(job, "TRANSFERRED")
                (file,) = (await bitsd.job(job, include="files"))["files"]
                await bitsd.act(job, "complete")
                content = origin.scripts["/" + os.path.basename(file["local_name"])].content.read()
                assert Path(file["local_name"]).read_bytes() == content
            fresh = await bitsd.wait(await bitsd.create(origin.url("/done")), "TRANSFERRED")
            await bitsd.act(fresh, "complete")


async def test_an_older_queue_and_its_log_put_back_is_told_and_fetches_nothing_wrong(tmp_path: Path) -> None:
    async with Origin() as origin:
        bitsd = Bitsd(tmp_path, BITSD_TRANSFER__STALL_TIMEOUT="600")
        async with bitsd:
            job, file = await killed_halfway(bitsd, origin)
            shutil.copytree(bitsd.home / "state", bitsd.home / "older")
            await bitsd.start()
            await bitsd.wait(job, "TRANSFERRED")
            await bitsd.kill()
            for name in ("queue.sqlite", "queue.sqlite-wal"):
                shutil.copyfile(bitsd.home / "older" / name, bitsd.home / "state" / name)
            await bitsd.start()
            assert (await bitsd.ok("GET", "/v1"))["state_lost"]
            assert (await losses(bitsd))[0]["reason"] == "older"
            await finishes(bitsd, job, file)


async def test_a_file_of_another_version_under_an_older_record_is_not_continued(tmp_path: Path) -> None:
    """The server went back to the version that the record tells of, while the file had begun with the other."""
    async with Origin() as origin:
        bitsd = Bitsd(tmp_path, BITSD_TRANSFER__STALL_TIMEOUT="600")
        async with bitsd:
            job, file = await killed_halfway(bitsd, origin)
            part = bitsd.downloads / bitsd.leftovers()[0]
            with part.open("r+b") as other:  # the same inode, as a restart of the file leaves it
                other.truncate(0)
                other.write(bytes(HALF + 1000))
            await bitsd.start()
            await finishes(bitsd, job, file)


async def test_a_database_that_belongs_to_somebody_else_stops_the_start_with_a_sentence(tmp_path: Path) -> None:
    bitsd = Bitsd(tmp_path)
    async with bitsd:
        await bitsd.signal(15)
        if os.geteuid() == 0:
            os.chown(database(bitsd), 60001, 60001)
        else:  # only root can give a file away
            database(bitsd).chmod(0o666)
        process = await bitsd.spawn()
        assert await process.wait() == 1
        assert f"cannot use the queue's database {database(bitsd)}: others may have written to it" in bitsd.log
        assert "Traceback" not in bitsd.log
        os.chown(database(bitsd), os.geteuid(), os.getegid())
        database(bitsd).chmod(0o600)
        await bitsd.start()


async def test_damage_that_is_met_while_running_ends_the_service_and_the_next_start_mends_it(tmp_path: Path) -> None:
    async with Origin() as origin:
        bitsd = Bitsd(tmp_path)
        async with bitsd:
            await populated(bitsd, origin)
            await bitsd.signal(15)  # all of it is in the database then, nothing in its log
            await bitsd.start()
            size = database(bitsd).stat().st_size
            with database(bitsd).open("r+b") as file:
                file.seek(4096)
                file.write(os.urandom(size - 4096))
            status, document = await bitsd.call("GET", "/v1/jobs")
            assert (status, document["code"]) == (503, "STORE_FAILED")
            assert bitsd.process is not None
            assert await bitsd.process.wait() == 1
            assert "bitsd: cannot use the queue's database: database disk image is malformed" in bitsd.log
            assert "Traceback" not in bitsd.log
            await bitsd.start()
            assert (await bitsd.ok("GET", "/v1"))["state_lost"]
