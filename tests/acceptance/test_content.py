"""Reading a file through the socket while it is fetched: early, in parts, one version of it or a broken connection."""

import asyncio
import os
import select
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.acceptance.raw import asker, parsed, public_home, request, send
from tests.origin import Origin
from tests.process import Bitsd, Document

CHUNK = 1 << 16
HALF = 8 * CHUNK
SIZE = 2 * HALF
EARLY = HALF - CHUNK
"""So much of a file has landed at least when its server is silent after the half."""
BIG = 64 * CHUNK
"""More than fits into the buffers between the service and a client that does not read."""
SETTINGS = {"BITSD_TRANSFER__CHUNK_SIZE": str(CHUNK), "BITSD_TRANSFER__STALL_TIMEOUT": "600"}
NOBODY = 65534

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bitsd(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bitsd]:
    async with Bitsd(tmp_path_factory.mktemp("content"), **SETTINGS) as service:
        yield service


@pytest_asyncio.fixture(loop_scope="module")
async def origin() -> AsyncIterator[Origin]:
    async with Origin() as made:
        yield made


def path_of(job: Document, index: int = 0) -> str:
    return f"/v1/jobs/{job['id']}/files/{index}/content"


@asynccontextmanager
async def reading(bitsd: Bitsd, job: Document, **fields: str) -> AsyncIterator[aiohttp.ClientResponse]:
    """A reply whose body is read as far as the block wants."""
    timeout = aiohttp.ClientTimeout(total=60)
    headers = {name.replace("_", "-"): value for name, value in fields.items()}
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(bitsd.socket), timeout=timeout) as session,
        session.get(f"http://bitsd{path_of(job)}", headers=headers) as response,
    ):
        yield response


async def content(bitsd: Bitsd, job: Document, **fields: str) -> bytes:
    """The whole body; fails when it breaks off."""
    async with reading(bitsd, job, **fields) as response:
        assert response.status in {200, 206}, await response.read()
        return await response.read()


async def is_cut(response: aiohttp.ClientResponse) -> bool:
    """The rest of the body does not come to an orderly end."""
    try:
        await response.read()
    except aiohttp.ClientError:
        return True
    return False


async def stalled(bitsd: Bitsd, origin: Origin, name: str, **options: Any) -> Document:  # noqa: ANN401 - of a Script
    """A running job whose server went silent after half the file, and will behave the next time."""
    origin.stalled.clear()
    file = {"remote_name": origin.url(name), "local_name": bitsd.target(name), "digest": options.pop("digest", None)}
    origin.file(name, **{"size": SIZE, "stall_after": HALF} | options)
    job = await bitsd.ok("POST", "/v1/jobs", {"display_name": "a", "files": [file], "resume": True})
    await origin.stalled.wait()
    return await bitsd.until(job, lambda found: found["progress"]["bytes_transferred"] >= EARLY)


async def suspended(bitsd: Bitsd, origin: Origin, name: str, **options: Any) -> Document:  # noqa: ANN401
    """The same job, suspended."""
    return await bitsd.act(await stalled(bitsd, origin, name, **options), "suspend")


async def transferred(bitsd: Bitsd, origin: Origin, name: str, **options: Any) -> Document:  # noqa: ANN401
    origin.file(name, **{"size": SIZE} | options)
    return await bitsd.wait(await bitsd.create(origin.url(name)), "TRANSFERRED")


def served(origin: Origin, name: str) -> bytes:
    return origin.scripts[name].content.read()


async def test_bytes_come_while_the_job_runs_and_the_rest_when_it_lands(bitsd: Bitsd, origin: Origin) -> None:
    job = await stalled(bitsd, origin, "/live")
    async with reading(bitsd, job) as response:
        first = await response.content.readexactly(EARLY)
        assert (await bitsd.job(job))["state"] == "TRANSFERRING"
        assert (response.status, response.content_length) == (200, SIZE)
        assert response.content_type == "application/octet-stream"
        await bitsd.act(job, "suspend")
        await bitsd.act(job, "resume")
        rest = await response.read()
    assert first + rest == served(origin, "/live")


async def test_a_reader_may_be_there_before_the_first_byte(bitsd: Bitsd, origin: Origin) -> None:
    origin.file("/first", size=SIZE)
    job = await bitsd.create(origin.url("/first"), resume=False)
    async with asyncio.TaskGroup() as group:
        readers = [group.create_task(content(bitsd, job)) for _ in range(3)]
        ranged = group.create_task(content(bitsd, job, Range="bytes=5-9"))
        await bitsd.act(job, "resume")
    whole = served(origin, "/first")
    assert [reader.result() for reader in readers] == [whole] * 3
    assert ranged.result() == whole[5:10]


