"""The disk and the other people on it: whatever they do to a job's temporary file, the result is right or named."""

import asyncio
import errno
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import pytest
import pytest_asyncio

from tests.acceptance.raw import asker, public_home
from tests.disk import OTHER_USER, SIZE, small_disk
from tests.origin import Origin, Script
from tests.process import Bitsd, Document

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bitsd(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bitsd]:
    """One for all jobs that somebody does harm to: each is a healthy neighbour of the others."""
    async with Bitsd(tmp_path_factory.mktemp("home")) as service:
        yield service


@pytest_asyncio.fixture(loop_scope="module")
async def origin(bitsd: Bitsd, tmp_path: Path) -> AsyncIterator[Origin]:
    """With a place for the files of this test alone."""
    bitsd.downloads = tmp_path / "downloads"
    bitsd.downloads.mkdir()
    async with Origin() as server:
        yield server


def part_of(bitsd: Bitsd) -> Path:
    (name,) = bitsd.leftovers()
    return bitsd.downloads / name


async def suspended(bitsd: Bitsd, origin: Origin) -> tuple[Document, Script]:
    """A job with 200 000 of 500 000 bytes that waits for its owner; the service has let go of the file."""
    file = origin.file("/a", size=500_000, stall_after=200_000)
    job = await bitsd.create(origin.url("/a"))
    await bitsd.until(job, lambda found: found["progress"]["bytes_transferred"] == 200_000)
    await bitsd.act(job, "suspend")
    await is_closed(bitsd)
    return job, file


async def is_closed(bitsd: Bitsd) -> None:
    """Returns when the service has no temporary file open any more, of which nothing else tells."""
    descriptors = Path(f"/proc/{bitsd.pid}/fd")
    while True:
        names = set()
        for link in descriptors.iterdir():
            with suppress(FileNotFoundError):
                names.add(os.path.dirname(os.readlink(link)))
        if str(bitsd.downloads) not in names:
            return
        await asyncio.sleep(0.01)


async def finishes(bitsd: Bitsd, job: Document, file: Script) -> None:
    await bitsd.wait(job, "TRANSFERRED")
    assert (await bitsd.act(job, "complete"))["result"] == "S_OK"
    assert Path(bitsd.target("/a")).read_bytes() == file.content.read()


async def fails(bitsd: Bitsd, job: Document, code: int, path: Path | str) -> None:
    """The job is in ERROR, and its error says which local file would not do, and why."""
    error = (await bitsd.wait(job, "ERROR"))["error"]
    assert error["context"] == "LOCAL_FILE", error
    names_it(error["message"], code, path)


def names_it(message: str, code: int, path: Path | str) -> None:
    assert f"({errno.errorcode[code]})" in message or code == errno.ESTALE, message
    assert str(path) in message


def edit(part: Path) -> None:
    with part.open("r+b") as file:
        file.write(b"not from the server")


def edit_the_end(part: Path) -> None:
    with part.open("r+b") as file:
        file.seek(199_990)
        file.write(b"not from the server")


def replace(part: Path) -> None:
    part.unlink()
    part.write_bytes(b"x" * 200_000)


def swap(part: Path) -> None:
    """What an editor does: a new file takes the name of the old one."""
    other = part.with_name("other")
    other.write_bytes(b"x" * 200_000)
    other.rename(part)


def zero(part: Path) -> None:
    os.truncate(part, 0)
    os.truncate(part, 200_000)


def to_link(part: Path) -> None:
    part.rename(part.with_name("precious"))
    part.symlink_to("precious")


def to_second_name(part: Path) -> None:
    part.with_name("precious").hardlink_to(part)


def to_pipe(part: Path) -> None:
    part.unlink()
    os.mkfifo(part)


TAMPERINGS: list[Callable[[Path], None]] = [
    Path.unlink,
    lambda part: os.truncate(part, 100_000),
    lambda part: os.truncate(part, 0),
    zero,
    edit,
    edit_the_end,
    replace,
    swap,
    to_link,
    to_second_name,
    to_pipe,
]


