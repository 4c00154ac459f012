"""100,000 queued jobs beside 1,000: memory, start, and what a create and a decision take."""

import asyncio
import json
import signal
import statistics
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from tests.benchmarks.load import load, request, unix
from tests.benchmarks.measure import Bench, Figures, Rounds, Run, alternate, cpu_seconds, peak_memory, say, unchecked
from tests.benchmarks.row import Demand, Row
from tests.benchmarks.service import Service, file, job, running_service
from tests.benchmarks.sources import MIB, Source, served
from tests.process import Bitsd

FEW, MANY = "1,000 jobs", "100,000 jobs"
COUNTS = {FEW: 1000, MANY: 100_000}
LANES = 32
CREATES = 200
DECISIONS = 50
ONE_SLOT = {"BITSD_SCHEDULER__BACKGROUND_SLOTS": "1", "BITSD_SCHEDULER__TIME_SLICE": "86400"}


async def queued(bench: Bench) -> Rounds:
    """The one running job takes longer than the row, so that the others stay queued."""
    with served(bench, [MIB], directives="limit_rate 1k;") as source:
        async with AsyncExitStack() as services:
            runs = {
                name: _measured(await services.enter_async_context(_crowded(bench, source, count)), source)
                for name, count in COUNTS.items()
            }
            return await alternate(bench, runs, unchecked)


@asynccontextmanager
async def _crowded(bench: Bench, source: Source, count: int) -> AsyncIterator[Service]:
    """A service with so many jobs in QUEUED."""
    async with running_service(bench.home / str(count), **ONE_SLOT) as service:
        say(f"    creating {count} jobs")
        await asyncio.to_thread(load, unix(service.bitsd.socket), _bodies(service, source, count), LANES)
        yield service


def _bodies(service: Service, source: Source, count: int) -> Iterator[bytes]:
    for number in range(count):
        body = job([file(source.url, service.bitsd.downloads / f"f{number}")], priority="NORMAL")
        yield request("POST", "/v1/jobs", json.dumps(body).encode())


def _measured(service: Service, source: Source) -> Run:
    bitsd = service.bitsd
    created = peak_memory(bitsd.pid)

    async def run(folder: Path) -> Figures:
        creates = await asyncio.to_thread(load, unix(bitsd.socket), _bodies(service, source, CREATES), 1)
        figures = {"create": 1000 * creates.wall / CREATES} | await _decisions(service)
        await bitsd.signal(signal.SIGTERM)
        figures["start"] = await _start(bitsd)
        await bitsd.kill()
        figures["restart"] = await _start(bitsd)
        figures["memory"] = max(created, peak_memory(bitsd.pid))
        return figures

    return run


async def _start(bitsd: Bitsd) -> float:
    """Seconds to the first answer."""
    began = time.perf_counter()
    await bitsd.start()
    return time.perf_counter() - began


async def _decisions(service: Service) -> Figures:
    """Milliseconds of wall and CPU from the suspension of the running job until the next one is begun."""
    pid = service.bitsd.pid
    walls, cpu = [], 0.0
    seen = await service.call("GET", "/v1/jobs?state=TRANSFERRING&fields=id")
    running, seq = seen["jobs"][0]["id"], seen["seq"]
    for _ in range(DECISIONS):
        before, began = cpu_seconds(pid), time.perf_counter()
        await service.call("POST", f"/v1/jobs/{running}/suspend")
        running, seq = await _next_start(service, seq)
        walls.append(time.perf_counter() - began)
        cpu += cpu_seconds(pid) - before
    return {"decision": 1000 * statistics.median(walls), "decision cpu": 1000 * cpu / DECISIONS}


async def _next_start(service: Service, seq: int) -> tuple[str, int]:
    """The job that is the next to begin after the event `seq`, and the number of that event."""
    while True:
        found = await service.call("GET", f"/v1/events?after={seq}&types=JOB_STATE&wait=60")
        for event in found["events"]:
            if event["to"] == "TRANSFERRING":
                return event["job_id"], event["seq"]
        seq = found["seq"]


ROWS = (
    Row(
        "queued",
        "100,000 queued jobs: memory, start, growth",
        "Jobs of one file; one transfers, the others wait for its slot. *memory*: the peak from the creation of them"
        " all on, MiB. *start*, *restart*: seconds to the first answer after SIGTERM and after SIGKILL. *create*:"
        " milliseconds for a create on one connection. *decision*: milliseconds from the suspension of the running job"
        " until the next is begun, commits included.",
        queued,
        (
            Demand("100,000 queued jobs, MiB", "memory", 100, who=MANY),
            Demand("start, s", "start", 1.5, who=MANY),
            Demand("start after kill -9, s", "restart", 1.5, who=MANY),
            Demand("growth per created job, 100,000 to 1,000", "create", 2, FEW, MANY),
            Demand("growth per decision, 100,000 to 1,000", "decision", 2, FEW, MANY),
        ),
        FEW,
    ),
)