async def test_what_a_suspended_or_failed_job_has_is_read_and_a_resume_brings_the_rest(
    bitsd: Bitsd, origin: Origin
) -> None:
    job = await suspended(bitsd, origin, "/kept", statuses=[])
    async with reading(bitsd, job) as response:
        first = await response.content.readexactly(EARLY)
        origin.scripts["/kept"].statuses = [404]
        await bitsd.act(job, "resume")
        await bitsd.wait(job, "ERROR")
        await bitsd.act(job, "resume")
        assert first + await response.read() == served(origin, "/kept")


async def test_nobody_waits_for_a_slow_reader_not_even_complete(bitsd: Bitsd, origin: Origin) -> None:
    job = await transferred(bitsd, origin, "/slow", size=BIG)
    async with reading(bitsd, job) as slow:
        first = await slow.content.readexactly(10)
        assert await content(bitsd, job) == served(origin, "/slow")
        done = await bitsd.act(job, "complete")
        assert (done["state"], done["result"]) == ("ACKNOWLEDGED", "S_OK")
        assert first + await slow.read() == served(origin, "/slow")


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ("bytes=0-", (0, SIZE)),
        ("bytes=10-19", (10, 20)),
        (f"bytes={SIZE - 1}-", (SIZE - 1, SIZE)),
        (f"bytes={HALF}-{9 * SIZE}", (HALF, SIZE)),
        ("bytes=-7", (SIZE - 7, SIZE)),
        ("bytes=0-1,5-6", None),
        ("bytes=9-5", None),
        ("nonsense", None),
    ],
)
async def test_a_range_of_a_finished_file(
    bitsd: Bitsd, origin: Origin, value: str, part: tuple[int, int] | None
) -> None:
    job = await transferred(bitsd, origin, "/ranges")
    start, end = part or (0, SIZE)
    async with reading(bitsd, job, Range=value) as response:
        assert response.status == (206 if part else 200)
        assert response.headers["Accept-Ranges"] == "bytes"
        assert response.headers.get("Content-Range") == (f"bytes {start}-{end - 1}/{SIZE}" if part else None)
        assert await response.read() == served(origin, "/ranges")[start:end]


async def test_a_range_that_has_not_landed_is_waited_for(bitsd: Bitsd, origin: Origin) -> None:
    job = await stalled(bitsd, origin, "/tail")
    async with reading(bitsd, job, Range="bytes=-100") as last, reading(bitsd, job, Range=f"bytes={HALF}-") as rest:
        assert last.headers["Content-Range"] == f"bytes {SIZE - 100}-{SIZE - 1}/{SIZE}"
        await bitsd.act(job, "suspend")
        await bitsd.act(job, "resume")
        assert await last.read() == served(origin, "/tail")[-100:]
        assert await rest.read() == served(origin, "/tail")[HALF:]


@pytest.mark.parametrize("value", [f"bytes={SIZE}-", "bytes=-0"])
async def test_a_range_outside_the_file_is_refused_with_its_size(bitsd: Bitsd, origin: Origin, value: str) -> None:
    job = await transferred(bitsd, origin, "/outside")
    async with reading(bitsd, job, Range=value) as response:
        assert (response.status, response.headers["Content-Range"]) == (416, f"bytes */{SIZE}")
        assert (await response.json(content_type=None))["code"] == "BG_E_INVALID_RANGE"


async def test_the_head_alone_has_the_size_and_the_version(bitsd: Bitsd, origin: Origin) -> None:
    job = await transferred(bitsd, origin, "/head")
    answer = await send(bitsd, request("HEAD", path_of(job), Range="bytes=0-9"))
    async with reading(bitsd, job) as response:
        etag = response.headers["ETag"]
    assert (answer.status, answer.body) == (200, b"")
    assert (answer.headers["content-length"], answer.headers["etag"]) == (str(SIZE), etag)
    assert (await send(bitsd, request("HEAD", path_of(job, 1)))).status == 404


