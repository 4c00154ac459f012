"""How a comparison is run: each in turn, a warm-up first, nothing dirty from the run before, a fresh folder each time.

Owns the figures of a run, and the CPU and memory of processes: the peers' by stopwatch.py, the daemon's by /proc.
"""

import asyncio
import os
import shutil
import sys
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Figures = dict[str, float]
"""What one run gave, by metric: `wall` and `cpu` in seconds, `memory` in MiB, and what else a row counts."""
Run = Callable[[Path], Coroutine[Any, Any, Figures]]
"""Do the work once, in a new folder."""
Check = Callable[[Path, bool], None]
"""Look at what a run left in its folder; thoroughly if so told."""
Rounds = list[dict[str, Figures]]
"""The figures of each round, by who it was."""

STOPWATCH = Path(__file__).with_name("stopwatch.py")
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Bench:
    """Where and how often: `home` is on the disk that is measured."""

    home: Path
    runs: int

    def folder(self, name: str) -> Path:
        """A new one."""
        path = self.home / name
        path.mkdir(parents=True)
        return path


def say(text: str) -> None:
    """What goes on now."""
    print(text, file=sys.stderr, flush=True)


async def alternate(bench: Bench, runs: Mapping[str, Run], check: Check, *, is_kept: bool = False) -> Rounds:
    """Each in turn, `bench.runs` times after the warm-up, in which the results are checked thoroughly.

    Deleting many small files makes the next ones slow: then they are kept to the end of the row.
    """
    rounds: Rounds = []
    for number in range(bench.runs + 1):
        found: dict[str, Figures] = {}
        for name, run in runs.items():
            folder = bench.folder(f"{number}-{name.replace(' ', '')}")
            await asyncio.to_thread(os.sync)
            found[name] = await run(folder)
            await asyncio.to_thread(check, folder, number == 0)
            if not is_kept:
                await asyncio.to_thread(shutil.rmtree, folder)
            figures = "  ".join(f"{metric} {value:.3f}" for metric, value in found[name].items())
            say(f"    {f'run {number}' if number else 'warm-up':8} {name:20} {figures}")
        rounds.append(found)
    return rounds[1:]


def unchecked(folder: Path, is_thorough: bool) -> None:
    """The check of a row whose runs leave nothing to look at."""


async def command(*commands: list[str]) -> Figures:
    """Commands one after the other as one run of a peer."""
    total: Figures = {"wall": 0, "cpu": 0, "memory": 0}
    for arguments in commands:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-S", str(STOPWATCH), *arguments, stdout=asyncio.subprocess.PIPE
        )
        said, _ = await process.communicate()
        code, wall, cpu, peak = said.split()
        if int(code):
            raise RuntimeError(f"exit code {int(code)}: {' '.join(arguments)}")
        total["wall"] += float(wall)
        total["cpu"] += float(cpu)
        total["memory"] = max(total["memory"], int(peak) / 1024)
    return total


def cpu_seconds(pid: int) -> float:
    """User and system time of all threads of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def forget_peak(pid: int) -> None:
    """Count the peak of its memory from now on."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_memory(pid: int) -> float:
    """Resident MiB at most since `forget_peak`, or since it began."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
