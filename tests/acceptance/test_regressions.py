"""What a sceptical reader found once: each of these went wrong before."""

from pathlib import Path

from tests.origin import Origin
from tests.process import Bitsd

ONE_SLOT = {"BITSD_SCHEDULER__BACKGROUND_SLOTS": "1"}


async def test_the_maximum_download_size_is_one_for_the_whole_job(tmp_path: Path) -> None:
    async with Origin() as origin, Bitsd(tmp_path) as bitsd:
        for number in range(4):
            origin.file(f"/{number}", size=100_000)
        urls = [origin.url(f"/{number}") for number in range(4)]
        job = await bitsd.wait(await bitsd.create(*urls, maximum_download_size=250_000), "ERROR")
        assert job["error"]["code"] == "BG_E_MAX_DOWNLOAD_SIZE_LIMIT_REACHED"
        assert (job["error"]["file_index"], job["progress"]["files_transferred"]) == (2, 2)


async def test_bytes_with_the_wrong_digest_are_no_progress(tmp_path: Path) -> None:
    async with Origin() as origin, Bitsd(tmp_path) as bitsd:
        origin.file("/a", size=3_000_000, rate=10_000_000)
        file = {"remote_name": origin.url("/a"), "local_name": bitsd.target("/a"), "digest": {"sha-256": "0" * 64}}
        job = await bitsd.ok("POST", "/v1/jobs", {"display_name": "a", "files": [file], "resume": True})
        job = await bitsd.wait(job, "ERROR")
        assert job["progress"]["bytes_transferred"] == 0


async def test_bytes_that_somebody_appends_to_a_suspended_file_are_not_taken_for_ours(tmp_path: Path) -> None:
    async with Origin() as origin, Bitsd(tmp_path) as bitsd:
        file = origin.file("/a", size=500_000, stall_after=200_000)
        job = await bitsd.create(origin.url("/a"))
        await origin.stalled.wait()
        await bitsd.act(job, "suspend")
        await bitsd.until(job, lambda seen: seen["progress"]["bytes_transferred"] == 200_000)
        with (bitsd.downloads / bitsd.leftovers()[0]).open("ab") as temporary:
            temporary.write(b"not from the server")
        await bitsd.act(job, "resume")
        await bitsd.wait(job, "TRANSFERRED")
        await bitsd.act(job, "complete")
        assert Path(bitsd.target("/a")).read_bytes() == file.content.read()


async def test_a_job_whose_slice_ended_does_not_blame_its_equals_when_a_higher_one_runs(tmp_path: Path) -> None:
    async with Origin() as origin, Bitsd(tmp_path, **ONE_SLOT, BITSD_SCHEDULER__TIME_SLICE="1") as bitsd:
        for name in ("/a", "/b", "/high"):
            origin.file(name, size=10_000_000, rate=200_000)
        jobs = [await bitsd.create(origin.url(name)) for name in ("/a", "/b")]
        await bitsd.wait(jobs[1], "TRANSFERRING")
        await bitsd.create(origin.url("/high"), priority="HIGH")
        for job in jobs:
            await bitsd.until(job, lambda seen: (seen["waiting"] or {}).get("reason") == "slots")


async def test_sizes_of_files_added_while_a_job_runs_are_learnt_too(tmp_path: Path) -> None:
    async with Origin() as origin, Bitsd(tmp_path, BITSD_TRANSFER__CONNECTIONS_PER_JOB="1") as bitsd:
        origin.file("/a", size=1000, stall_after=10)
        origin.file("/b", size=500)
        job = await bitsd.create(origin.url("/a"))
        await origin.stalled.wait()
        file = {"remote_name": origin.url("/b"), "local_name": bitsd.target("/b")}
        await bitsd.ok("POST", f"/v1/jobs/{job['id']}/files", {"files": [file]})
        await bitsd.until(job, lambda seen: seen["progress"]["bytes_total"] == 1500)


async def test_an_attempt_does_not_undo_a_url_that_the_owner_set_meanwhile(tmp_path: Path) -> None:
    async with Origin() as origin, Bitsd(tmp_path) as bitsd:
        origin.file("/from", redirect="/a")
        origin.file("/a", size=100_000, stall_after=-1)
        flags = ["REDIRECT_ALLOW_REPORT"]
        job = await bitsd.create(origin.url("/from"), security_flags=flags, minimum_retry_delay=1)
        await origin.stalled.wait()
        chosen = origin.url("/chosen")
        origin.file("/chosen", size=100_000)
        await bitsd.ok("PATCH", f"/v1/jobs/{job['id']}/files/0", {"remote_name": chosen})
        await bitsd.wait(job, "TRANSFERRED")
        assert (await bitsd.job(job, "files"))["files"][0]["remote_name"] == chosen