async def test_a_file_of_unknown_size_is_sent_in_chunks_and_its_ranges_once_they_are_certain(
    bitsd: Bitsd, origin: Origin
) -> None:
    job = await stalled(bitsd, origin, "/chunked", framing="chunked")
    async with (
        asyncio.TaskGroup() as group,
        reading(bitsd, job, Range="bytes=0-") as whole,
        reading(bitsd, job, Range="bytes=9-99") as early,
    ):
        assert (whole.status, whole.headers["Transfer-Encoding"]) == (200, "chunked")
        assert (early.status, early.headers["Content-Range"]) == (206, "bytes 9-99/*")
        last = group.create_task(content(bitsd, job, Range="bytes=-100"))
        old = group.create_task(send(bitsd, request("GET", path_of(job)).replace(b"HTTP/1.1", b"HTTP/1.0")))
        first = await whole.content.readexactly(EARLY)
        assert await early.read() == first[9:100]
        await bitsd.act(job, "suspend")
        await bitsd.act(job, "resume")
        assert first + await whole.read() == served(origin, "/chunked")
    assert last.result() == served(origin, "/chunked")[-100:]
    assert old.result().headers["content-length"] == str(SIZE)
    assert old.result().body == served(origin, "/chunked")


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_a_reader_of_a_file_that_begins_anew_is_cut_off(bitsd: Bitsd, origin: Origin, framing: str) -> None:
    job = await suspended(bitsd, origin, "/anew", framing=framing, change_after=1)
    async with reading(bitsd, job) as response, reading(bitsd, job, Range="bytes=0-") as other:
        etag = response.headers["ETag"]
        old = await response.content.readexactly(EARLY)
        await bitsd.act(job, "resume")
        await bitsd.wait(job, "TRANSFERRED")
        assert await is_cut(response)
        assert await is_cut(other)
    new = served(origin, "/anew")
    assert old != new[:EARLY]
    async with reading(bitsd, job, Range=f"bytes={EARLY}-", If_Range=etag) as response:
        assert response.status == 200
        assert response.headers["ETag"] != etag
        etag = response.headers["ETag"]
        assert await response.read() == new
    assert await content(bitsd, job, Range="bytes=1-", If_Range=etag) == new[1:]


async def test_a_reader_of_a_file_that_its_owner_rejects_is_cut_off(bitsd: Bitsd, origin: Origin) -> None:
    job = await transferred(bitsd, origin, "/rejected", size=BIG)
    async with reading(bitsd, job) as response:
        await bitsd.ok("PATCH", f"/v1/jobs/{job['id']}/files/0", {"validated": False})
        assert await is_cut(response)
    async with asyncio.TaskGroup() as group:
        again = group.create_task(content(bitsd, job))
        await bitsd.act(job, "resume")
    assert again.result() == served(origin, "/rejected")


async def test_nobody_gets_to_the_end_of_a_file_with_a_wrong_digest(bitsd: Bitsd, origin: Origin) -> None:
    job = await stalled(bitsd, origin, "/wrong", digest={"sha-256": "0" * 64})
    async with reading(bitsd, job) as whole, reading(bitsd, job, Range="bytes=-100") as last:
        await bitsd.act(job, "suspend")
        await bitsd.act(job, "resume")
        assert await is_cut(whole)
        assert await is_cut(last)
    assert (await bitsd.wait(job, "ERROR"))["error"]["code"] == "BG_E_VALIDATION_FAILED"


async def test_cancel_cuts_its_readers_off_and_leaves_nothing_to_read(bitsd: Bitsd, origin: Origin) -> None:
    done = await transferred(bitsd, origin, "/done", size=BIG)
    job = await suspended(bitsd, origin, "/dropped")
    async with reading(bitsd, job) as waiting, reading(bitsd, done) as slow:
        await waiting.content.readexactly(EARLY)
        for cancelled in (job, done):
            assert (await bitsd.act(cancelled, "cancel"))["result"] == "S_OK"
        assert await is_cut(waiting)
        assert await is_cut(slow)
    for cancelled in (job, done):
        status, reply = await bitsd.call("GET", path_of(cancelled))
        assert (status, reply["code"], reply["hresult"]) == (410, "CONTENT_GONE", "0xA0D00007")


async def test_cancel_does_not_wait_for_a_client_that_has_stopped_reading(bitsd: Bitsd, origin: Origin) -> None:
    job = await transferred(bitsd, origin, "/held", size=BIG)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(bitsd.socket)
        client.send(request("GET", path_of(job)))
        assert (await asyncio.to_thread(client.recv, 12)).startswith(b"HTTP/1.1 200")
        await bitsd.act(job, "cancel")
        end = select.poll()
        end.register(client, select.POLLRDHUP)
        assert await asyncio.to_thread(end.poll, 20_000)


async def test_a_partial_complete_drops_the_unfinished_file_and_its_readers(bitsd: Bitsd, origin: Origin) -> None:
    job = await suspended(bitsd, origin, "/partial")
    async with reading(bitsd, job) as response:
        await response.content.readexactly(EARLY)
        await bitsd.act(job, "complete")
        assert await is_cut(response)
    assert (await bitsd.call("GET", path_of(job)))[0] == 410


