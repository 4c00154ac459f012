"""What jumps of the clocks, standby, time zones and a new boot do to the jobs: nothing."""

import signal
import time
from datetime import datetime
from pathlib import Path

import pytest

from tests.bent import Bent
from tests.origin import Origin
from tests.process import Bitsd, Document

YEARS = 10 * 365.25 * 86_400
STANDBY = 100 * 86_400
SETTINGS = {"BITSD_TRANSFER__STALL_TIMEOUT": "60"}
RETRY = 4


async def every_sort(bitsd: Bitsd, origin: Origin) -> list[Document]:
    """One job of each sort that stays as it is: one of them has a connection that gets no byte."""
    origin.file("/done", size=1000)
    origin.file("/stalled", size=1000, stall_after=0, stall_times=-1)
    suspended = await bitsd.create(origin.url("/done"), resume=False)
    failed = await bitsd.wait(await bitsd.create(origin.url("/gone")), "ERROR")
    done = await bitsd.wait(await bitsd.create(origin.url("/done")), "TRANSFERRED")
    final = await bitsd.wait(await bitsd.create(origin.url("/done")), "TRANSFERRED")
    await bitsd.act(final, "complete")
    running = await bitsd.create(origin.url("/stalled"))
    await bitsd.until(running, lambda seen: seen["progress"]["bytes_total"] is not None)
    return [await bitsd.job(job) for job in (suspended, failed, done, final, running)]


async def seen(bitsd: Bitsd, jobs: list[Document]) -> tuple[list[Document], list[Document]]:
    """The jobs and the events of these jobs."""
    found = [await bitsd.job(job) for job in jobs]
    for job in found:
        job["progress"] = {**job["progress"], "bytes_total": None, "bytes_transferred": None}
    ids = {job["id"] for job in jobs}
    return found, [event for event in await bitsd.events() if event["job_id"] in ids]


async def the_scheduler_looks(bitsd: Bitsd, origin: Origin) -> None:
    """A job that comes and goes makes it judge every moment anew."""
    job = await bitsd.wait(await bitsd.create(origin.url("/done")), "TRANSFERRED")
    await bitsd.act(job, "cancel")


@pytest.mark.parametrize(
    "offsets",
    [{"wall": YEARS}, {"wall": -YEARS}, {"wall": STANDBY, "boot": STANDBY}],
    ids=["ten years ahead", "ten years back", "a hundred days of standby"],
)
async def test_a_jump_changes_no_job_and_the_retry_comes_at_its_time(tmp_path: Path, offsets: dict[str, float]) -> None:
    bitsd = Bent(tmp_path, **SETTINGS)
    bitsd.set_clock()
    async with Origin() as origin, bitsd:
        jobs = await every_sort(bitsd, origin)
        origin.file("/busy", size=1000, statuses=[500])
        waiting = await bitsd.create(origin.url("/busy"), minimum_retry_delay=RETRY)
        await bitsd.wait(waiting, "TRANSIENT_ERROR")
        before = await seen(bitsd, jobs)
        uptime = (await bitsd.ok("GET", "/v1"))["uptime"]

        bitsd.set_clock(**offsets)
        found = await bitsd.job(waiting)
        assert found["state"] == "TRANSIENT_ERROR"
        until = datetime.fromisoformat(found["waiting"]["until"]).timestamp()
        assert until - (time.time() + offsets["wall"]) <= RETRY * 1.1
        await the_scheduler_looks(bitsd, origin)
        assert await seen(bitsd, jobs) == before
        await bitsd.wait(waiting, "TRANSFERRED")
        assert await seen(bitsd, jobs) == before
        assert uptime <= (await bitsd.ok("GET", "/v1"))["uptime"] < 60
        assert await bitsd.moves(waiting) == [
            "QUEUED",
            "TRANSFERRING",
            "TRANSIENT_ERROR",
            "QUEUED",
            "TRANSFERRING",
            "TRANSFERRED",
        ]


@pytest.mark.parametrize("years", [-YEARS, YEARS])
async def test_a_new_boot_with_another_time_of_day_changes_no_job(tmp_path: Path, years: float) -> None:
    bitsd = Bent(tmp_path, **SETTINGS)
    bitsd.set_clock(monotonic=5_000_000, boot=5_000_000)
    async with Origin() as origin, bitsd:
        jobs = (await every_sort(bitsd, origin))[:-1]  # the running one starts again with the service
        origin.file("/busy", size=1000, statuses=[500])
        waiting = await bitsd.create(origin.url("/busy"), minimum_retry_delay=600)
        waiting = await bitsd.wait(waiting, "TRANSIENT_ERROR")
        before = await seen(bitsd, jobs)
        await bitsd.signal(signal.SIGTERM)
        bitsd.set_clock(wall=years)  # a boot later: its clocks begin anew
        await bitsd.start()
        await the_scheduler_looks(bitsd, origin)
        assert await seen(bitsd, jobs) == before
        after = await bitsd.job(waiting)
        assert {**after, "waiting": None} == {**waiting, "waiting": None}
        left = datetime.fromisoformat(after["waiting"]["until"]).timestamp() - time.time() - years
        assert 500 < left <= 660


async def test_a_time_zone_with_summer_time_is_nowhere_to_be_seen(tmp_path: Path) -> None:
    async with Origin() as origin:
        bitsd = Bitsd(tmp_path, TZ="America/St_Johns", **SETTINGS)
        async with bitsd:
            jobs = (await every_sort(bitsd, origin))[:-1]
            created = datetime.fromisoformat(jobs[0]["times"]["created"])
            assert jobs[0]["times"]["created"].endswith("Z")
            assert abs(created.timestamp() - time.time()) < 60
            before = await seen(bitsd, jobs)
            await bitsd.signal(signal.SIGTERM)
            bitsd.environment["TZ"] = "Pacific/Kiritimati"
            await bitsd.start()
            assert await seen(bitsd, jobs) == before
