"""Peak memory of the service while it transfers."""

from pathlib import Path

from tests.benchmarks.measure import Bench, Figures, Rounds, Run, alternate, unchecked
from tests.benchmarks.row import Demand, Row
from tests.benchmarks.rows.large import SIZE
from tests.benchmarks.service import file, job, running_service
from tests.benchmarks.sources import GIB, Source, served

ONE, SIXTEEN = "1 transfer", "16 transfers"


async def memory(bench: Bench) -> Rounds:
    with served(bench, [SIZE, *[SIZE // 16] * 16]) as source:
        return await alternate(bench, {ONE: fresh(source.part(0, 1)), SIXTEEN: fresh(source.part(1))}, unchecked)


def fresh(source: Source) -> Run:
    """A job for each file, all at once, in a service that has done nothing yet."""

    async def run(folder: Path) -> Figures:
        async with running_service(folder / "bitsd") as service:
            figures = await service.transfer(*(job([file(source.base + name, folder / name)]) for name in source.names))
        source.check(folder, is_thorough=False)
        return figures

    return run


ROWS = (
    Row(
        "memory",
        "peak memory: one 2 GiB transfer / 16 parallel transfers",
        "Peak of a service started for the run, in MiB. The 16 have 128 MiB each and are FOREGROUND jobs, so all run.",
        memory,
        (
            Demand("one 2 GiB transfer, MiB", "memory", 80, who=ONE),
            Demand("16 parallel transfers, MiB", "memory", 120, who=SIXTEEN),
        ),
        gib=SIZE / GIB,
    ),
)