@pytest.mark.parametrize("tamper", TAMPERINGS)
async def test_what_somebody_did_to_a_suspended_file_does_not_get_into_the_result(
    bitsd: Bitsd, origin: Origin, tamper: Callable[[Path], None]
) -> None:
    job, file = await suspended(bitsd, origin)
    tamper(part_of(bitsd))
    await bitsd.act(job, "resume")
    await finishes(bitsd, job, file)
    precious = bitsd.downloads / "precious"
    assert not precious.exists() or precious.read_bytes() == file.content.read(0, 200_000)
    assert origin.ranges("/a") == [None, None]


async def test_a_file_that_nobody_touched_goes_on_where_it_was_even_after_a_restart(tmp_path: Path) -> None:
    async with Origin() as origin, Bitsd(tmp_path) as bitsd:
        job, file = await suspended(bitsd, origin)
        await bitsd.kill()
        await bitsd.start()
        await bitsd.act(job, "resume")
        await finishes(bitsd, job, file)
        assert origin.ranges("/a") == [None, "bytes=200000-"]


@pytest.mark.parametrize("tamper", TAMPERINGS)
async def test_what_somebody_did_to_a_finished_file_is_not_published(
    bitsd: Bitsd, origin: Origin, tamper: Callable[[Path], None]
) -> None:
    file = origin.file("/a", size=200_000)
    job = await bitsd.wait(await bitsd.create(origin.url("/a")), "TRANSFERRED")
    part = part_of(bitsd)
    tamper(part)
    if tamper is to_second_name:
        return await finishes(bitsd, job, file)  # the same bytes, under one name more
    status, problem = await bitsd.call("POST", f"/v1/jobs/{job['id']}/complete")
    code = errno.ENOENT if tamper is Path.unlink else errno.ESTALE
    assert (status, problem["errno"], problem["path"]) == (409, errno.errorcode[code], str(part)), problem
    await fails(bitsd, job, code, part)
    assert not Path(bitsd.target("/a")).exists()
    await bitsd.act(job, "resume")
    return await finishes(bitsd, job, file)


async def test_a_directory_in_the_way_is_an_error_until_it_is_gone(bitsd: Bitsd, origin: Origin) -> None:
    job, file = await suspended(bitsd, origin)
    part = part_of(bitsd)
    part.unlink()
    part.mkdir()
    await bitsd.act(job, "resume")
    await fails(bitsd, job, errno.EISDIR, part)
    part.rmdir()
    await bitsd.act(job, "resume")
    await bitsd.wait(job, "TRANSFERRED")
    target = Path(bitsd.target("/a"))
    target.mkdir()
    status, problem = await bitsd.call("POST", f"/v1/jobs/{job['id']}/complete")
    assert (status, problem["errno"], problem["path"]) == (409, "EISDIR", str(target)), problem
    assert (await bitsd.job(job))["state"] == "TRANSFERRED"
    target.rmdir()
    await finishes(bitsd, job, file)


async def test_a_vanished_directory_is_an_error_of_its_job_alone(bitsd: Bitsd, origin: Origin, tmp_path: Path) -> None:
    job, file = await suspended(bitsd, origin)
    part = part_of(bitsd)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.rmtree(bitsd.downloads)
    other = {"remote_name": origin.url("/b"), "local_name": str(elsewhere / "b")}
    beside = origin.file("/b", size=1000)
    await bitsd.act(job, "resume")
    await fails(bitsd, job, errno.ENOENT, part)
    healthy = await bitsd.ok("POST", "/v1/jobs", {"display_name": "b", "files": [other], "resume": True})
    await bitsd.wait(healthy, "TRANSFERRED")
    await bitsd.act(healthy, "complete")
    assert (elsewhere / "b").read_bytes() == beside.content.read()
    bitsd.downloads.mkdir()
    await bitsd.act(job, "resume")
    await finishes(bitsd, job, file)


async def test_a_file_larger_than_the_disk_is_refused_before_its_first_byte(bitsd: Bitsd, origin: Origin) -> None:
    origin.file("/huge", size=1 << 50)
    file = origin.file("/a", size=500_000)
    job = await bitsd.create(origin.url("/huge"))
    await fails(bitsd, job, errno.ENOSPC, bitsd.downloads)
    part = part_of(bitsd)
    assert f"{1 << 50} more bytes are needed" in (await bitsd.job(job))["error"]["message"]
    assert (part.stat().st_size, part.stat().st_blocks) == (0, 0)
    await finishes(bitsd, await bitsd.create(origin.url("/a")), file)


