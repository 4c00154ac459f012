"""The local side of a transfer: the part file in a world where others may touch it."""

import errno
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.transfer_rig import Rig, part_of, whole
from transfer.crew import Crew
from transfer.errors import LocalFileError
from transfer.fake import FakeSource
from transfer.publishing import discard, publish
from transfer.request import Settings, Validators

KNOWN = Validators('"v1"', None, 10)


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    with Crew(4) as executor:
        yield Rig(tmp_path, FakeSource([]), executor, Settings())


async def test_a_missing_directory_is_an_error_with_its_path_or_is_made(rig: Rig, tmp_path: Path) -> None:
    rig.part = tmp_path / "a" / "b" / "part"
    rig.play(whole([b"0123456789"], 10))
    with pytest.raises(LocalFileError) as caught:
        await rig.fetch()
    assert (caught.value.errno, caught.value.path) == (errno.ENOENT, str(rig.part))
    assert "ENOENT" in str(caught.value)
    await rig.fetch(make_dirs=True)
    assert rig.data() == b"0123456789"


async def test_a_part_replaced_by_somebody_else_is_not_continued(rig: Rig) -> None:
    record = rig.hold_part(b"0123")
    rig.part.rename(rig.part.with_name("moved"))
    rig.part.write_bytes(b"XXXXXXXX")
    source = rig.play(whole([b"0123456789"], 10))
    await rig.fetch(part=record, validators=KNOWN)
    assert rig.data() == b"0123456789"
    assert rig.part.with_name("moved").read_bytes() == b"0123"
    assert source.asks[0].span is None


async def test_a_link_to_the_very_file_on_record_is_not_continued_either(rig: Rig) -> None:
    record = rig.hold_part(b"0123")
    moved = rig.part.rename(rig.part.with_name("moved"))
    rig.part.symlink_to(moved)
    source = rig.play(whole([b"0123456789"], 10))
    await rig.fetch(part=record, validators=KNOWN)
    assert source.asks[0].span is None
    assert moved.read_bytes() == b"0123"


async def test_a_part_that_is_shorter_than_its_record_is_not_continued(rig: Rig) -> None:
    record = rig.hold_part(b"012", offset=4)
    rig.play(whole([b"0123456789"], 10))
    await rig.fetch(part=record, validators=KNOWN)
    assert rig.data() == b"0123456789"


async def test_a_part_with_a_second_name_is_not_written_to(rig: Rig, tmp_path: Path) -> None:
    record = rig.hold_part(b"0123")
    (tmp_path / "other").hardlink_to(rig.part)
    rig.play(whole([b"abcdefghij"], 10))
    await rig.fetch(part=record, validators=KNOWN)
    assert rig.data() == b"abcdefghij"
    assert (tmp_path / "other").read_bytes() == b"0123"


@pytest.mark.parametrize("has_record", [False, True])
async def test_a_link_in_place_of_the_part_is_never_followed(rig: Rig, tmp_path: Path, has_record: bool) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    record = rig.hold_part(b"0123")
    rig.part.unlink()
    rig.part.symlink_to(victim)
    rig.play(whole([b"0123456789"], 10))
    if has_record:
        await rig.fetch(part=record, validators=KNOWN)
    else:
        await rig.fetch()
    assert victim.read_bytes() == b"precious"
    assert rig.data() == b"0123456789"
    assert not rig.part.is_symlink()


async def test_a_pipe_in_place_of_the_part_does_not_hang(rig: Rig) -> None:
    record = rig.hold_part(b"0123")
    rig.part.unlink()
    os.mkfifo(rig.part)
    rig.play(whole([b"0123456789"], 10))
    await rig.fetch(part=record, validators=KNOWN)
    assert rig.data() == b"0123456789"


async def test_a_directory_in_place_of_the_part_is_an_error(rig: Rig) -> None:
    rig.part.mkdir()
    rig.play(whole([b"0123456789"], 10))
    with pytest.raises(LocalFileError):
        await rig.fetch()


async def test_a_failed_sync_is_an_error_and_nothing_is_reported_as_synced(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = [OSError(errno.EIO, "bad disk")]

    def fsync(_number: int) -> None:
        if failures:
            raise failures.pop()

    monkeypatch.setattr(os, "fsync", fsync)
    rig.play(part_of([b"456789"], 4, 10, 10))
    with pytest.raises(LocalFileError):
        await rig.fetch(part=rig.hold_part(b"0123"), validators=KNOWN)
    assert rig.observer.synced_at == []


async def test_a_directory_that_vanishes_during_the_transfer_harms_nothing_else(rig: Rig, tmp_path: Path) -> None:
    rig.part = tmp_path / "gone" / "part"
    rig.part.parent.mkdir()
    rig.play(whole([b"0123456789"], 10))
    await rig.fetch()
    shutil.rmtree(rig.part.parent)
    with pytest.raises(LocalFileError) as caught:
        publish(str(rig.part), str(tmp_path / "target"), 10)
    assert caught.value.errno == errno.ENOENT
    assert not (tmp_path / "target").exists()


def test_publishing_renames_dates_and_may_be_repeated(tmp_path: Path) -> None:
    part, target = tmp_path / "part", tmp_path / "target"
    part.write_bytes(b"new")
    target.write_bytes(b"old")
    inode = part.stat().st_ino
    for _ in range(2):
        publish(str(part), str(target), 3, last_modified="Wed, 01 Jan 2025 00:00:00 GMT", inode=inode)
        assert target.read_bytes() == b"new"
        assert target.stat().st_mtime == 1_735_689_600
        assert not part.exists()
    with pytest.raises(LocalFileError):
        publish(str(part), str(target), 3, inode=inode + 1)


def test_publishing_refuses_what_somebody_changed(tmp_path: Path) -> None:
    part, target = tmp_path / "part", tmp_path / "target"
    part.write_bytes(b"new")
    for size, inode in ((4, None), (3, part.stat().st_ino + 1)):
        with pytest.raises(LocalFileError):
            publish(str(part), str(target), size, inode=inode)
    target.mkdir()
    with pytest.raises(LocalFileError) as caught:
        publish(str(part), str(target), 3, last_modified="no date at all")
    assert (caught.value.errno, caught.value.path) == (errno.EISDIR, str(target))
    assert part.exists()


def test_discarding_may_be_repeated(tmp_path: Path) -> None:
    part = tmp_path / "part"
    part.write_bytes(b"x")
    assert discard([str(part)]) == []
    assert discard([str(part), str(tmp_path / "gone" / "part")]) == []
    assert not part.exists()
    part.mkdir()
    assert discard([str(part)]) == [str(part)]
