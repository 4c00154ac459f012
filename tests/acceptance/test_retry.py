"""Errors and retries through the socket."""

import asyncio
from pathlib import Path

from tests.origin import Origin
from tests.process import Bitsd, Document


def soon() -> asyncio.Timeout:
    """Long for a busy machine, and far below every delay and timeout that must not be waited for here."""
    return asyncio.timeout(5)


async def error_of(bitsd: Bitsd, job: Document) -> Document:
    found: Document = (await bitsd.job(job))["error"]
    return found


async def test_a_500_is_a_transient_error_at_once_and_timeout_0_makes_it_final(tmp_path: Path) -> None:
    async with Origin() as origin, Bitsd(tmp_path) as bitsd:
        origin.file("/busy", size=10, statuses=[500] * 1000)
        async with soon():
            job = await bitsd.wait(await bitsd.create(origin.url("/busy")), "TRANSIENT_ERROR")
        assert job["error"]["hresult"] == "0x801901F4"
        assert job["error"]["code"] == "BG_E_HTTP_ERROR_500"
        assert job["error"]["http_status"] == 500
        assert job["error"]["transient"] is True
        assert job["error_count"] == 1
        assert job["waiting"]["reason"] == "retry_delay"
        assert job["waiting"]["until"] > job["times"]["modified"]
        seq = (await bitsd.ok("GET", "/v1/events"))["seq"]
        async with soon():
            await bitsd.ok("PATCH", f"/v1/jobs/{job['id']}", {"no_progress_timeout": 0})
            final = await bitsd.wait(job, "ERROR")
            events = await bitsd.ok("GET", f"/v1/events?after={seq}&types=JOB_ERROR&wait=5")
        assert [event["job_id"] for event in events["events"]] == [job["id"]]
        assert final["error"]["hresult"] == "0x801901F4"
        assert final["waiting"] is None


async def test_a_404_is_an_error_at_once_naming_the_file(tmp_path: Path) -> None:
    async with Origin() as origin, Bitsd(tmp_path) as bitsd:
        job = await bitsd.wait(await bitsd.create(origin.url("/gone")), "ERROR")
        error = job["error"]
        assert (error["hresult"], error["context"], error["file_index"]) == ("0x80190194", "REMOTE_FILE", 0)
        assert error["remote_name"] == origin.url("/gone")
        assert error["transient"] is False
        assert await bitsd.moves(job) == ["QUEUED", "TRANSFERRING", "ERROR"]


async def test_a_404_among_files_stops_the_job_and_complete_keeps_the_finished_ones(tmp_path: Path) -> None:
    async with Origin() as origin, Bitsd(tmp_path, BITSD_TRANSFER__CONNECTIONS_PER_JOB="1") as bitsd:
        first = origin.file("/1", size=5000)
        origin.file("/3", size=5000)
        job = await bitsd.wait(await bitsd.create(*map(origin.url, ("/1", "/2", "/3"))), "ERROR")
        assert job["error"]["file_index"] == 1
        assert job["progress"]["files_transferred"] == 1
        assert origin.ranges("/3") == []
        done = await bitsd.act(job, "complete")
        assert (done["state"], done["result"]) == ("ACKNOWLEDGED", "BG_S_PARTIAL_COMPLETE")
        assert Path(bitsd.target("/1")).read_bytes() == first.content.read()
        assert sorted(path.name for path in bitsd.downloads.iterdir()) == ["1"]


async def test_cancel_does_not_wait_for_a_silent_server(tmp_path: Path) -> None:
    async with Origin() as origin, Bitsd(tmp_path, BITSD_TRANSFER__STALL_TIMEOUT="60") as bitsd:
        origin.file("/silent", size=1000, stall_after=-1)
        job = await bitsd.create(origin.url("/silent"))
        await origin.stalled.wait()
        async with soon():
            assert (await bitsd.act(job, "cancel"))["state"] == "CANCELLED"
        assert list(bitsd.downloads.iterdir()) == []


async def test_resume_from_a_transient_error_tries_at_once(tmp_path: Path) -> None:
    async with Origin() as origin, Bitsd(tmp_path) as bitsd:
        origin.file("/a", size=1000, statuses=[503])
        job = await bitsd.wait(await bitsd.create(origin.url("/a")), "TRANSIENT_ERROR")
        async with soon():
            assert (await bitsd.act(job, "resume"))["state"] == "QUEUED"
            await bitsd.wait(job, "TRANSFERRED")


