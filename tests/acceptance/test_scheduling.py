"""Who runs when, seen from outside."""

import asyncio
from pathlib import Path

from tests.origin import Origin
from tests.process import Bitsd

LEVELS = ["FOREGROUND", "HIGH", "NORMAL", "LOW"]


async def started(bitsd: Bitsd) -> list[str]:
    """Ids of jobs in the order in which they started transferring, first starts only."""
    order: list[str] = []
    for event in await bitsd.events(types="JOB_STATE"):
        if event["to"] == "TRANSFERRING" and event["job_id"] not in order:
            order.append(event["job_id"])
    return order


async def running(bitsd: Bitsd) -> set[str]:
    jobs = (await bitsd.ok("GET", "/v1/jobs?state=TRANSFERRING&fields=id"))["jobs"]
    return {job["id"] for job in jobs}


async def test_twenty_jobs_of_mixed_priority_start_in_the_order_of_their_levels(tmp_path: Path) -> None:
    async with Origin() as origin, Bitsd(tmp_path, BITSD_SCHEDULER__BACKGROUND_SLOTS="1") as bitsd:
        origin.file("/block", size=1000, stall_after=10, stall_times=-1)
        blocker = await bitsd.create(origin.url("/block"), priority="HIGH")
        await origin.stalled.wait()
        jobs = []
        for number in range(20):
            origin.file(f"/{number}", size=1000)
            level = LEVELS[number % 4]
            jobs.append(await bitsd.create(origin.url(f"/{number}"), priority=level, resume=True))
        for job in jobs[0::4]:
            await bitsd.wait(job, "TRANSFERRED")  # foreground does not wait for the slot
        held = await bitsd.ok("GET", "/v1/jobs?state=QUEUED")
        assert len(held["jobs"]) == 15
        assert {job["waiting"]["reason"] for job in held["jobs"]} == {"slots"}
        raised = jobs[19]
        await bitsd.ok("PATCH", f"/v1/jobs/{raised['id']}", {"priority": "HIGH"})
        await bitsd.act(blocker, "cancel")
        for job in jobs:
            await bitsd.wait(job, "TRANSFERRED")
        order = [job_id for job_id in await started(bitsd) if job_id != blocker["id"]]
        background = [job_id for job_id in order if job_id not in {job["id"] for job in jobs[0::4]}]
        high = [job["id"] for job in jobs[1::4]]
        normal, low = [job["id"] for job in jobs[2::4]], [job["id"] for job in jobs[3::4] if job is not raised]
        assert set(background[:6]) == {*high, raised["id"]}
        assert background[6:] == normal + low


async def test_a_higher_job_pre_empts_a_lower_one_which_keeps_its_bytes(tmp_path: Path) -> None:
    async with Origin() as origin, Bitsd(tmp_path, BITSD_SCHEDULER__BACKGROUND_SLOTS="1") as bitsd:
        slow = origin.file("/low", size=100_000, stall_after=60_000)
        origin.file("/high", size=1000, stall_after=10)
        low = await bitsd.create(origin.url("/low"), priority="LOW")
        await origin.stalled.wait()
        origin.stalled.clear()
        high = await bitsd.create(origin.url("/high"), priority="HIGH")
        await bitsd.wait(high, "TRANSFERRING")
        await origin.stalled.wait()
        waiting = await bitsd.job(low)
        assert (waiting["state"], waiting["waiting"]["reason"]) == ("QUEUED", "slots")
        assert waiting["progress"]["bytes_transferred"] == 60_000
        await bitsd.act(high, "cancel")
        await bitsd.wait(low, "TRANSFERRED")
        assert origin.ranges("/low") == [None, "bytes=60000-"]
        await bitsd.act(low, "complete")
        assert Path(bitsd.target("/low")).read_bytes() == slow.content.read()


