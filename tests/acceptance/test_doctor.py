"""`bitsctl doctor`: what does not agree is found, named, and mended when asked; a healthy service has no findings."""

import asyncio
import json
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest_asyncio

from tests.origin import Origin
from tests.process import Bitsd, Document

SIZE = 100_000


@pytest_asyncio.fixture
async def bitsd(tmp_path: Path) -> AsyncIterator[Bitsd]:
    async with Bitsd(tmp_path, BITSD_TRANSFER__STALL_TIMEOUT="600") as service:
        yield service


@pytest_asyncio.fixture
async def origin() -> AsyncIterator[Origin]:
    async with Origin() as server:
        yield server


async def doctor(bitsd: Bitsd, *options: str) -> tuple[int, list[Document]]:
    """The exit code, and what was found."""
    command = [sys.executable, "-m", "daemon.client", "--socket", bitsd.socket, "--json", "doctor", *options]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, [json.loads(line) for line in output.splitlines()]


async def transferred(bitsd: Bitsd, origin: Origin, name: str) -> tuple[Document, Path]:
    """A job that is TRANSFERRED, and its temporary file."""
    origin.file(name, size=SIZE)
    job = await bitsd.wait(await bitsd.create(origin.url(name)), "TRANSFERRED")
    return job, await part_of(bitsd, job)


