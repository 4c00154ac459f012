"""A disk in memory that knows what is synced and what is not; `cut` is a power cut, and the disk is as it is after it.

What is durable, and by what (each rule is fsync(2), POSIX, or what ext4 and XFS do, whichever promises less):

- fsync of a file: its bytes, its length, its mode, owner and modification time. Not its name.
- fdatasync: bytes and length; mode, owner and time only if the length changed since the last sync (they are in the
  same inode then), else they are as old as the last time they came down, or anything since.
- fsync of a directory: its names; not the names in directories below, and not the bytes of its files. A new directory
  itself is a name in the one above. Nothing else brings a name down.
- A rename is whole or has not been: never both names, never none.
- Everything else comes down by chance (tests/powercut/fate.py): of bytes each sector for itself, old or new; a file may
  be longer before the bytes are there, which are zeros then; names kept or dropped.

Numbers of removed files are given again, the lowest first, as ext4 does. Reserved room is not modelled: it has no bytes
and no length. No links, no renames between directories: nobody under test needs them. Not safe for threads.
"""

import errno
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import count
from typing import TypeVar

from tests.powercut.fate import Fate

SECTOR = 512
"""Bytes that a disk writes as a whole."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Of a file or directory; `mtime` in nanoseconds."""

    mode: int
    uid: int = 0
    gid: int = 0
    mtime: int = field(default_factory=time.time_ns)


