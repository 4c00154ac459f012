"""`make bench`: bitsd beside its peers, in one run, alternating. Ratios count; absolute figures are the machine's.

Everything is driven as a user would: the peers by their commands, bitsd over its socket from create to TRANSFERRED.
"""

import asyncio
import os
import shutil
import statistics
import subprocess
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.nginx import Nginx, running_nginx
from tests.process import Bitsd

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(1800)]

SIZE = 1 << 30
ROUNDS = 5

Run = Callable[[Path], Awaitable[None]]


async def command(*arguments: str) -> None:
    process = await asyncio.create_subprocess_exec(*arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert await process.wait() == 0, arguments


def peers(url: str) -> dict[str, Run]:
    """Each downloads `url` into a folder."""
    return {
        "curl": lambda folder: command("curl", "-sf", "-o", str(folder / "f"), url),
        "wget2": lambda folder: command("wget2", "-q", "-O", str(folder / "f"), url),
        "aria2c -x1": lambda folder: command("aria2c", "-q", "-x1", "-d", str(folder), "-o", "f", url),
    }


async def timed(run: Run, folder: Path) -> float:
    folder.mkdir()
    began = time.perf_counter()
    await run(folder)
    seconds = time.perf_counter() - began
    shutil.rmtree(folder)
    return seconds


def report(title: str, rounds: list[dict[str, float]], base: str) -> None:
    print(f"\n{title}: ratio to {base} (median, min, max of {len(rounds)}), median seconds")
    for name in rounds[0]:
        ratios = sorted(result[name] / result[base] for result in rounds)
        seconds = statistics.median(result[name] for result in rounds)
        print(f"  {name:12} {statistics.median(ratios):5.2f}  {ratios[0]:5.2f}  {ratios[-1]:5.2f}   {seconds:6.2f} s")


async def test_one_large_file_beside_the_peers(tmp_path: Path) -> None:
    with running_nginx(tmp_path) as nginx:
        make_file(nginx)
        async with Bitsd(tmp_path) as bitsd:

            async def ours(folder: Path) -> None:
                file = {"remote_name": nginx.url("f"), "local_name": str(folder / "f")}
                body = {"display_name": "bench", "files": [file], "resume": True}
                job = await bitsd.ok("POST", "/v1/jobs", body)
                await bitsd.wait(job, "TRANSFERRED", seconds=300)
                await bitsd.act(job, "complete")

            runs: dict[str, Run] = {"bitsd": ours} | peers(nginx.url("f"))
            await timed(ours, tmp_path / "warm-up")
            rounds = [
                {name: await timed(run, tmp_path / f"{name}-{number}") for name, run in runs.items()}
                for number in range(ROUNDS)
            ]
            print(f"\nmemory of bitsd after {ROUNDS + 1} GiB: {bitsd.memory():.0f} MiB")
    report("1 GiB over loopback, data synced by bitsd only", rounds, "curl")


def make_file(nginx: Nginx) -> None:
    with (nginx.root / "f").open("wb") as file:
        for _ in range(SIZE >> 20):
            file.write(os.urandom(1 << 20))