async def halfway(bitsd: Bitsd, origin: Origin, name: str) -> tuple[Document, Path]:
    """A job that was suspended with half of its file, and its temporary file."""
    origin.file(name, size=SIZE, stall_after=SIZE // 2)
    job = await bitsd.create(origin.url(name))
    await bitsd.until(job, lambda found: found["progress"]["bytes_transferred"] == SIZE // 2)
    await bitsd.act(job, "suspend")
    # it has let go of the file when it goes on record as stopped: a resume would wait for that too
    while '"mtime":null' in record(bitsd, job):  # noqa: ASYNC110 - of which only the store tells
        await asyncio.sleep(0.01)
    return job, await part_of(bitsd, job)


def record(bitsd: Bitsd, job: Document) -> str:
    with closing(sqlite3.connect(f"file:{bitsd.home}/state/queue.sqlite?mode=ro", uri=True)) as store:
        ((text,),) = store.execute("SELECT record FROM files WHERE job_id = ?", (job["id"],))
        return str(text)


async def part_of(bitsd: Bitsd, job: Document) -> Path:
    return Path((await bitsd.job(job, include="files"))["files"][0]["temporary_name"])


async def test_a_healthy_service_has_no_findings_whatever_it_is_doing(bitsd: Bitsd, origin: Origin) -> None:
    await transferred(bitsd, origin, "/done")
    await halfway(bitsd, origin, "/half")
    origin.file("/running", size=SIZE, stall_after=SIZE // 2)
    running = await bitsd.create(origin.url("/running"))
    await bitsd.until(running, lambda found: found["progress"]["bytes_transferred"] > 0)
    assert await doctor(bitsd) == (0, [])
    await bitsd.kill()
    await bitsd.start()
    assert await doctor(bitsd) == (0, [])


async def test_temporary_files_that_are_gone_or_changed_are_found_and_their_files_start_anew(
    bitsd: Bitsd, origin: Origin
) -> None:
    (gone, gone_part), (changed, changed_part) = [await transferred(bitsd, origin, name) for name in ("/a", "/b")]
    half, half_part = await halfway(bitsd, origin, "/c")
    gone_part.unlink()
    changed_part.write_bytes(b"x" * SIZE)
    half_part.write_bytes(b"x" * (SIZE // 2))
    before = [await bitsd.job(job) for job in (gone, changed, half)]
    code, found = await doctor(bitsd)
    assert code == 1
    assert {(finding["code"], finding["path"], finding["job_id"]) for finding in found} == {
        ("TEMPORARY_FILE_MISSING", str(gone_part), gone["id"]),
        ("TEMPORARY_FILE_CHANGED", str(changed_part), changed["id"]),
        ("TEMPORARY_FILE_CHANGED", str(half_part), half["id"]),
    }
    assert [await bitsd.job(job) for job in (gone, changed, half)] == before, "to look changes nothing"
    code, mended = await doctor(bitsd, "--fix")
    assert (code, len(mended), all(finding["is_mended"] for finding in mended)) == (0, 3, True)
    assert await doctor(bitsd) == (0, [])
    for job in (gone, changed):
        error = (await bitsd.wait(job, "ERROR"))["error"]
        assert (error["context"], error["code"]) == ("LOCAL_FILE", "E_LOCAL_FILE")
    assert (await bitsd.job(half))["progress"]["bytes_transferred"] == 0
    for name, job in (("/a", gone), ("/b", changed), ("/c", half)):
        await bitsd.act(job, "resume")
        await bitsd.wait(job, "TRANSFERRED")
        await bitsd.act(job, "complete")
        assert Path(bitsd.target(name)).read_bytes() == origin.scripts[name].content.read()


async def test_what_cannot_be_removed_is_on_record_and_goes_once_it_can(bitsd: Bitsd, origin: Origin) -> None:
    job, part = await transferred(bitsd, origin, "/a")
    part.unlink()
    part.mkdir()
    assert (await bitsd.act(job, "cancel"))["result"] == "BG_S_UNABLE_TO_DELETE_FILES"
    code, found = await doctor(bitsd, "--fix")
    assert (code, [finding["code"] for finding in found]) == (1, ["TEMPORARY_FILE_LEFT"])
    assert (found[0]["path"], found[0]["is_mended"]) == (str(part), False)
    await bitsd.kill()
    await bitsd.start()
    assert len((await doctor(bitsd))[1]) == 1
    part.rmdir()
    part.write_bytes(b"left")
    assert (await doctor(bitsd, "--fix"))[0] == 0
    assert not part.exists()
    assert await doctor(bitsd) == (0, [])


async def test_leftovers_are_tried_again_by_the_next_start(bitsd: Bitsd, origin: Origin) -> None:
    job, part = await transferred(bitsd, origin, "/a")
    part.unlink()
    part.mkdir()
    await bitsd.act(job, "cancel")
    part.rmdir()
    part.write_bytes(b"left")
    await bitsd.signal(15)
    await bitsd.start()
    while part.exists():  # noqa: ASYNC110 - a file has no event
        await asyncio.sleep(0.01)  # in the background of the start
    assert await doctor(bitsd) == (0, [])


async def test_what_is_open_to_others_is_found_and_closed(bitsd: Bitsd) -> None:
    state = bitsd.home / "state"
    state.chmod(0o755)
    (state / "queue.sqlite").chmod(0o644)
    code, found = await doctor(bitsd, "--fix")
    assert (code, {finding["code"] for finding in found}) == (0, {"WRONG_MODE"})
    assert (state.stat().st_mode & 0o777, (state / "queue.sqlite").stat().st_mode & 0o777) == (0o700, 0o600)
    assert await doctor(bitsd) == (0, [])


async def test_a_database_that_is_damaged_while_the_service_runs_is_found(bitsd: Bitsd) -> None:
    for number in range(50):
        await bitsd.create(name=f"job {number}")
    with closing(sqlite3.connect(bitsd.home / "state" / "queue.sqlite")) as store, store:
        store.execute("UPDATE jobs SET display_name = 'another' WHERE row = 3")
    code, found = await doctor(bitsd)
    assert (code, [finding["code"] for finding in found]) == (1, ["STORE_DAMAGED"])
    assert "a row of jobs was changed" in found[0]["message"]


async def test_what_was_lost_is_said_until_it_is_taken_note_of(bitsd: Bitsd) -> None:
    await bitsd.create()
    await bitsd.signal(15)
    (bitsd.home / "state" / "queue.sqlite").unlink()
    await bitsd.start()
    assert (await bitsd.ok("GET", "/v1"))["state_lost"]
    assert [finding["code"] for finding in (await doctor(bitsd, "--fix"))[1]] == ["STATE_LOST"]
    assert not (await bitsd.ok("GET", "/v1"))["state_lost"]
    assert await doctor(bitsd) == (0, [])


async def test_a_start_with_the_log_at_debug_says_what_the_doctor_would(bitsd: Bitsd, origin: Origin) -> None:
    _, part = await transferred(bitsd, origin, "/a")
    await bitsd.signal(15)
    part.unlink()
    bitsd.environment["BITSD_DAEMON__LOG_LEVEL"] = "debug"
    await bitsd.start()
    assert f"self-check: TEMPORARY_FILE_MISSING: cannot check {part}" in bitsd.log