async def test_two_equal_jobs_with_a_time_slice_of_a_second_both_progress(tmp_path: Path) -> None:
    settings = {"BITSD_SCHEDULER__BACKGROUND_SLOTS": "1", "BITSD_SCHEDULER__TIME_SLICE": "1"}
    async with Origin() as origin, Bitsd(tmp_path, **settings) as bitsd:
        jobs = []
        for name in ("/a", "/b"):
            origin.file(name, size=10_000_000, rate=200_000)
            jobs.append(await bitsd.create(origin.url(name)))
        first = await bitsd.wait(jobs[0], "TRANSFERRING")
        for job in (jobs[1], first, jobs[1]):
            await bitsd.wait(job, "TRANSFERRING")
            assert await running(bitsd) == {job["id"]}
        yielded = await bitsd.job(jobs[0])
        assert (yielded["state"], yielded["waiting"]["reason"]) == ("QUEUED", "time_slice")
        progress = [(await bitsd.job(job))["progress"]["bytes_transferred"] for job in jobs]
        assert min(progress) > 0
        assert all(request.range or number < 2 for number, request in enumerate(origin.requests))


async def test_a_job_whose_slice_ends_with_nobody_waiting_keeps_running(tmp_path: Path) -> None:
    settings = {"BITSD_SCHEDULER__BACKGROUND_SLOTS": "1", "BITSD_SCHEDULER__TIME_SLICE": "1"}
    async with Origin() as origin, Bitsd(tmp_path, **settings) as bitsd:
        origin.file("/a", size=300_000, rate=100_000)
        job = await bitsd.wait(await bitsd.create(origin.url("/a")), "TRANSFERRED")
        assert await bitsd.moves(job) == ["QUEUED", "TRANSFERRING", "TRANSFERRED"]


async def test_a_job_in_error_or_waiting_out_a_retry_blocks_nobody(tmp_path: Path) -> None:
    async with Origin() as origin, Bitsd(tmp_path, BITSD_SCHEDULER__BACKGROUND_SLOTS="1") as bitsd:
        origin.file("/busy", statuses=[500] * 100)
        origin.file("/fine", size=1000)
        await bitsd.wait(await bitsd.create(origin.url("/busy"), priority="HIGH"), "TRANSIENT_ERROR")
        await bitsd.wait(await bitsd.create(origin.url("/gone"), priority="HIGH"), "ERROR")
        await bitsd.wait(await bitsd.create(origin.url("/fine"), priority="LOW"), "TRANSFERRED")


async def test_files_start_in_order(tmp_path: Path) -> None:
    async with Origin() as origin, Bitsd(tmp_path, BITSD_TRANSFER__CONNECTIONS_PER_JOB="1") as bitsd:
        for number in range(5):
            origin.file(f"/{number}", size=1000)
        job = await bitsd.create(*(origin.url(f"/{number}") for number in range(5)))
        await bitsd.wait(job, "TRANSFERRED")
        gets = [request.path for request in origin.requests if request.method == "GET"]
        assert gets == ["/0", "/1", "/2", "/3", "/4"]


async def test_a_job_has_no_more_files_in_flight_than_the_connections_allow(tmp_path: Path) -> None:
    async with Origin() as origin, Bitsd(tmp_path, BITSD_TRANSFER__CONNECTIONS_PER_JOB="2") as bitsd:
        for number in range(5):
            origin.file(f"/{number}", size=1000, stall_after=-1 if number < 2 else None)
        job = await bitsd.create(*(origin.url(f"/{number}") for number in range(5)), minimum_retry_delay=1)
        await bitsd.wait(job, "TRANSFERRED")
        gets = [request.path for request in origin.requests if request.method == "GET"]
        assert set(gets[:2]) == {"/0", "/1"}  # the first two, and nothing else until a stall had ended
        assert set(gets[2:]) >= {"/2", "/3", "/4"}


async def test_the_size_of_a_job_is_known_long_before_its_files_have_come(tmp_path: Path) -> None:
    async with Origin() as origin, Bitsd(tmp_path, BITSD_TRANSFER__CONNECTIONS_PER_JOB="1") as bitsd:
        for number in range(5):
            origin.file(f"/{number}", size=1000, stall_after=10 if number == 0 else None)
        job = await bitsd.create(*(origin.url(f"/{number}") for number in range(5)))
        async with asyncio.timeout(2):
            job = await bitsd.until(job, lambda seen: seen["progress"]["bytes_total"] is not None)
        assert (job["progress"]["bytes_total"], job["progress"]["files_transferred"]) == (5000, 0)
