"""What an idle and a crowded service take."""

import asyncio
import time
from pathlib import Path

import aiohttp

from tests.process import Bitsd

JOBS = 10_000
LANES = 16


def wake_ups(bitsd: Bitsd) -> int:
    """How often a thread of the process has gone to sleep so far; to do so again it must have woken up."""
    states = Path(f"/proc/{bitsd.pid}/task").glob("*/status")
    lines = [line for state in states for line in state.read_text().splitlines()]
    return sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))


async def create_many(bitsd: Bitsd) -> None:
    file = {"remote_name": "http://127.0.0.1:9/file", "local_name": bitsd.target("/file")}
    numbers = iter(range(JOBS))
    connector = aiohttp.UnixConnector(bitsd.socket, limit=LANES)
    async with aiohttp.ClientSession(connector=connector, base_url="http://bitsd") as session:

        async def lane() -> None:
            for number in numbers:
                body = {"display_name": f"job {number}", "files": [file]}
                async with session.post("/v1/jobs", json=body) as response:
                    assert response.status == 201

        async with asyncio.TaskGroup() as group:
            for _ in range(LANES):
                group.create_task(lane())


async def test_an_idle_service_sleeps_and_ten_thousand_jobs_take_little(tmp_path: Path) -> None:
    # root is exempt from the limits; the environment lifts them for anybody else
    unlimited = {"BITSD_LIMITS__JOBS_PER_USER": "0", "BITSD_LIMITS__JOBS_PER_MACHINE": "0"}
    async with Bitsd(tmp_path, **unlimited) as bitsd:
        assert bitsd.memory() < 60
        before = wake_ups(bitsd)
        await asyncio.sleep(5)  # what is measured is that nothing happens in a span of time
        assert wake_ups(bitsd) - before < 5
        await create_many(bitsd)
        assert bitsd.memory() < 90
        began = time.monotonic()
        listed = (await bitsd.ok("GET", "/v1/jobs?fields=id"))["jobs"]
        assert len(listed) == len({job["id"] for job in listed}) == JOBS
        listing = time.monotonic() - began
        assert bitsd.memory() < 90
        await bitsd.kill()
        began = time.monotonic()
        await bitsd.start()
        starting = time.monotonic() - began
        assert len((await bitsd.ok("GET", "/v1/jobs?fields=id"))["jobs"]) == JOBS
        assert bitsd.memory() < 90
        before = wake_ups(bitsd)
        await asyncio.sleep(5)  # as above
        assert wake_ups(bitsd) - before < 5
        # the figures a person waits for; ratios are the benchmarks' business
        assert listing < 10
        assert starting < 10