def replace(path: Path) -> None:
    """By another file with the same bytes."""
    other = path.with_suffix(".other")
    other.write_bytes(path.read_bytes())
    other.replace(path)


def lengthen(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def link(path: Path) -> None:
    path.symlink_to(path.rename(path.with_suffix(".moved")))


def make_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("is_complete", [False, True])
@pytest.mark.parametrize("harm", [Path.unlink, replace, lengthen, link, make_fifo])
async def test_a_finished_file_is_read_for_as_long_as_it_is_the_one_that_was_fetched(
    bitsd: Bitsd, origin: Origin, harm: Callable[[Path], None], is_complete: bool
) -> None:
    job = await transferred(bitsd, origin, "/finished")
    if is_complete:
        await bitsd.act(job, "complete")
    assert await content(bitsd, job) == served(origin, "/finished")
    file = (await bitsd.job(job, include="files"))["files"][0]
    harm(Path(file["local_name" if is_complete else "temporary_name"]))
    status, reply = await bitsd.call("GET", path_of(job))
    assert (status, reply["code"]) == (410, "CONTENT_GONE")


async def test_what_does_not_exist_is_not_found(bitsd: Bitsd, origin: Origin) -> None:
    job = await transferred(bitsd, origin, "/there")
    for path, code in ((path_of(job, 1), "BG_E_FILE_NOT_FOUND"), (path_of({"id": "no-such"}), "BG_E_NOT_FOUND")):
        status, reply = await bitsd.call("GET", path)
        assert (status, reply["code"]) == (404, code)


async def test_only_the_owner_reads_not_even_the_administrator(origin: Origin) -> None:
    origin.file("/private", size=SIZE)
    with public_home() as home:
        async with Bitsd(home) as bitsd:
            os.chmod(bitsd.downloads, 0o777)
            async with asker(bitsd, NOBODY) as owner:
                file = {"remote_name": origin.url("/private"), "local_name": bitsd.target("/private")}
                job = await owner.ok("POST", "/v1/jobs", {"display_name": "a", "files": [file], "resume": True})
                await bitsd.wait(job, "TRANSFERRED")
                async with reading(bitsd, job) as response:  # as root: the administrator, to whom the job is shown
                    assert response.status == (403 if os.geteuid() == 0 else 200)
                assert (await bitsd.job(job))["owner"]["uid"] == owner.uid


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_the_end_of_the_service_cuts_every_reader_at_once(
    tmp_path: Path, origin: Origin, number: signal.Signals
) -> None:
    async with Bitsd(tmp_path, **SETTINGS) as bitsd:
        job = await suspended(bitsd, origin, "/stopped")
        done = await transferred(bitsd, origin, "/whole", size=BIG)
        async with reading(bitsd, job) as waiting, reading(bitsd, done) as slow:
            first = await waiting.content.readexactly(EARLY)
            await slow.content.readexactly(10)
            async with asyncio.timeout(5):
                await bitsd.signal(number)
                assert await is_cut(waiting)
                assert await is_cut(slow)
            etag = waiting.headers["ETag"]
        assert "Traceback" not in bitsd.log
        await bitsd.start()
        async with reading(bitsd, job, Range=f"bytes={EARLY}-", If_Range=etag) as response:
            assert response.status == 206
            await bitsd.act(job, "resume")
            assert first + await response.read() == served(origin, "/stopped")


async def test_readers_that_leave_take_nothing_with_them(tmp_path: Path, origin: Origin) -> None:
    async with Bitsd(tmp_path, **SETTINGS) as bitsd:
        job = await suspended(bitsd, origin, "/left")
        before = descriptors(bitsd)
        for _ in range(5):
            async with reading(bitsd, job) as response:
                await response.content.readexactly(EARLY)
        await bitsd.create(resume=False)  # whoever waits looks up now
        await bitsd.until(job, lambda _: descriptors(bitsd) <= before)


def descriptors(bitsd: Bitsd) -> int:
    return len(os.listdir(f"/proc/{bitsd.pid}/fd"))


async def test_a_refused_request_keeps_the_connection(bitsd: Bitsd) -> None:
    reader, writer = await asyncio.open_unix_connection(bitsd.socket)
    wanted = request("GET", path_of({"id": "no-such"})).replace(b"Connection: close\r\n", b"")
    for _ in range(2):
        writer.write(wanted)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(parsed(head).headers["content-length"])
        assert parsed(head).status == 404
        await reader.readexactly(length)
    writer.close()
