"""No more files, no more threads: the one request fails, everybody else goes on, and afterwards all is as before."""

import asyncio
import json
import os
import resource
import signal
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.acceptance.raw import Answer, parsed, request, send
from tests.bent import Bent, logged
from tests.origin import Origin
from tests.process import Bitsd, Document

FILES = 64
SETTINGS = {"BITSD_TRANSFER__STALL_TIMEOUT": "60"}


class Guest:
    """A client that keeps its connection."""

    def __init__(self, bitsd: Bitsd) -> None:
        self._bitsd = bitsd

    async def ask(self, path: str = "/v1", body: Document | None = None) -> Answer:
        """GET, or POST with a body; status 0 when the connection was closed without a word."""
        try:
            data = None if body is None else json.dumps(body).encode()
            self._writer.write(request("GET" if data is None else "POST", path, data, Connection="keep-alive"))
            await self._writer.drain()
        except ConnectionError:
            pass  # what was said before is still there to be read
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
            return parsed(head + await self._reader.readexactly(int(parsed(head).headers["content-length"])))
        except (ConnectionError, asyncio.IncompleteReadError):
            return Answer()

    async def document(self, path: str, body: Document | None = None) -> Document:
        answer = await self.ask(path, body)
        assert answer.status in {200, 201}, answer
        return answer.document

    def leave(self) -> None:
        self._writer.close()

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_unix_connection(self._bitsd.socket)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()


async def fill(bitsd: Bitsd) -> tuple[list[Guest], Answer]:
    """Connections until one is turned away: those that are served, and what the last one was told."""
    guests: list[Guest] = []
    while True:
        guest = await Guest(bitsd).__aenter__()
        answer = await guest.ask()
        if answer.status != 200:
            guest.leave()
            return guests, answer
        guests.append(guest)
        assert len(guests) < FILES


async def crowd_is_turned_away(bitsd: Bitsd) -> None:
    """Many more callers, silent ones and such with a request: all are told so, or at least not kept waiting."""
    async with asyncio.timeout(5):
        silent = await asyncio.gather(*(send(bitsd, b"") for _ in range(30)))
        assert [answer.flaw(503, "SERVICE_UNAVAILABLE") for answer in silent] == [""] * 30
        asking = await asyncio.gather(*(send(bitsd, request("GET", "/v1/jobs")) for _ in range(30)))
        assert {answer.status for answer in asking} <= {503, 0}


async def until_served(bitsd: Bitsd) -> None:
    """The service notices a moment later that somebody has left: nothing tells when."""
    async with asyncio.timeout(10):
        while True:
            if (await send(bitsd, request("GET", "/v1"))).status == 200:
                return


async def test_callers_beyond_the_room_are_turned_away_and_everybody_else_goes_on(tmp_path: Path) -> None:
    async with Origin() as origin, Bent(tmp_path, BENT_FILES=str(FILES), **SETTINGS) as bitsd:
        file = origin.file("/big", size=1_500_000, rate=20_000)
        job = await bitsd.create(origin.url("/big"))
        await bitsd.until(job, lambda found: found["progress"]["bytes_transferred"] > 0)

        guests, refused = await fill(bitsd)
        assert not refused.flaw(503, "SERVICE_UNAVAILABLE")
        assert "too many open files" in refused.document["detail"]
        assert refused.headers["connection"] == "close"
        await crowd_is_turned_away(bitsd)
        assert (await guests[0].ask()).status == 200

        origin.file("/new", size=1000)
        name = {"remote_name": origin.url("/new"), "local_name": bitsd.target("/new")}
        new = await guests[1].document("/v1/jobs", {"display_name": "new", "files": [name], "resume": True})
        found = await guests[1].document(f"/v1/jobs/{new['id']}/wait?until=TRANSFERRED,ERROR&timeout=30")
        assert found["state"] == "TRANSFERRED"  # some were left for it
        file.rate = None
        found = await guests[-1].document(f"/v1/jobs/{job['id']}/wait?until=TRANSFERRED,ERROR&timeout=30")
        assert found["state"] == "TRANSFERRED"
        for guest in guests:
            guest.leave()
        await until_served(bitsd)
        assert await bitsd.moves(job) == ["QUEUED", "TRANSFERRING", "TRANSFERRED"]
        await bitsd.act(job, "complete")
        assert Path(bitsd.target("/big")).read_bytes() == file.content.read()
        assert bitsd.log.count("turns callers away") == 1
        assert "Traceback" not in bitsd.log


