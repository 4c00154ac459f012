"""The disk as a file system of the kernel (FUSE), in a process of its own: `python -m tests.powercut.mount DIRECTORY`.

It is mounted until its standard input ends. Each line there is a command, answered by one line of JSON:

    arm N [KIND...]    lose power after N more calls (of these kinds); 0 = never
    run SECONDS        answered once the power is gone, at the latest after so long
    kill               calls that wait fail: their process was killed
    on SEED MANNER     the power is back, and the disk is as it is after a cut
    deaf KIND...       syncs of these kinds do nothing from now on: a disk that lies
"""

import errno
import json
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from typing import Any

import mfusepy  # type: ignore[import-untyped]

from tests.powercut.disk import Directory, Disk, Facts, File, Node
from tests.powercut.fate import MANNERS, Fate
from tests.powercut.gate import Gate

Times = tuple[int, int] | None


class Mounted(mfusepy.Operations):  # type: ignore[misc]
    """The calls of the kernel, as far as programs under test make them. An open file is its handle: names may go."""

    use_ns = True

    def __init__(self, disk: Disk, gate: Gate) -> None:
        self.deaf: frozenset[str] = frozenset()
        self._disk = disk
        self._gate = gate
        self._numbers = count(1)
        self._open: dict[int, tuple[Node, str]] = {}

    def init_with_config(self, conn: Any, config: Any) -> None:  # noqa: ANN401 - structures of libfuse
        config.use_ino = config.hard_remove = config.nullpath_ok = 1
        # what the kernel remembers would not know of a power cut
        config.attr_timeout = config.entry_timeout = config.negative_timeout = 0

    def forget_handles(self) -> None:
        """Of processes that are not there any more."""
        self._open.clear()

    def getattr(self, path: str | None, fh: int | None = None) -> dict[str, Any]:
        with self._on(path, fh) as node:
            times = dict.fromkeys(("st_mtime", "st_ctime", "st_atime"), node.facts.mtime)
            size, links = (len(node.content), node.links) if isinstance(node, File) else (4096, 2)
            facts = {"st_mode": node.facts.mode, "st_uid": node.facts.uid, "st_gid": node.facts.gid, "st_nlink": links}
            return facts | times | {"st_size": size, "st_ino": node.number, "st_blocks": -(-size // 512)}

    def opendir(self, path: str) -> int:
        with self._on(path) as node:
            return self._handle(node, path)

    def readdir(self, path: str | None, fh: int) -> list[tuple[str, dict[str, int], int]]:
        with self._on(path, fh) as node:
            entries = node.entries if isinstance(node, Directory) else {}
            listed = [(".", node), ("..", node), *entries.items()]
            return [(name, {"st_ino": at.number, "st_mode": at.facts.mode}, 0) for name, at in listed]

    def releasedir(self, path: str | None, fh: int) -> int:
        return self.release(path, fh)

    def mkdir(self, path: str, mode: int) -> int:
        with self._gate.passing("mkdir", path):
            self._disk.mkdir(path, _facts(mode))
        return 0

    def rmdir(self, path: str) -> int:
        with self._gate.passing("unlink", path):
            self._disk.rmdir(path)
        return 0

    def create(self, path: str, mode: int, flags: int) -> int:
        with self._gate.passing("create", path):
            return self._handle(self._disk.create(path, _facts(stat.S_IMODE(mode))), path)

    def open(self, path: str, flags: int) -> int:
        with self._gate.passing("truncate" if flags & os.O_TRUNC else "", path):
            file = self._disk.file(path)
            if flags & os.O_TRUNC:
                file.cut(0)
            return self._handle(file, path)

    def release(self, path: str | None, fh: int) -> int:
        with self._gate.alone():
            node, _ = self._open.pop(fh, (None, ""))
            if isinstance(node, File):
                self._disk.close(node)
        return 0

    def read(self, path: str | None, size: int, offset: int, fh: int) -> bytes:
        with self._on_file(path, fh) as file:
            return bytes(file.content[offset : offset + size])

    def write(self, path: str | None, data: bytes, offset: int, fh: int) -> int:
        with self._on_file(path, fh, "write") as file:
            file.write(offset, data)
        return len(data)

    def truncate(self, path: str | None, length: int, fh: int | None = None) -> int:
        with self._on_file(path, fh, "truncate") as file:
            file.cut(length)
        return 0

    def fallocate(self, path: str | None, mode: int, offset: int, size: int, fh: int) -> int:
        if mode != 1:  # FALLOC_FL_KEEP_SIZE
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        with self._on_file(path, fh):
            return 0

    def fsync(self, path: str | None, datasync: int, fh: int) -> int:
        with self._on_file(path, fh, "fsync") as file:
            if "fsync" not in self.deaf:
                file.sync(is_data_only=bool(datasync))
        return 0

    def fsyncdir(self, path: str | None, datasync: int, fh: int) -> int:
        with self._on(path, fh, "fsyncdir") as node:
            if isinstance(node, Directory) and "fsyncdir" not in self.deaf:
                self._disk.sync_names(node)
        return 0

    def rename(self, old: str, new: str) -> int:
        with self._gate.passing("rename", new):
            self._disk.rename(old, new)
        return 0

    def unlink(self, path: str) -> int:
        with self._gate.passing("unlink", path):
            self._disk.unlink(path)
        return 0

    def utimens(self, path: str, times: Times = None) -> int:
        with self._on(path, kind="utime") as node:
            node.set_facts(replace(node.facts, mtime=times[1] if times else time.time_ns()))
        return 0

    def chmod(self, path: str, mode: int) -> int:
        with self._on(path, kind="chmod") as node:
            node.set_facts(replace(node.facts, mode=stat.S_IFMT(node.facts.mode) | stat.S_IMODE(mode)))
        return 0

    def chown(self, path: str, uid: int, gid: int) -> int:
        with self._on(path, kind="chown") as node:
            facts = node.facts
            node.set_facts(replace(facts, uid=facts.uid if uid < 0 else uid, gid=facts.gid if gid < 0 else gid))
        return 0

    def _handle(self, node: Node, path: str) -> int:
        number = next(self._numbers)
        self._open[number] = node, path
        if isinstance(node, File):
            self._disk.open(node)
        return number

    @contextmanager
    def _on(self, path: str | None, fh: int | None = None, kind: str = "") -> Iterator[Node]:
        node, opened_as = self._open.get(fh or 0, (None, path or ""))
        with self._gate.passing(kind, opened_as):
            if fh is None:
                node = self._disk.find(opened_as)
            if node is None or (fh is not None and fh not in self._open):
                raise OSError(errno.EIO, os.strerror(errno.EIO))  # opened before the power went
            yield node

    @contextmanager
    def _on_file(self, path: str | None, fh: int | None, kind: str = "") -> Iterator[File]:
        with self._on(path, fh, kind) as node:
            if not isinstance(node, File):
                raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
            yield node


class _Fuse(mfusepy.FUSE):  # type: ignore[misc]
    """mfusepy 3.1 forgets the handle of an ftruncate."""

    def truncate_fuse_3(self, path: bytes | None, length: int, handle: Any) -> int:  # noqa: ANN401 - a structure
        return int(self.ftruncate(path, length, handle))


def _facts(mode: int) -> Facts:
    uid, gid, _ = mfusepy.fuse_get_context()
    return Facts(mode, uid, gid)


def _obey(directory: str, disk: Disk, gate: Gate, mounted: Mounted) -> None:
    """Commands until there are no more; then the file system goes."""
    for line in sys.stdin:
        command, *arguments = line.split()
        answer: dict[str, Any] = {}
        match command:
            case "arm":
                gate.arm(int(arguments[0]), arguments[1:])
            case "run":
                gate.run(float(arguments[0]))
                answer = {"after": gate.last, "changed": gate.changed}
            case "kill":
                gate.kill()
            case "on":
                with gate.alone():
                    sizes = {path: len(node.content) for path, node in disk.walk() if isinstance(node, File)}
                    (manner,) = (known for known in MANNERS if known == arguments[1])
                    disk.cut(Fate(int(arguments[0]), manner))
                    mounted.forget_handles()
                    gate.go_on()
                answer = {"sizes": sizes}
            case "deaf":
                mounted.deaf = frozenset(arguments)
            case _:
                raise ValueError(line)
        print(json.dumps(answer), flush=True)  # noqa: T201 - the answer
    gate.kill()
    subprocess.run(["fusermount3", "-u", "-z", directory], check=True)


def main() -> None:
    disk, gate = Disk(), Gate()
    mounted = Mounted(disk, gate)
    threading.Thread(target=_obey, args=(sys.argv[1], disk, gate, mounted), daemon=True).start()
    _Fuse(mounted, sys.argv[1], foreground=True, fsname="powercut")


if __name__ == "__main__":
    main()
