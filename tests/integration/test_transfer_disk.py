"""What the disk says no to: each step of a transfer fails by the name of the error and the path, and harms nothing."""

import asyncio
import ctypes
import errno
import os
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from daemon.identity import Executors
from jobqueue.job import Owner
from tests.acceptance.raw import public_home
from tests.disk import OTHER_USER, SIZE, Disk, small_disk
from tests.transfer_rig import Rig, part_of, whole
from transfer import partfile, space
from transfer.crew import Crew
from transfer.errors import LocalFileError
from transfer.fake import FakeSource
from transfer.partfile import PartFile, part_file
from transfer.publishing import publish
from transfer.request import PartRecord, Settings

ROOM = 8 << 20
LINES = [b"%07d\n" % number * (SIZE // 64) for number in range(16)]
"""Twice as much as the small disk takes."""


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    with Crew(4) as executor:
        yield Rig(tmp_path, FakeSource([]), executor, Settings())


@pytest.fixture
async def part(tmp_path: Path) -> AsyncIterator[PartFile]:
    with Crew(4) as executor:
        async with part_file(str(tmp_path / "part"), PartRecord(), executor=executor) as opened:
            opened.append(opened.runs.first, b"0123")
            yield opened


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with small_disk(tmp_path / "disk") as made:
        yield made


def taken(part: PartFile) -> int:
    return os.stat(part.path).st_blocks * 512


# Room


async def test_room_is_taken_but_is_no_length_and_is_given_back_with_the_bytes(part: PartFile) -> None:
    await part.reserve(ROOM)
    assert taken(part) >= ROOM
    assert Path(part.path).read_bytes() == b"0123"
    await part.reserve(ROOM)
    assert taken(part) < 2 * ROOM
    await part.clear()
    assert taken(part) < ROOM // 2


async def test_room_that_is_taken_is_there_for_the_next_attempt(
    part: PartFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    await part.reserve(ROOM)
    monkeypatch.setattr(os, "fstatvfs", lambda _number: nothing_free())
    with Crew(1) as executor:
        record = PartRecord(4, os.stat(part.path).st_ino, checksum=part.runs.first.tail[1])
        async with part_file(part.path, record, executor=executor) as again:
            await again.reserve(ROOM)
            with pytest.raises(LocalFileError):
                await again.reserve(2 * ROOM)
    assert taken(part) >= ROOM


def nothing_free() -> os.statvfs_result:
    return os.statvfs_result((4096, 4096, 1000, 0, 0, 0, 0, 0, 0, 255))


async def test_more_than_the_disk_has_is_refused_before_the_first_byte(rig: Rig) -> None:
    facts = os.statvfs(rig.part.parent)
    rig.play(whole([b"0123456789"], facts.f_blocks * facts.f_frsize + ROOM))
    with pytest.raises(LocalFileError, match=r"\d+ more bytes are needed, \d+ are free \(ENOSPC\)") as caught:
        await rig.fetch()
    assert (caught.value.errno, caught.value.path) == (errno.ENOSPC, str(rig.part))
    assert rig.data() == b""
    assert rig.part.stat().st_blocks == 0
    assert rig.observer.started_at == [0]


def refusing(code: int, *, after: int = 0) -> Callable[..., int]:
    """A fallocate that takes so many bytes and then fails."""
    real = space._fallocate

    def fallocate(number: int, mode: int, start: int, length: int) -> int:
        if after:
            real(number, mode, start, after)
        ctypes.set_errno(code)
        return -1

    return fallocate


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO])
async def test_a_reservation_that_fails_half_way_gives_back_what_it_took(
    part: PartFile, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    monkeypatch.setattr(space, "_fallocate", refusing(code, after=ROOM // 2))
    with pytest.raises(LocalFileError) as caught:
        await part.reserve(ROOM)
    assert (caught.value.errno, caught.value.path) == (code, part.path)
    assert errno.errorcode[code] in str(caught.value)
    assert ("bytes are needed" in str(caught.value)) is (code == errno.ENOSPC)
    assert taken(part) < ROOM // 2
    assert Path(part.path).read_bytes() == b"0123"


@pytest.mark.parametrize("code", [errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL])
async def test_where_room_cannot_be_taken_it_is_enough_that_it_is_there(
    part: PartFile, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    monkeypatch.setattr(space, "_fallocate", refusing(code))
    await part.reserve(ROOM)
    monkeypatch.setattr(os, "fstatvfs", lambda _number: nothing_free())
    with pytest.raises(LocalFileError, match=rf"{ROOM - taken(part)} more bytes are needed, 0 are free"):
        await part.reserve(ROOM)


async def test_a_file_system_that_does_not_say_what_is_free_is_taken_at_its_writes(
    part: PartFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fstatvfs", lambda _number: os.statvfs_result((0,) * 10))
    await part.reserve(ROOM)
    assert taken(part) >= ROOM


@pytest.mark.parametrize("code", [0, errno.EOPNOTSUPP])
async def test_of_a_large_file_nothing_that_is_on_the_disk_stays_in_memory(
    part: PartFile, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    done: list[str] = []

    def advised(number: int, start: int, length: int, advice: int) -> None:
        done.append("dropped")
        assert (os.readlink(f"/proc/self/fd/{number}"), start, length) == (part.path, 0, 0)
        assert advice == os.POSIX_FADV_DONTNEED
        if code:
            raise OSError(code, os.strerror(code))

    whole = os.fsync

    def synced(number: int) -> None:
        done.append("synced")
        whole(number)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "posix_fadvise", advised)
    monkeypatch.setattr(partfile, "KEPT_IN_MEMORY", 6)
    await part.sync()
    assert "dropped" not in done  # it has four bytes
    part.append(part.runs.first, b"456")
    done.clear()
    await part.sync()
    assert done == ["synced", "dropped"]


async def test_a_reservation_that_a_signal_interrupts_is_taken_up_again(
    part: PartFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted, real = refusing(errno.EINTR), space._fallocate

    def fallocate(*arguments: int) -> int:
        monkeypatch.setattr(space, "_fallocate", real)
        return interrupted(*arguments)

    monkeypatch.setattr(space, "_fallocate", fallocate)
    await part.reserve(ROOM)
    assert taken(part) >= ROOM


# Real refusals


@pytest.mark.parametrize("chunk_size", [SIZE // 8, 4 * SIZE])
async def test_a_disk_that_fills_up_keeps_what_it_took_and_the_rest_comes_when_there_is_room(
    rig: Rig, disk: Disk, chunk_size: int
) -> None:
    rig.hasten(chunk_size=chunk_size)
    rig.part = disk.path / "part"
    rig.play(whole(LINES, None))
    with pytest.raises(LocalFileError) as caught:
        await rig.fetch()
    assert (caught.value.errno, caught.value.path) == (disk.full, str(rig.part))
    kept = rig.observer.synced_at[-1]
    assert SIZE // 2 <= kept <= SIZE
    assert rig.data()[:kept] == b"".join(LINES)[:kept]
    disk.grow()
    total = sum(map(len, LINES))
    rig.play(part_of([b"".join(LINES)[kept:]], kept, total, total))
    await rig.fetch()
    assert rig.data() == b"".join(LINES)


@pytest.fixture
def user_rig() -> Iterator[Callable[[Path], Rig]]:
    """A transfer for somebody whom the kernel refuses things: another account if we are root."""
    executors = Executors()
    owner = Owner(OTHER_USER, OTHER_USER, "other") if os.geteuid() == 0 else Owner(os.getuid(), os.getgid(), "self")
    yield lambda folder: Rig(folder, FakeSource([]), executors.of(owner), Settings())
    executors.close()


async def test_a_disk_that_became_read_only_is_an_error_and_the_part_stays(
    user_rig: Callable[[Path], Rig],
) -> None:
    with public_home() as home, small_disk(home / "disk") as disk:
        rig = user_rig(disk.path)
        disk.path.chmod(0o777)
        rig.play(whole([b"0123456789"], 10))
        result = await rig.fetch()
        disk.freeze()
        rig.part = disk.path / "another"
        with pytest.raises(LocalFileError) as caught:
            await rig.fetch()
        assert (caught.value.errno, caught.value.path) == (disk.frozen, str(rig.part))
        part, target = disk.path / ".BITtest.tmp", str(disk.path / "target")
        publishing = rig._executor.submit(publish, str(part), target, 10, mtime=result.mtime)
        refused = publishing.exception(10)
        assert isinstance(refused, LocalFileError)
        assert (refused.errno, refused.path) == (disk.frozen, target)
        assert part.read_bytes() == b"0123456789"


@pytest.mark.parametrize("mode", [0o555, 0o000])
async def test_a_directory_that_the_user_may_not_write_to_is_an_error(
    user_rig: Callable[[Path], Rig], mode: int
) -> None:
    with public_home() as home:
        (home / "closed").mkdir(mode)
        rig = user_rig(home / "closed")
        for make_dirs in (False, True):
            with pytest.raises(LocalFileError) as caught:
                await rig.fetch(make_dirs=make_dirs)
            assert (caught.value.errno, caught.value.path) == (errno.EACCES, str(rig.part))
        (home / "closed").chmod(0o755)


async def test_a_name_that_is_too_long_is_an_error(rig: Rig, tmp_path: Path) -> None:
    rig.part = tmp_path / ("n" * 300)
    with pytest.raises(LocalFileError) as caught:
        await rig.fetch()
    assert (caught.value.errno, caught.value.path) == (errno.ENAMETOOLONG, str(rig.part))


# Refusals that no healthy kernel gives: one call of the system fails

CODES = [errno.EIO, errno.EDQUOT, errno.ENOSPC, errno.EROFS]


def breaks(monkeypatch: pytest.MonkeyPatch, target: object, name: str, code: int) -> None:
    def fail(*arguments: Any, **options: Any) -> None:  # noqa: ANN401
        raise OSError(code, "broken")

    monkeypatch.setattr(target, name, fail)


STEPS: dict[str, Callable[[PartFile], Any]] = {
    "reserve space for": lambda part: part.reserve(ROOM),
    "write": lambda part: asyncio.to_thread(part.append, part.runs.first, b"x"),
    "read": lambda part: part.read(0, 4),
    "sync": lambda part: part.sync(),
    "truncate": lambda part: part.clear(),
}


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("verb", STEPS)
async def test_every_step_fails_by_its_name_and_path(
    part: PartFile, monkeypatch: pytest.MonkeyPatch, verb: str, code: int
) -> None:
    with monkeypatch.context() as patch:
        breaks(patch, os, "pread", code)
        breaks(patch, os, "fsync", code)
        breaks(patch, os, "fstatvfs", code)
        breaks(patch, os, "pwritev", code)
        breaks(patch, os, "ftruncate", code)
        with pytest.raises(LocalFileError) as caught:
            await STEPS[verb](part)
    assert (caught.value.errno, caught.value.path) == (code, part.path)
    assert str(caught.value) == f"cannot {verb} {part.path}: {os.strerror(code)} ({errno.errorcode[code]})"


@pytest.mark.parametrize("code", CODES)
async def test_a_file_that_cannot_be_closed_is_not_finished(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    closed, real = [], os.close

    def close(number: int) -> None:
        is_part = os.readlink(f"/proc/self/fd/{number}") == str(rig.part)
        real(number)
        if is_part:
            closed.append(number)
            raise OSError(code, "broken")

    monkeypatch.setattr(os, "close", close)
    rig.play(whole([b"0123456789"], 10))
    with pytest.raises(LocalFileError, match="cannot close") as caught:
        await rig.fetch()
    assert (caught.value.errno, caught.value.path, len(closed)) == (code, str(rig.part), 1)
    rig.forget()
    rig.play(ConnectionRefusedError())
    with pytest.raises(ConnectionRefusedError):  # the first failure is the one to tell
        await rig.fetch()
    assert len(closed) == 2


async def test_a_write_that_the_disk_takes_in_pieces_arrives_whole(
    part: PartFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "pwritev", lambda number, data, offset: os.pwrite(number, b"".join(data)[:3], offset))
    part.append(part.runs.first, b"4567", b"8", b"9abcdef")
    assert Path(part.path).read_bytes() == b"0123456789abcdef"


PUBLISHING = {"open": ("publish", "part"), "rename": ("rename to", "target"), "fsync": ("sync", "part")}


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("call", PUBLISHING)
def test_a_file_that_cannot_be_published_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    (tmp_path / "part").write_bytes(b"0123")
    verb, name = PUBLISHING[call]
    with monkeypatch.context() as patch:
        breaks(patch, os, call, code)
        with pytest.raises(LocalFileError, match=f"cannot {verb} ") as caught:
            publish(str(tmp_path / "part"), str(tmp_path / "target"), 4)
    assert (caught.value.errno, caught.value.path) == (code, str(tmp_path / name))
    assert (tmp_path / "part").read_bytes() == b"0123"


def test_a_directory_that_cannot_be_synced_is_an_error_and_a_second_call_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part, target = tmp_path / "part", tmp_path / "target"
    part.write_bytes(b"0123")
    inode, real = part.stat().st_ino, os.fsync

    def fsync(number: int) -> None:
        if stat.S_ISDIR(os.fstat(number).st_mode):
            raise OSError(errno.EIO, "broken")
        real(number)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        for _ in range(2):
            with pytest.raises(LocalFileError) as caught:
                publish(str(part), str(target), 4, inode=inode)
            assert (caught.value.errno, caught.value.path) == (errno.EIO, str(tmp_path))
    publish(str(part), str(target), 4, inode=inode)
    assert target.read_bytes() == b"0123"
