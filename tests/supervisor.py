"""What a service manager does, for tests: a socket that hears notifications, a listening socket to hand over, and
commands `systemctl` and `systemd-run` that only write down what they were asked.
"""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.bent import Bent


class Notices:
    """A datagram socket at `address` (a path, or @name); `heard` has every line so far, in order."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.heard: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(0)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)

    async def until(self, line: str, times: int = 1) -> None:
        """Hear until `line` has come so often in all; fails when it does not come."""
        async with asyncio.timeout(30):
            while self.heard.count(line) < times:
                data = await asyncio.get_running_loop().sock_recv(self._socket, 4096)
                self.heard += data.decode().split("\n")

    def rest(self) -> list[str]:
        """Everything that was said, heard or not."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self.heard += self._socket.recv(4096).decode().split("\n")
        return self.heard

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()


class Commands:
    """`systemctl` and `systemd-run` in a directory of their own; `asked` has the command lines they were given."""

    def __init__(self, home: Path, *, fails: bool = False) -> None:
        self.directory = home / "bin"
        self.directory.mkdir()
        self._record = home / "asked"
        self._record.touch()
        for name in ("systemctl", "systemd-run"):
            command = self.directory / name
            end = "echo 'no bus' >&2; exit 1" if fails else "exit 0"
            command.write_text(f'#!/bin/sh\necho "{name} $*" >> {self._record}\n{end}\n')
            command.chmod(0o755)

    @property
    def asked(self) -> list[str]:
        return self._record.read_text().splitlines()


@contextlib.contextmanager
def activated(home: Path, **environment: str) -> Iterator[Bent]:
    """A service that is given a listening socket, as a .socket unit does it; the socket outlives its starts."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        bitsd = Bent(home, **environment)
        listener.bind(bitsd.socket)
        listener.listen()
        bitsd.handed = (listener.fileno(),)
        bitsd.environment["BENT_LISTEN"] = str(listener.fileno())
        try:
            yield bitsd
        finally:
            if bitsd.process is not None and bitsd.process.returncode is None:
                bitsd.process.kill()  # its test failed
