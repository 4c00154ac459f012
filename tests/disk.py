"""A disk of a test's own that fills up at 1 MiB and can be made read-only.

It is a tmpfs where we may mount one. Where not (no root, a container), the process gets a limit on the size of its
files, and the directory loses its write permission: `full` and `frozen` say which errno comes of it.
"""

import errno
import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SIZE = 1 << 20
OTHER_USER = 60001
"""An account that root can act for."""


@dataclass(frozen=True, slots=True)
class Disk:
    path: Path
    is_mounted: bool

    @property
    def full(self) -> int:
        return errno.ENOSPC if self.is_mounted else errno.EFBIG

    @property
    def frozen(self) -> int:
        return errno.EROFS if self.is_mounted else errno.EACCES

    def grow(self) -> None:
        """As if somebody had made room."""
        if self.is_mounted:
            assert _mount(self.path, f"remount,size={16 * SIZE}") == 0
        else:
            _limit(16 * SIZE)

    def freeze(self) -> None:
        """Nothing can be written any more. Without a mount this holds for other users than root only."""
        if self.is_mounted:
            assert _mount(self.path, "remount,ro") == 0, "a file on it is open"
        else:
            self.path.chmod(0o555)


@contextmanager
def small_disk(path: Path) -> Iterator[Disk]:
    """At `path`, which is made; whoever is started meanwhile has it too."""
    path.mkdir()
    if _may_mount(path):
        try:
            yield Disk(path, is_mounted=True)
        finally:
            subprocess.run(["umount", "--lazy", str(path)], check=True)
        return
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    _limit(SIZE)
    try:
        yield Disk(path, is_mounted=False)
    finally:
        _limit(limit)
        path.chmod(0o755)


def _may_mount(path: Path) -> bool:
    return os.geteuid() == 0 and _mount(path, f"size={SIZE},mode=1777") == 0


def _mount(path: Path, options: str) -> int:
    command = ["mount", "-t", "tmpfs", "-o", options, "bitsd-test", str(path)]
    return subprocess.run(command, capture_output=True).returncode


def _limit(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
