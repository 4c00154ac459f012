"""No room: for the files of a job, and for the queue itself. Named errors, nothing lost, and it goes on by itself."""

import asyncio
import errno
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.disk import Disk, small_disk
from tests.nginx import Nginx, running_nginx
from tests.origin import Origin
from tests.process import Bitsd, Document

LOAD = 12
SIZE = 500_000


async def until_full(bitsd: Bitsd) -> list[Document]:
    """Jobs with long descriptions, until one is refused; those that were acknowledged."""
    made: list[Document] = []
    while True:
        body = {"display_name": f"job {len(made)}", "description": "x" * 1000}
        status, document = await bitsd.call("POST", "/v1/jobs", body)
        if status != 201:
            assert (status, document["code"]) == (507, "STORE_FULL"), document
            assert "no space left" in document["detail"]
            return made
        made.append(document)


@asynccontextmanager
async def on_small_state(tmp_path: Path) -> AsyncIterator[tuple[Bitsd, Disk, Origin]]:
    with small_disk(tmp_path / "state") as disk:
        async with Origin() as origin:
            bitsd = Bitsd(tmp_path, BITSD_LIMITS__JOBS_PER_USER="0", BITSD_LIMITS__JOBS_PER_MACHINE="0")
            async with bitsd:
                yield bitsd, disk, origin


async def test_a_full_disk_under_the_queue_refuses_changes_and_loses_nothing(tmp_path: Path) -> None:
    served = tmp_path / "www"
    served.mkdir()
    for number in range(4):
        (served / str(number)).write_bytes(os.urandom(SIZE))
    with running_nginx(tmp_path, served, server="limit_rate 100k;") as nginx:
        await changes_are_refused(tmp_path, served, nginx)


async def changes_are_refused(tmp_path: Path, served: Path, nginx: Nginx) -> None:
    async with on_small_state(tmp_path) as (bitsd, disk, _):
        running = [await bitsd.create(nginx.url(str(number))) for number in range(4)]
        for job in running:
            await bitsd.until(job, lambda found: found["progress"]["bytes_transferred"] > 0)
        made = await until_full(bitsd)
        assert made
        assert (await bitsd.ok("GET", "/v1"))["store"] == "full"
        # small changes may still find room where larger ones were; this is more than can be left
        many = [{"remote_name": f"http://a/{'b' * 1500}", "local_name": f"/tmp/b{number}"} for number in range(200)]
        status, document = await bitsd.call("POST", f"/v1/jobs/{made[0]['id']}/files", {"files": many})
        assert (status, document.get("code")) == (507, "STORE_FULL")
        assert len((await bitsd.ok("GET", "/v1/jobs?limit=100000"))["jobs"]) == len(made) + 4
        # what runs goes on with its bytes, although nothing of it can be recorded
        for job in running:
            await bitsd.until(job, lambda found: found["progress"]["bytes_transferred"] == SIZE)
        disk.grow()
        for number, job in enumerate(running):
            await bitsd.wait(job, "TRANSFERRED")
            await bitsd.act(job, "complete")
            assert Path(bitsd.target(f"/{number}")).read_bytes() == (served / str(number)).read_bytes()
        async with asyncio.timeout(20):
            while (await bitsd.ok("GET", "/v1"))["store"] != "ok":  # noqa: ASYNC110 - it is told nowhere else
                await asyncio.sleep(0.1)
        for job in made:
            assert (await bitsd.job(job))["description"] == "x" * 1000
        assert bitsd.log.count("no space left for the queue's database") < 5, "told once, not every few seconds"


async def test_a_kill_on_a_full_disk_loses_nothing_and_the_next_start_waits_for_room(tmp_path: Path) -> None:
    async with on_small_state(tmp_path) as (bitsd, disk, origin):
        origin.file("/a", size=1000)
        transferred = await bitsd.wait(await bitsd.create(origin.url("/a")), "TRANSFERRED")
        made = await until_full(bitsd)
        await bitsd.kill()
        await bitsd.start()
        assert len((await bitsd.ok("GET", "/v1/jobs?limit=100000"))["jobs"]) == len(made) + 1
        disk.grow()
        assert (await bitsd.act(transferred, "complete"))["result"] == "S_OK"
        assert not (await bitsd.ok("GET", "/v1"))["state_lost"]


async def test_a_full_disk_under_the_files_is_a_named_error_and_resume_goes_on(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small") as disk:
        async with Origin() as origin, Bitsd(tmp_path, BITSD_SCHEDULER__BACKGROUND_SLOTS="20") as bitsd:
            bitsd.downloads = tmp_path / "small"
            files = [
                origin.file(f"/{number}", size=300_000, seed=number, framing="chunked") for number in range(LOAD)
            ]  # whose size is not known before they come
            jobs = [await bitsd.create(origin.url(f"/{number}")) for number in range(LOAD)]
            found = [await bitsd.wait(job, "TRANSFERRED", "ERROR") for job in jobs]
            failed = [job for job in found if job["state"] == "ERROR"]
            assert 0 < len(failed) < LOAD
            for job in failed:
                error = job["error"]
                assert (error["context"], error["code"]) == ("LOCAL_FILE", "E_LOCAL_FILE")
                assert errno.errorcode[disk.full] in error["message"]
                assert str(bitsd.downloads) in error["message"]
            disk.grow()
            for job in failed:
                await bitsd.act(job, "resume")
            for number, job in enumerate(jobs):
                await bitsd.wait(job, "TRANSFERRED")
                await bitsd.act(job, "complete")
                assert Path(bitsd.target(f"/{number}")).read_bytes() == files[number].content.read()
            assert bitsd.leftovers() == []