async def test_a_retry_comes_by_itself_after_the_delay(tmp_path: Path) -> None:
    async with Origin() as origin, Bitsd(tmp_path) as bitsd:
        origin.file("/a", size=1000, statuses=[503, 503])
        job = await bitsd.create(origin.url("/a"), minimum_retry_delay=1)
        job = await bitsd.wait(job, "TRANSFERRED")
        assert job["error_count"] == 2
        tries = ["QUEUED", "TRANSFERRING", "TRANSIENT_ERROR"]
        assert await bitsd.moves(job) == [*tries, *tries, "QUEUED", "TRANSFERRING", "TRANSFERRED"]


async def test_a_retry_waits_as_long_as_the_server_asks(tmp_path: Path) -> None:
    async with Origin() as origin, Bitsd(tmp_path) as bitsd:
        origin.file("/a", size=1000, statuses=[429], retry_after="3600")
        job = await bitsd.create(origin.url("/a"), minimum_retry_delay=1)
        job = await bitsd.wait(job, "TRANSIENT_ERROR")
        assert job["waiting"]["reason"] == "retry_after"


async def test_a_silent_socket_is_noticed_within_the_stall_timeout(tmp_path: Path) -> None:
    async with Origin() as origin, Bitsd(tmp_path, BITSD_TRANSFER__STALL_TIMEOUT="1") as bitsd:
        origin.file("/a", size=100_000, stall_after=40_000, stall_times=-1)
        async with asyncio.timeout(15):
            job = await bitsd.wait(await bitsd.create(origin.url("/a")), "TRANSIENT_ERROR")
        assert job["error"]["code"] == "ERROR_WINHTTP_TIMEOUT"
        assert job["progress"]["bytes_transferred"] == 40_000


async def test_a_server_that_is_not_there_is_a_transient_error(tmp_path: Path) -> None:
    async with Origin() as origin:
        url = origin.url("/a")
    async with Bitsd(tmp_path) as bitsd:
        job = await bitsd.wait(await bitsd.create(url), "TRANSIENT_ERROR")
        assert (job["error"]["code"], job["error"]["context"]) == ("BG_E_CONNECT_FAILURE", "GENERAL_TRANSPORT")


async def test_the_no_progress_clock_survives_a_kill(tmp_path: Path) -> None:
    async with Origin() as origin, Bitsd(tmp_path) as bitsd:
        origin.file("/a", size=10, statuses=[500] * 100)
        job = await bitsd.create(origin.url("/a"), no_progress_timeout=3, minimum_retry_delay=1)
        await bitsd.wait(job, "TRANSIENT_ERROR")
        await bitsd.kill()
        await bitsd.start()
        async with asyncio.timeout(15):
            job = await bitsd.wait(job, "ERROR")
        assert job["error"]["hresult"] == "0x801901F4"


async def test_the_maximum_download_time_ends_a_job(tmp_path: Path) -> None:
    async with Origin() as origin, Bitsd(tmp_path) as bitsd:
        origin.file("/a", size=1_000_000, rate=1000)
        job = await bitsd.create(origin.url("/a"), maximum_download_time=1)
        job = await bitsd.wait(job, "ERROR")
        assert job["error"]["hresult"] == "0x80200054"


async def test_wrong_bytes_are_fetched_once_more_and_then_an_error(tmp_path: Path) -> None:
    async with Origin() as origin, Bitsd(tmp_path) as bitsd:
        wrong = {"sha-256": "0" * 64}
        origin.file("/a", size=1000)
        file = {"remote_name": origin.url("/a"), "local_name": bitsd.target("/a"), "digest": wrong}
        job = await bitsd.ok("POST", "/v1/jobs", {"display_name": "a", "files": [file], "resume": True})
        job = await bitsd.wait(job, "ERROR")
        assert job["error"]["code"] == "BG_E_VALIDATION_FAILED"
        assert len(origin.ranges("/a")) == 2
        assert job["progress"]["bytes_transferred"] == 0
