"""The rivals as a careful user runs them: told to continue, to try again and not to wait for ever, and run again when
they fail, as a script would.

Owns their command lines and processes. They get a fresh directory and no configuration but the command line.
"""

import asyncio
import os
import re
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.benchmarks.verdicts import Ending
from tests.faults.servers import Placed

LIMIT = 60.0
"""Seconds for one fault, all runs together."""
RUNS = 3
PAUSE = 0.7
"""Seconds from a request to the interruption: enough for the bytes to arrive, less than the timeouts of 2 s."""
STRONGEST_FIRST = ("sha-512", "sha-256", "md5")


@dataclass(frozen=True, slots=True)
class Rival:
    """A command that puts the file named in a URL into the working directory."""

    line: str
    """NAME stands for the name of the file, for those that would take it from where a redirect led to."""
    roots: str
    """The option that takes the file of trusted roots."""
    checksum: str = ""
    """The option that takes a digest, if there is one."""

    @property
    def name(self) -> str:
        return self.line.partition(" ")[0]

    def command(self, placed: Placed, bundle: str) -> list[str]:
        digest = placed.file.get("digest", {})
        given = [
            f"{self.checksum}{name}={digest[name]}" for name in STRONGEST_FIRST if self.checksum and name in digest
        ]
        return [*self.line.replace("NAME", name_of(placed)).split(), self.roots, bundle, *given[:1], placed.url]

    def knows_all(self, placed: Placed) -> bool:
        """Whether it can be told everything that was promised of the file."""
        promises = {"digest", "expected_size"} & set(placed.file)
        return promises <= ({"digest"} if self.checksum else set())

    def version(self) -> str:
        """The number in the first line of what it says of itself."""
        said = subprocess.run([self.name, "--version"], capture_output=True, text=True, check=True)
        number = re.search(r"\d+(\.\d+)+", said.stdout)
        return number[0] if number else "?"

    async def end(self, placed: Placed, folder: Path, bundle: str, interrupt: signal.Signals | None) -> Ending:
        """Run it until it succeeds, three times at most; an interrupted run does not count."""
        folder.mkdir()
        command = self.command(placed, bundle)
        code: int | None = None
        try:
            async with asyncio.timeout(LIMIT):
                if interrupt:
                    await _run(command, folder, placed, interrupt)
                for _ in range(RUNS):
                    code = await _run(command, folder)
                    if code == 0:
                        break
        except TimeoutError:
            return Ending(None)
        return Ending(code, read(folder / name_of(placed)))


RIVALS = (
    Rival(
        "curl --disable --silent --fail --location --output NAME --continue-at - --retry 3 --retry-all-errors"
        " --retry-delay 1 --connect-timeout 2 --speed-limit 1 --speed-time 2",
        "--cacert",
    ),
    Rival("wget --no-config --quiet --continue --tries=3 --waitretry=1 --timeout=2", "--ca-certificate"),
    Rival("wget2 --no-config --quiet --continue --tries=3 --waitretry=1 --timeout=2", "--ca-certificate"),
    Rival(
        "aria2c --no-conf --quiet --continue --max-tries=3 --retry-wait=1 --connect-timeout=2 --timeout=2 --out=NAME"
        " --auto-file-renaming=false --allow-overwrite=true --max-connection-per-server=4 --min-split-size=1M",
        "--ca-certificate",
        "--checksum=",
    ),
)


def read(path: Path) -> bytes | None:
    """What was published, None if there is nothing."""
    return path.read_bytes() if path.exists() else None


def name_of(placed: Placed) -> str:
    return urlsplit(placed.url).path.lstrip("/")


async def until_served(process: asyncio.subprocess.Process, *files: Placed) -> None:
    """Until every file was asked for and what the server has to say has arrived, or the one who asks is gone."""
    while process.returncode is None and not all(placed.meant.served for placed in files):  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    await asyncio.sleep(PAUSE)


async def _run(
    command: list[str], folder: Path, placed: Placed | None = None, interrupt: signal.Signals | None = None
) -> int:
    """The exit code of one run, which is interrupted in the middle of `placed` if that is given."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        if placed and interrupt:
            await until_served(process, placed)
            if process.returncode is None:
                process.send_signal(interrupt)
        return await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
