"""A stop (SIGTERM) in the middle of everything: what was acknowledged is there afterwards, every file is whole."""

import asyncio
import contextlib
import os
import signal
from pathlib import Path

import aiohttp
import pytest

from tests.origin import Origin
from tests.process import Bitsd, Document

MANY = 150
"""Files of a job that is being ended."""
SIZE = 2000
SETTINGS = {"BITSD_LIMITS__FILES_PER_JOB": "0", "BITSD_TRANSFER__CONNECTIONS_PER_JOB": "16"}


async def test_jobs_that_were_acknowledged_while_it_stopped_are_there(tmp_path: Path) -> None:
    bitsd = Bitsd(tmp_path)
    acknowledged: list[str] = []
    refused: list[int] = []
    enough = asyncio.Event()

    async def keep_creating(number: int) -> None:
        while True:
            try:
                status, job = await bitsd.call("POST", "/v1/jobs", {"display_name": f"{number}"})
            except (aiohttp.ClientError, OSError):
                return  # cut off without an answer
            if status != 201:
                refused.append(status)
                return
            acknowledged.append(job["id"])
            if len(acknowledged) == 40:
                enough.set()

    async with bitsd:
        async with asyncio.TaskGroup() as group:
            for number in range(8):
                group.create_task(keep_creating(number))
            await enough.wait()
            assert await bitsd.signal(signal.SIGTERM) == 0
        assert set(refused) <= {503}
        await bitsd.start()
        listed = {job["id"] for job in (await bitsd.ok("GET", "/v1/jobs"))["jobs"]}
        assert set(acknowledged) <= listed
        created = [event["job_id"] for event in await bitsd.events(types="JOB_CREATED")]
        assert len(created) == len(set(created))
        assert set(created) == listed


async def many_files(bitsd: Bitsd, origin: Origin) -> tuple[Document, dict[Path, bytes]]:
    """A transferred job and what its files must hold."""
    expected = {}
    for number in range(MANY):
        script = origin.file(f"/{number}", size=SIZE, seed=number)
        expected[Path(bitsd.target(f"/{number}"))] = script.content.read()
    job = await bitsd.create(*(origin.url(f"/{number}") for number in range(MANY)))
    return await bitsd.wait(job, "TRANSFERRED"), expected


async def stopped_in_the_middle(bitsd: Bitsd, job: Document, operation: str, already: int) -> None:
    """Begin to end the job and stop the service when `already` of its temporary files are gone."""

    async def call() -> None:
        with contextlib.suppress(aiohttp.ClientError, OSError):
            await bitsd.call("POST", f"/v1/jobs/{job['id']}/{operation}")

    async with asyncio.TaskGroup() as group:
        group.create_task(call())
        while True:
            await asyncio.sleep(0)
            if len(bitsd.leftovers()) <= MANY - already:
                break
        assert await bitsd.signal(signal.SIGTERM) == 0


@pytest.mark.parametrize("already", [1, 40])
async def test_a_complete_that_was_stopped_is_finished_by_the_next_start(tmp_path: Path, already: int) -> None:
    async with Origin() as origin, Bitsd(tmp_path, **SETTINGS) as bitsd:
        job, expected = await many_files(bitsd, origin)
        await stopped_in_the_middle(bitsd, job, "complete", already)
        for path, content in expected.items():
            assert not path.exists() or path.read_bytes() == content
        await bitsd.start()
        await bitsd.wait(job, "ACKNOWLEDGED")
        assert {path: path.read_bytes() for path in expected} == expected
        assert bitsd.leftovers() == []
        found = await bitsd.job(job, include="files")
        assert all(file["progress"]["completed"] for file in found["files"])
        assert (await bitsd.moves(job)).count("ACKNOWLEDGED") == 1


@pytest.mark.parametrize("already", [1, 40])
async def test_a_cancel_that_was_stopped_is_finished_by_the_next_start(tmp_path: Path, already: int) -> None:
    async with Origin() as origin, Bitsd(tmp_path, **SETTINGS) as bitsd:
        job, _ = await many_files(bitsd, origin)
        await stopped_in_the_middle(bitsd, job, "cancel", already)
        await bitsd.start()
        await bitsd.wait(job, "CANCELLED")
        assert os.listdir(bitsd.downloads) == []
        assert (await bitsd.moves(job)).count("CANCELLED") == 1
