"""A machine with the service on it and its whole disk under test: state and downloads are on the disk that loses power.

async with Drive(home) as drive:
    machine = Machine(home, drive)
    await machine.start(); ...; await machine.lose_power(seed=1, manner="strict")
"""

import asyncio
import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.powercut.fate import Manner
from tests.process import Bitsd

SYNC_SIZE = 256 << 10
"""Bytes after which the service under test syncs a file: small, so that cuts fall between syncs."""


class Drive:
    """The mounted disk (tests/powercut/mount.py), at `directory`."""

    def __init__(self, home: Path) -> None:
        self.directory = home / "disk"
        self.directory.mkdir()
        self._home = home
        self._process: asyncio.subprocess.Process | None = None
        self._speaking = asyncio.Lock()

    async def __aenter__(self) -> Self:
        command = [sys.executable, "-m", "tests.powercut.mount", str(self.directory)]
        pipe = asyncio.subprocess.PIPE
        with (self._home / "mount.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *command, env=os.environ | {"FUSE_LIBRARY_NAME": "fuse3"}, stdin=pipe, stdout=pipe, stderr=log
            )
        while not os.path.ismount(self.directory):
            if self._process.returncode is not None:
                raise OSError("cannot mount with FUSE (fuse3, /dev/fuse): " + (self._home / "mount.log").read_text())
            await asyncio.sleep(0.01)  # the kernel tells nobody
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()
        await self._process.wait()

    async def tell(self, *command: object) -> dict[str, Any]:
        """One command, and its answer; the next waits for it."""
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        async with self._speaking:
            self._process.stdin.write(" ".join(str(word) for word in command).encode() + b"\n")
            await self._process.stdin.drain()
            return dict(json.loads(await self._process.stdout.readline()))


class Machine(Bitsd):
    """`boots`: how often it was switched on; each boot has an id of its own."""

    def __init__(self, home: Path, drive: Drive, **environment: str) -> None:
        super().__init__(home, **environment)
        self.drive = drive
        self.boots = 0
        self.downloads = drive.directory / "downloads"
        self.state = drive.directory / "state"

    async def spawn(self, *arguments: str) -> asyncio.subprocess.Process:
        # what a machine does not keep over a boot: /run
        for name in ("s", "s.lock"):
            (self.home / name).unlink(missing_ok=True)
        self.boots += 1
        command = [sys.executable, "-m", "tests.powercut.launcher", "--socket", self.socket]
        environment = os.environ | self.environment | {"POWERCUT_BOOT": str(self.boots)}
        with (self.home / "log").open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *command, "--state-dir", str(self.state), *arguments, env=environment, stdout=log, stderr=log
            )

    async def die(self) -> None:
        """The process ends, once the drive is off."""
        assert self.process is not None
        with suppress(ProcessLookupError):
            self.process.kill()
        await self.drive.tell("kill")
        await self.process.wait()

    async def lose_power(self, seed: int, manner: Manner) -> dict[str, int]:
        """Now, if it is not gone yet. The disk is as it is after the cut then, and the next `start` is a boot.

        Returns how long each file was just before it.
        """
        await self.drive.tell("run", 0)
        await self.die()
        return dict((await self.drive.tell("on", seed, manner))["sizes"])
