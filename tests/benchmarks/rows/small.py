"""Many files: 10,000 of 10 KiB and 1,000 of 1 MiB."""

from pathlib import Path

from tests.benchmarks.measure import Bench, Figures, Rounds, Run, alternate, command
from tests.benchmarks.row import Demand, Row
from tests.benchmarks.service import Service, file, job, running_service
from tests.benchmarks.sources import GIB, KIB, MIB, Source, served

FILES_PER_JOB = 200
ARIA2 = "aria2c -j16"


async def small(bench: Bench) -> Rounds:
    return await many(bench, 10_000, 10 * KIB)


async def medium(bench: Bench) -> Rounds:
    return await many(bench, 1000, MIB)


async def many(bench: Bench, count: int, size: int) -> Rounds:
    # a connection may be used for all of them, by whoever keeps it
    with served(bench, [size] * count, directives="keepalive_requests 1000000;") as source:
        async with running_service(bench.home / "bitsd") as service:
            runs = {"bitsd": ours(service, source), ARIA2: aria2(source)}
            rounds = await alternate(bench, runs, source.check, is_kept=True)
    for found in rounds:
        for figures in found.values():
            figures["rate"] = count / figures["wall"]
    return rounds


def ours(service: Service, source: Source) -> Run:
    """Jobs of 200 files that are resumed when the last one is created."""

    async def run(folder: Path) -> Figures:
        names = source.names
        bodies = [
            job([file(source.base + name, folder / name) for name in names[start : start + FILES_PER_JOB]])
            for start in range(0, len(names), FILES_PER_JOB)
        ]
        return await service.transfer(*(body | {"priority": "NORMAL", "resume": False} for body in bodies))

    return run


def aria2(source: Source) -> Run:
    async def run(folder: Path) -> Figures:
        wanted = folder.with_suffix(".list")
        wanted.write_text("".join(f"{source.base}{name}\n" for name in source.names))
        return await command(["aria2c", "--no-conf", "-q", "-j16", "-i", str(wanted), "-d", str(folder)])

    return run


HOW = (
    "Jobs of 200 files, priority NORMAL, so 4 jobs of 4 files run at a time with the default settings: 16, like"
    " aria2c's. bitsd's clock begins with the first create; all jobs are resumed together when the last is created, and"
    " *resumed* is the time from there. Both sync every file."
)

ROWS = (
    Row(
        "small",
        "10,000 files of 10 KiB in 50 jobs of 200, all resumed at once, durable",
        HOW,
        small,
        (Demand("wall to aria2c", "wall", 0.7, ARIA2), Demand("CPU to aria2c", "cpu", 1.1, ARIA2)),
        ARIA2,
        10_000 * 10 * KIB / GIB,
    ),
    Row(
        "medium",
        "1,000 files of 1 MiB",
        HOW,
        medium,
        (Demand("files per second to aria2c", "rate", 1.5, ARIA2, is_least=True),),
        ARIA2,
        1000 * MIB / GIB,
    ),
)