@dataclass(frozen=True, slots=True)
class _Write:
    offset: int
    data: bytes

    def apply(self, content: bytearray) -> None:
        _resize(content, max(len(content), self.offset))
        content[self.offset : self.offset + len(self.data)] = self.data

    def sectors(self) -> Iterator["_Write"]:
        start = self.offset
        end = start + len(self.data)
        while start < end:
            stop = min((start // SECTOR + 1) * SECTOR, end)
            yield _Write(start, self.data[start - self.offset : stop - self.offset])
            start = stop


@dataclass(frozen=True, slots=True)
class _Cut:
    size: int

    def apply(self, content: bytearray) -> None:
        _resize(content, self.size)


def _resize(content: bytearray, size: int) -> None:
    if size < len(content):
        del content[size:]
    else:
        content.extend(bytes(size - len(content)))


class File:
    """Bytes and facts, as they are and as they came down. `handles`: how often it is open."""

    def __init__(self, number: int, facts: Facts) -> None:
        self.number = number
        self.facts = facts
        self.content = bytearray()
        self.links = 1
        self.handles = 0
        self._durable = bytearray()
        self._pending: list[_Write | _Cut] = []
        self._facts = [facts]
        """The durable ones, then all since."""
        self._has_new_size = False

    def write(self, offset: int, data: bytes) -> None:
        self._change(_Write(offset, data))

    def cut(self, size: int) -> None:
        """Make it so long."""
        self._change(_Cut(size))

    def set_facts(self, facts: Facts) -> None:
        self.facts = facts
        self._facts.append(facts)

    def sync(self, *, is_data_only: bool = False) -> None:
        """fsync, or fdatasync."""
        for change in self._pending:
            change.apply(self._durable)
        self._pending.clear()
        if self._has_new_size or not is_data_only:
            self._facts = [self.facts]
        self._has_new_size = False

    def lose_power(self, fate: Fate) -> None:
        self.content = self._after(fate)
        self._durable = bytearray(self.content)
        self.facts = fate.one(self._facts)
        self._pending.clear()
        self._facts = [self.facts]
        self._has_new_size = False
        self.handles = 0
        self.links = 1  # one that has no name is not found any more

    def _change(self, change: _Write | _Cut) -> None:
        size = len(self.content)
        change.apply(self.content)
        self._pending.append(change)
        self._has_new_size = self._has_new_size or len(self.content) != size
        self.set_facts(replace(self.facts, mtime=time.time_ns()))

    def _after(self, fate: Fate) -> bytearray:
        """Nothing since the last sync, everything, or a bit of each."""
        outcome = fate.one(("nothing", "everything", "torn", "torn"))
        if outcome == "everything":
            return bytearray(self.content)
        content = bytearray(self._durable)
        if outcome == "torn":
            for change in self._reached(fate):
                _tear(change, content, fate)
        return content

    def _reached(self, fate: Fate) -> list[_Write | _Cut]:
        """The changes that may be kept: none that came after a cut that was dropped, unless there is no order."""
        if fate.manner == "independent":
            return [change for change in self._pending if isinstance(change, _Write) or fate.is_kept()]
        cuts = [index for index, change in enumerate(self._pending) if isinstance(change, _Cut)]
        return self._pending[: fate.one([*cuts, len(self._pending)])]


def _tear(change: _Write | _Cut, content: bytearray, fate: Fate) -> None:
    if isinstance(change, _Cut):
        change.apply(content)
        return
    for sector in change.sectors():
        if fate.is_kept():
            sector.apply(content)
        elif fate.is_kept():
            _resize(content, max(len(content), sector.offset + len(sector.data)))


@dataclass(frozen=True, slots=True)
class _Naming:
    """One change of names: `gone` is not there any more, `name` is that of `node`."""

    gone: str | None = None
    name: str | None = None
    node: "File | Directory | None" = None

    def apply(self, entries: "dict[str, File | Directory]") -> None:
        if self.gone is not None:
            entries.pop(self.gone, None)
        if self.name is not None and self.node is not None:
            for other in [name for name, node in entries.items() if node is self.node]:
                del entries[other]  # the rename before this one was dropped
            entries[self.name] = self.node


class Directory:
    """Names, as they are and as they came down."""

    def __init__(self, number: int, facts: Facts) -> None:
        self.number = number
        self.facts = facts
        self.entries: dict[str, File | Directory] = {}
        self._durable: dict[str, File | Directory] = {}
        self._pending: list[_Naming] = []

    def name(self, naming: _Naming) -> None:
        naming.apply(self.entries)
        self._pending.append(naming)

    def set_facts(self, facts: Facts) -> None:
        """Of directories they are durable at once: nothing under test depends on them."""
        self.facts = facts

    def sync(self) -> None:
        self._durable = dict(self.entries)
        self._pending.clear()

    def lose_power(self, fate: Fate) -> None:
        for naming in fate.kept(self._pending):
            naming.apply(self._durable)
        self.entries = dict(self._durable)
        self._pending.clear()

    def numbers(self) -> Iterator[int]:
        """Of every file and directory that has a name here, or may have one after a power cut."""
        yield from (node.number for node in (*self.entries.values(), *self._durable.values()))
        yield from (naming.node.number for naming in self._pending if naming.node is not None)


Node = File | Directory
AnyNode = TypeVar("AnyNode", File, Directory)


class Disk:
    """A tree of files. Paths begin with a slash; failures are OSErrors as of the system calls."""

    def __init__(self) -> None:
        self.root = Directory(1, Facts(stat.S_IFDIR | 0o755))
        self.nodes: dict[int, Node] = {1: self.root}

    def find(self, path: str) -> Node:
        node: Node = self.root
        for name in path.split("/"):
            if not name:
                continue
            if not isinstance(node, Directory):
                raise _error(errno.ENOTDIR, path)
            if name not in node.entries:
                raise _error(errno.ENOENT, path)
            node = node.entries[name]
        return node

    def file(self, path: str) -> File:
        node = self.find(path)
        if not isinstance(node, File):
            raise _error(errno.EISDIR, path)
        return node

    def directory(self, path: str) -> Directory:
        node = self.find(path)
        if not isinstance(node, Directory):
            raise _error(errno.ENOTDIR, path)
        return node

    def create(self, path: str, facts: Facts) -> File:
        return self._add(path, File(self._free_number(), replace(facts, mode=stat.S_IFREG | facts.mode)))

    def mkdir(self, path: str, facts: Facts) -> Directory:
        return self._add(path, Directory(self._free_number(), replace(facts, mode=stat.S_IFDIR | facts.mode)))

    def unlink(self, path: str) -> None:
        file, (place, name) = self.file(path), self._place(path)
        place.name(_Naming(gone=name))
        file.links = 0

    def rmdir(self, path: str) -> None:
        directory, (place, name) = self.directory(path), self._place(path)
        if directory.entries:
            raise _error(errno.ENOTEMPTY, path)
        place.name(_Naming(gone=name))

    def rename(self, old: str, new: str) -> None:
        """Of a file, within one directory; a file of the new name is replaced."""
        file, (place, gone), (other, name) = self.file(old), self._place(old), self._place(new)
        if place is not other:
            raise _error(errno.EXDEV, new)
        replaced = self.file(new) if name in place.entries else None
        if replaced is file:
            return
        place.name(_Naming(gone, name, file))
        if replaced is not None:
            replaced.links = 0

    def sync_names(self, directory: Directory) -> None:
        """fsync of a directory."""
        directory.sync()
        self._free()

    def open(self, file: File) -> None:
        file.handles += 1

    def close(self, file: File) -> None:
        file.handles -= 1
        self._free()

    def cut(self, fate: Fate) -> None:
        """The power goes, and comes back."""
        for node in self.nodes.values():
            node.lose_power(fate)
        self.nodes = {node.number: node for _, node in self.walk()}

    def walk(self) -> Iterator[tuple[str, Node]]:
        """Every path and what is there."""
        waiting: list[tuple[str, Node]] = [("/", self.root)]
        while waiting:
            path, node = waiting.pop()
            yield path, node
            if isinstance(node, Directory):
                waiting += [(os.path.join(path, name), below) for name, below in node.entries.items()]

    def _add(self, path: str, node: AnyNode) -> AnyNode:
        place, name = self._place(path)
        if name in place.entries:
            raise _error(errno.EEXIST, path)
        place.name(_Naming(name=name, node=node))
        self.nodes[node.number] = node
        return node

    def _place(self, path: str) -> tuple[Directory, str]:
        above, name = os.path.split(path)
        return self.directory(above), name

    def _free(self) -> None:
        """Forget what has no name and is not open, and will have none after a power cut either."""
        places = [node for node in self.nodes.values() if isinstance(node, Directory)]
        named = {self.root.number} | {number for place in places for number in place.numbers()}
        for number, node in list(self.nodes.items()):
            if number not in named and not (isinstance(node, File) and node.handles):
                del self.nodes[number]

    def _free_number(self) -> int:
        return next(number for number in count(2) if number not in self.nodes)


def _error(code: int, path: str) -> OSError:
    return OSError(code, os.strerror(code), path)
