"""bitsd in a bent world: the real service in its own process, where the clock jumps, threads are not to be had, few
files may be open, or a socket was handed over. `python -m tests.bent ARGUMENTS` is that process, `Bent` starts it.

BENT_CLOCK names a JSON file, read at every look at a clock: seconds by which {"wall", "boot", "monotonic"} are off.
BENT_THREADS names a file: while it is there no thread can be started. BENT_FILES is the hard limit of open files.
BENT_LISTEN holds the numbers of the descriptors that systemd would hand over.
"""

import asyncio
import json
import os
import resource
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tests.process import Bitsd


class Bent(Bitsd):
    """A Bitsd that is started through this module; the environment says what is bent."""

    handed: tuple[int, ...] = ()
    """Descriptors it inherits."""

    async def spawn(self, *arguments: str) -> asyncio.subprocess.Process:
        command = [sys.executable, "-m", "tests.bent", "--socket", self.socket, "--state-dir", str(self.home / "state")]
        with (self.home / "log").open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *command, *arguments, env=os.environ | self.environment, stdout=log, stderr=log, pass_fds=self.handed
            )

    def set_clock(self, **offsets: float) -> None:
        """From now on its clocks are off by so many seconds."""
        path = self.home / "clock"
        (self.home / "new-clock").write_text(json.dumps(offsets))
        (self.home / "new-clock").rename(path)
        self.environment["BENT_CLOCK"] = str(path)


async def logged(bitsd: Bitsd, text: str) -> None:
    """Until it is in the service's log: for what nobody is told in any other way."""
    async with asyncio.timeout(30):
        while True:
            if text in bitsd.log:
                return
            await asyncio.sleep(0.02)


def _bend_clock(path: str) -> None:
    real, real_ns, monotonic, clock = time.time, time.time_ns, time.monotonic, time.clock_gettime

    def offset(name: str) -> float:
        return float(json.loads(Path(path).read_text()).get(name, 0))

    def gettime(number: int) -> float:
        names = {time.CLOCK_REALTIME: "wall", time.CLOCK_BOOTTIME: "boot", time.CLOCK_MONOTONIC: "monotonic"}
        return clock(number) + offset(names.get(number, ""))

    time.time = lambda: real() + offset("wall")
    time.time_ns = lambda: real_ns() + int(offset("wall")) * 10**9
    time.monotonic = lambda: monotonic() + offset("monotonic")
    time.clock_gettime = gettime


def _take_threads(path: str) -> None:
    start: Callable[[threading.Thread], None] = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if os.path.exists(path):
            raise RuntimeError("can't start new thread")
        start(thread)

    threading.Thread.start = refuse  # type: ignore[method-assign, assignment]


def _hand_over(numbers: list[int]) -> None:
    """As systemd does it: in a row from 3 on, meant for this very process."""
    for place, number in enumerate(numbers, 3):
        os.dup2(number, place)
    os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(numbers))}


def main() -> None:
    """Bend what the environment says, then be bitsd."""
    if path := os.environ.get("BENT_CLOCK"):
        _bend_clock(path)
    if path := os.environ.get("BENT_THREADS"):
        _take_threads(path)
    if most := os.environ.get("BENT_FILES"):
        resource.setrlimit(resource.RLIMIT_NOFILE, (int(most), int(most)))
    if numbers := os.environ.get("BENT_LISTEN"):
        _hand_over([int(number) for number in numbers.split()])
    from daemon.command import run  # noqa: PLC0415 - the clock must be bent before anybody looks at it

    run()


if __name__ == "__main__":
    main()
