"""The disk that loses power: what survives a cut, and what does not."""

import asyncio
import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.powercut.disk import SECTOR, Disk, Facts, File
from tests.powercut.fate import MANNERS, Fate, Manner
from tests.powercut.machine import Drive

NEW = Facts(0o600, mtime=1)
MANY = range(200)
"""Seeds: each outcome that is possible comes up among them."""


def strict(disk: Disk) -> Disk:
    disk.cut(Fate(0, "strict"))
    return disk


def named(disk: Disk, path: str, content: bytes = b"") -> File:
    """A file that is on the disk, its name too."""
    file = disk.create(path, NEW)
    file.write(0, content)
    file.sync()
    disk.sync_names(disk.root)
    return file


def outcomes(manner: Manner, prepare: Callable[[Disk], object], look: Callable[[Disk], object]) -> set[object]:
    """What is seen after a cut, by all seeds."""
    seen = set()
    for seed in MANY:
        disk = Disk()
        prepare(disk)
        disk.cut(Fate(seed, manner))
        seen.add(look(disk))
    return seen


def names(disk: Disk) -> tuple[str, ...]:
    return tuple(sorted(disk.root.entries))


def content_of_a(disk: Disk) -> bytes:
    return bytes(disk.file("/a").content)


def test_a_synced_file_without_a_synced_name_is_gone() -> None:
    disk = Disk()
    disk.create("/a", NEW).sync()
    assert names(strict(disk)) == ()


def test_a_synced_name_without_synced_bytes_is_an_empty_file() -> None:
    disk = Disk()
    disk.create("/a", NEW).write(0, b"bytes")
    disk.sync_names(disk.root)
    assert content_of_a(strict(disk)) == b""


def test_what_is_synced_survives_in_every_manner() -> None:
    for manner in MANNERS:
        assert outcomes(manner, lambda disk: named(disk, "/a", b"bytes"), content_of_a) == {b"bytes"}


def test_an_unsynced_rename_is_undone_with_what_it_replaced() -> None:
    disk = Disk()
    named(disk, "/a", b"old")
    named(disk, "/b", b"new")
    disk.rename("/b", "/a")
    assert names(disk) == ("a",)
    strict(disk)
    assert names(disk) == ("a", "b")
    assert content_of_a(disk) == b"old"


def test_an_unsynced_unlink_is_undone() -> None:
    disk = Disk()
    named(disk, "/a", b"bytes")
    disk.unlink("/a")
    assert content_of_a(strict(disk)) == b"bytes"


def test_a_directory_is_a_name_in_the_one_above() -> None:
    disk = Disk()
    below = disk.mkdir("/d", NEW)
    disk.create("/d/a", NEW)
    disk.sync_names(below)
    assert names(strict(disk)) == ()


@pytest.mark.parametrize(
    ("manner", "possible"),
    [("strict", {()}), ("ordered", {(), ("a",), ("a", "b")}), ("independent", {(), ("a",), ("b",), ("a", "b")})],
)
def test_names_survive_in_their_order_or_each_for_itself(manner: Manner, possible: set[object]) -> None:
    def prepare(disk: Disk) -> None:
        disk.create("/a", NEW)
        disk.create("/b", NEW)

    assert outcomes(manner, prepare, names) == possible


@pytest.mark.parametrize("manner", MANNERS)
def test_a_rename_is_whole_or_has_not_been(manner: Manner) -> None:
    def prepare(disk: Disk) -> None:
        named(disk, "/a")
        disk.rename("/a", "/b")
        disk.rename("/b", "/c")

    assert outcomes(manner, prepare, names) <= {("a",), ("b",), ("c",)}


def test_unsynced_bytes_come_in_sectors_and_a_length_may_come_before_its_bytes() -> None:
    def prepare(disk: Disk) -> None:
        named(disk, "/a").write(0, b"1" * SECTOR + b"2" * SECTOR)

    one, two, zeros = b"1" * SECTOR, b"2" * SECTOR, bytes(SECTOR)
    assert outcomes("ordered", prepare, content_of_a) == {
        b"", one, zeros, one + two, one + zeros, zeros + two, zeros + zeros,
    }  # fmt: skip


def test_bytes_are_not_older_than_a_cut_before_them_unless_there_is_no_order() -> None:
    def prepare(disk: Disk) -> None:
        file = named(disk, "/a", b"old" + b"." * SECTOR)
        file.cut(0)
        file.write(0, b"new")

    mixed = b"new" + b"." * SECTOR
    assert mixed not in outcomes("ordered", prepare, content_of_a)
    assert mixed in outcomes("independent", prepare, content_of_a)


def test_of_an_unsynced_time_only_fsync_or_a_new_length_keeps_the_newest() -> None:
    def mtime(*, grows: bool, is_data_only: bool) -> int:
        disk = Disk()
        file = named(disk, "/a", b"bytes")
        file.set_facts(Facts(0o600, mtime=7))
        file.sync()
        if grows:
            file.write(5, b"more")
        file.set_facts(Facts(0o600, mtime=8))
        file.sync(is_data_only=is_data_only)
        return strict(disk).file("/a").facts.mtime

    assert mtime(grows=False, is_data_only=True) == 7
    assert mtime(grows=True, is_data_only=True) == 8
    assert mtime(grows=False, is_data_only=False) == 8


def test_a_file_keeps_its_number_and_that_of_a_lost_one_is_given_again() -> None:
    disk = Disk()
    kept = named(disk, "/a")
    lost = disk.create("/b", NEW)
    strict(disk)
    assert disk.file("/a").number == kept.number
    assert disk.create("/c", NEW).number == lost.number


def test_the_number_of_a_removed_file_is_not_given_again_while_it_may_come_back() -> None:
    disk = Disk()
    file = named(disk, "/a")
    disk.unlink("/a")
    assert disk.create("/b", NEW).number != file.number
    disk.sync_names(disk.root)
    assert disk.create("/c", NEW).number == file.number


async def test_the_same_holds_for_system_calls_on_the_mounted_disk(tmp_path: Path) -> None:
    async with Drive(tmp_path) as drive:
        await asyncio.to_thread(_make, drive.directory)
        number = (drive.directory / "kept").stat().st_ino
        await drive.tell("arm", 2, "create")
        off = asyncio.create_task(drive.tell("run", 60))
        (drive.directory / "unsynced").touch()
        last = asyncio.create_task(asyncio.to_thread((drive.directory / "last").touch))
        assert (await off)["after"] == "create /last"
        assert not last.done()
        await drive.tell("kill")
        with pytest.raises(OSError, match=os.strerror(errno.EIO)):
            await last
        assert (await drive.tell("on", 1, "strict"))["sizes"]["/kept"] == 12
        assert os.listdir(drive.directory) == ["kept"]
        assert (drive.directory / "kept").read_bytes() == b"synced"
        assert (drive.directory / "kept").stat().st_ino == number


def _make(directory: Path) -> None:
    with (directory / "kept").open("wb") as file:
        file.write(b"synced")
        file.flush()
        os.fsync(file.fileno())
        file.write(b", lost")
    number = os.open(directory, os.O_RDONLY)
    os.fsync(number)
    os.close(number)