async def test_without_any_descriptor_callers_are_turned_away_and_all_is_well_afterwards(tmp_path: Path) -> None:
    async with Bent(tmp_path, **SETTINGS) as bitsd:
        job = await bitsd.create(resume=False)
        resource.prlimit(bitsd.pid, resource.RLIMIT_NOFILE, (FILES, FILES))  # lower than what it was told at its start
        guests, _ = await fill(bitsd)
        assert len(os.listdir(f"/proc/{bitsd.pid}/fd")) >= FILES - 1
        await crowd_is_turned_away(bitsd)
        changed = await guests[0].document(f"/v1/jobs/{job['id']}")
        assert changed == job
        for guest in guests:
            guest.leave()
        await until_served(bitsd)
        await bitsd.act(job, "cancel")
        assert bitsd.log.count("turns callers away") == 1
        assert "Traceback" not in bitsd.log


async def test_when_not_even_a_refusal_is_possible_callers_wait_and_are_served_later(tmp_path: Path) -> None:
    async with Bent(tmp_path, **SETTINGS) as bitsd:
        most = resource.prlimit(bitsd.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(bitsd.pid, resource.RLIMIT_NOFILE, (3, most[1]))
        waiting = asyncio.ensure_future(send(bitsd, request("GET", "/v1")))
        await logged(bitsd, "turns callers away")
        resource.prlimit(bitsd.pid, resource.RLIMIT_NOFILE, most)
        assert (await waiting).status == 200
        assert bitsd.log.count("turns callers away") == 1


async def test_without_threads_the_request_fails_and_the_service_lives(tmp_path: Path) -> None:
    shortage = tmp_path / "no-threads"
    async with Origin() as origin, Bent(tmp_path, BENT_THREADS=str(shortage), **SETTINGS) as bitsd:
        file = origin.file("/a", size=1000)
        shortage.touch()
        body = {"display_name": "a", "files": [{"remote_name": origin.url("/a"), "local_name": bitsd.target("/a")}]}
        status, _ = await bitsd.call("POST", "/v1/jobs", body)
        assert status in {500, 503}
        assert (await bitsd.call("GET", "/v1"))[0] == 200
        assert (await bitsd.ok("GET", "/v1/jobs"))["jobs"] == []
        shortage.unlink()
        job = await bitsd.wait(await bitsd.create(origin.url("/a")), "TRANSFERRED")
        await bitsd.act(job, "complete")
        assert Path(bitsd.target("/a")).read_bytes() == file.content.read()


async def test_a_stop_needs_no_new_thread(tmp_path: Path) -> None:
    shortage = tmp_path / "no-threads"
    async with Origin() as origin, Bent(tmp_path, BENT_THREADS=str(shortage), **SETTINGS) as bitsd:
        origin.file("/a", size=1000, stall_after=10, stall_times=-1)
        job = await bitsd.create(origin.url("/a"))
        await origin.stalled.wait()
        shortage.touch()
        async with asyncio.timeout(6):
            assert await bitsd.signal(signal.SIGTERM) == 0
        assert "Traceback" not in bitsd.log
        shortage.unlink()
        await bitsd.start()
        assert (await bitsd.job(job))["state"] in {"QUEUED", "TRANSFERRING"}


async def test_a_transfer_that_finds_no_thread_is_tried_again(tmp_path: Path) -> None:
    shortage = tmp_path / "no-threads"
    async with Origin() as origin, Bent(tmp_path, BENT_THREADS=str(shortage), **SETTINGS) as bitsd:
        origin.file("/a", size=1000)
        job = await bitsd.create(origin.url("/a"), resume=False, minimum_retry_delay=1)
        await bitsd.kill()  # the next one has no thread for files yet
        await bitsd.start()
        shortage.touch()
        await bitsd.act(job, "resume")
        await bitsd.wait(job, "TRANSIENT_ERROR")
        shortage.unlink()
        await bitsd.wait(job, "TRANSFERRED")


async def test_a_transfer_that_finds_no_descriptor_is_tried_again(tmp_path: Path) -> None:
    async with Origin() as origin, Bent(tmp_path, **SETTINGS) as bitsd:
        origin.file("/a", size=1000)
        job = await bitsd.create(origin.url("/a"), resume=False, minimum_retry_delay=1)
        resource.prlimit(bitsd.pid, resource.RLIMIT_NOFILE, (FILES, FILES))
        guests, _ = await fill(bitsd)
        assert (await guests[0].ask(f"/v1/jobs/{job['id']}/resume", {})).status == 200
        await guests[0].document(f"/v1/jobs/{job['id']}/wait?until=TRANSIENT_ERROR&timeout=30")
        for guest in guests:
            guest.leave()
        await until_served(bitsd)
        await bitsd.wait(job, "TRANSFERRED")
        assert "ERROR" not in await bitsd.moves(job)
