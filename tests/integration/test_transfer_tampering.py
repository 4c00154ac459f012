"""A temporary file that somebody else touches between two attempts, or before it gets its name."""

import asyncio
import errno
import os
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from daemon.identity import Executors
from jobqueue.job import Owner
from tests.acceptance.raw import public_home
from tests.disk import OTHER_USER
from tests.transfer_rig import Rig, part_of, whole
from transfer.crew import Crew
from transfer.errors import LocalFileError
from transfer.fake import Drop, FakeSource
from transfer.publishing import publish
from transfer.request import Settings

LAST_MODIFIED = "Wed, 01 Jan 2025 00:00:00 GMT"


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    with Crew(4) as executor:
        yield Rig(tmp_path, FakeSource([]), executor, Settings(reopen_limit=0))


async def begin(rig: Rig) -> None:
    """An attempt that ends in good order with four of ten bytes."""
    rig.play(whole([b"0123", Drop()], 10))
    with pytest.raises(Exception, match="drops"):
        await rig.fetch()
    assert rig.data() == b"0123"


def edit(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"XX")


def edit_and_date_back(path: Path) -> None:
    edit(path)
    os.utime(path, (1, 1))


def replace(path: Path) -> None:
    path.unlink()
    path.write_bytes(b"XXXX")


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"XX")


def pad(path: Path) -> None:
    """The length is as before, the bytes are not."""
    os.truncate(path, 0)
    os.truncate(path, 4)


CHANGES = [edit, edit_and_date_back, replace, pad, lambda path: os.truncate(path, 2), Path.unlink]
TAMPERINGS = [*CHANGES, append]


async def test_an_untouched_part_is_continued_and_keeps_its_date_until_then(rig: Rig) -> None:
    await begin(rig)
    assert rig.observer.mtime == rig.part.stat().st_mtime_ns
    rig.play(ConnectionRefusedError())
    with pytest.raises(ConnectionRefusedError):
        await rig.fetch()
    assert rig.observer.mtime == rig.part.stat().st_mtime_ns
    source = rig.play(part_of([b"456789"], 4, 10, 10))
    result = await rig.fetch()
    assert (source.asks[0].span is not None, rig.data()) == (True, b"0123456789")
    assert result.mtime == rig.part.stat().st_mtime_ns


@pytest.mark.parametrize("tamper", CHANGES)
async def test_a_part_that_somebody_changed_between_two_attempts_is_fetched_anew(
    rig: Rig, tamper: Callable[[Path], None]
) -> None:
    await begin(rig)
    tamper(rig.part)
    source = rig.play(whole([b"0123456789"], 10))
    await rig.fetch()
    assert source.asks[0].span is None
    assert rig.data() == b"0123456789"


@pytest.mark.parametrize("touch", [append, Path.touch])
async def test_a_part_whose_bytes_are_still_those_that_came_is_continued(
    rig: Rig, touch: Callable[[Path], None]
) -> None:
    await begin(rig)
    touch(rig.part)
    source = rig.play(part_of([b"456789"], 4, 10, 10))
    await rig.fetch()
    assert (source.asks[0].span is not None, rig.data()) == (True, b"0123456789")


async def test_what_is_not_ours_any_more_is_neither_written_to_nor_cut(rig: Rig) -> None:
    await begin(rig)
    edit(rig.part)
    with rig.part.open("rb") as theirs:
        rig.play(whole([b"0123456789"], 10))
        await rig.fetch()
        assert theirs.read() == b"XX23"


async def test_a_synced_part_is_dated_by_more_than_a_tick_of_the_clock(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 1_750_000_000_123_456_789)
    rig.play(whole([b"0123456789"], 10))
    assert (await rig.fetch()).mtime == 1_750_000_000_123_456_789


@pytest.fixture
def part(tmp_path: Path) -> Path:
    path = tmp_path / "part"
    path.write_bytes(b"0123")
    os.utime(path, ns=(1, time.time_ns()))
    return path


def to_link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


def to_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def to_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("tamper", [*TAMPERINGS, to_link, to_pipe, to_directory])
@pytest.mark.parametrize("last_modified", [None, LAST_MODIFIED])
def test_a_finished_file_that_somebody_changed_is_not_published(
    part: Path, tamper: Callable[[Path], None], last_modified: str | None
) -> None:
    facts, target = part.stat(), part.with_name("target")
    target.write_bytes(b"before")
    tamper(part)
    with pytest.raises(LocalFileError) as caught:
        publish(str(part), str(target), 4, last_modified=last_modified, inode=facts.st_ino, mtime=facts.st_mtime_ns)
    assert caught.value.errno == (errno.ENOENT if tamper is Path.unlink else errno.ESTALE)
    assert (caught.value.path, str(part) in str(caught.value)) == (str(part), True)
    assert target.read_bytes() == b"before"


def test_a_pipe_is_no_empty_file(part: Path) -> None:
    to_pipe(part)
    with pytest.raises(LocalFileError) as caught:
        publish(str(part), str(part.with_name("target")), 0)
    assert caught.value.errno == errno.ESTALE


def test_publishing_goes_on_after_it_dated_the_file_and_failed(part: Path) -> None:
    facts, target = part.stat(), part.with_name("target")
    target.mkdir()
    for _ in range(2):
        with pytest.raises(LocalFileError) as caught:
            publish(str(part), str(target), 4, last_modified=LAST_MODIFIED, inode=facts.st_ino, mtime=facts.st_mtime_ns)
        assert (caught.value.errno, caught.value.path) == (errno.EISDIR, str(target))
    target.rmdir()
    for _ in range(2):
        publish(str(part), str(target), 4, last_modified=LAST_MODIFIED, inode=facts.st_ino, mtime=facts.st_mtime_ns)
        assert target.read_bytes() == b"0123"


def test_a_file_that_only_has_the_inode_of_the_finished_one_was_not_published(part: Path) -> None:
    facts, target = part.stat(), part.with_name("target")
    part.rename(target)
    edit(target)
    with pytest.raises(LocalFileError) as caught:
        publish(str(part), str(target), 4, inode=facts.st_ino, mtime=facts.st_mtime_ns)
    assert (caught.value.errno, caught.value.path) == (errno.ENOENT, str(part))


@pytest.mark.parametrize(("name", "code"), [("gone/target", errno.ENOENT), ("n" * 300, errno.ENAMETOOLONG)])
def test_a_target_that_cannot_be_made_is_named_and_the_part_stays(part: Path, name: str, code: int) -> None:
    target = part.with_name("x").parent / name
    with pytest.raises(LocalFileError) as caught:
        publish(str(part), str(target), 4)
    assert (caught.value.errno, caught.value.path) == (code, str(target))
    assert part.read_bytes() == b"0123"


async def test_a_directory_that_its_user_may_not_look_into_takes_the_file() -> None:
    executors = Executors()
    owner = Owner(OTHER_USER, OTHER_USER, "other") if os.geteuid() == 0 else Owner(os.getuid(), os.getgid(), "self")
    with public_home() as home:
        (home / "box").mkdir()
        (home / "box").chmod(0o333)
        rig = Rig(home / "box", FakeSource([]), executors.of(owner), Settings())
        rig.play(whole([b"0123456789"], 10))
        try:
            result = await rig.fetch()
            target = str(home / "box" / "target")
            await asyncio.get_running_loop().run_in_executor(executors.of(owner), publish, str(rig.part), target, 10)
        finally:
            executors.close()
            (home / "box").chmod(0o777)
        assert (home / "box" / "target").read_bytes() == b"0123456789"
        assert result.size == 10