async def test_a_disk_that_fills_up_is_an_error_and_the_bytes_on_it_are_used_when_there_is_room(
    tmp_path: Path,
) -> None:
    with small_disk(tmp_path / "disk") as disk:
        async with Origin() as origin, Bitsd(tmp_path) as bitsd:
            bitsd.downloads = disk.path
            file = origin.file("/a", size=3 * SIZE, framing="chunked")
            job = await bitsd.create(origin.url("/a"))
            await fails(bitsd, job, disk.full, disk.path)
            assert SIZE // 2 <= (await bitsd.job(job))["progress"]["bytes_transferred"] <= SIZE
            if not disk.is_mounted:
                return  # the limit is the service's own for as long as it lives
            disk.grow()
            await bitsd.act(job, "resume")
            await finishes(bitsd, job, file)
            assert origin.ranges("/a")[1] is not None


async def test_a_disk_that_became_read_only_is_an_error_and_nothing_is_lost() -> None:
    with public_home() as home, small_disk(home / "disk") as disk:
        disk.path.chmod(0o777)
        async with Origin() as origin, Bitsd(home) as bitsd, asker(bitsd, OTHER_USER) as user:
            bitsd.downloads = disk.path
            origin.file("/a", size=500_000, stall_after=200_000)
            file = {"remote_name": origin.url("/a"), "local_name": bitsd.target("/a")}
            job = await user.ok("POST", "/v1/jobs", {"display_name": "a", "files": [file], "resume": True})
            await origin.stalled.wait()
            await user.ok("POST", f"/v1/jobs/{job['id']}/suspend")
            await is_closed(bitsd)
            disk.freeze()
            await user.ok("POST", f"/v1/jobs/{job['id']}/resume")
            job = await user.ok("GET", f"/v1/jobs/{job['id']}/wait?until=ERROR,TRANSFERRED")
            if disk.is_mounted:
                names_it(job["error"]["message"], errno.EROFS, part_of(bitsd))
                assert job["error"]["context"] == "LOCAL_FILE"
                assert part_of(bitsd).stat().st_size == 200_000


async def test_a_directory_that_was_closed_to_its_user_is_access_denied() -> None:
    with public_home() as home:
        async with Origin() as origin, Bitsd(home) as bitsd, asker(bitsd, OTHER_USER) as user:
            bitsd.downloads.chmod(0o777)
            content = origin.file("/a", size=1000).content.read()
            file = {"remote_name": origin.url("/a"), "local_name": bitsd.target("/a")}
            job = await user.ok("POST", "/v1/jobs", {"display_name": "a", "files": [file]})
            path = f"/v1/jobs/{job['id']}"
            bitsd.downloads.chmod(0o555)
            await user.ok("POST", f"{path}/resume")
            job = await user.ok("GET", f"{path}/wait?until=ERROR,TRANSFERRED")
            assert (job["error"]["code"], job["error"]["hresult"]) == ("E_ACCESSDENIED", "0x80070005")
            names_it(job["error"]["message"], errno.EACCES, bitsd.downloads)
            bitsd.downloads.chmod(0o777)
            await user.ok("POST", f"{path}/resume")
            await user.ok("GET", f"{path}/wait?until=TRANSFERRED")
            bitsd.downloads.chmod(0o555)
            status, problem = await user.call("POST", f"{path}/complete")
            assert (status, problem["errno"], problem["path"]) == (403, "EACCES", bitsd.target("/a"))
            bitsd.downloads.chmod(0o777)
            await user.ok("POST", f"{path}/complete")
            assert Path(bitsd.target("/a")).read_bytes() == content


async def test_cancel_gives_back_the_room_that_was_taken(bitsd: Bitsd, origin: Origin) -> None:
    origin.file("/a", size=50_000_000, stall_after=1000)
    job = await bitsd.create(origin.url("/a"))
    await bitsd.until(job, lambda found: found["progress"]["bytes_transferred"] == 1000)
    await bitsd.act(job, "suspend")
    part = part_of(bitsd)
    assert part.stat().st_blocks * 512 >= 50_000_000
    await bitsd.act(job, "cancel")
    assert bitsd.leftovers() == []
