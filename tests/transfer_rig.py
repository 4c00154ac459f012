"""What every test of a transfer needs: an executor, an observer that remembers, and a short way to run one.

async def test_x(rig: Rig): await rig.fetch(url); assert rig.data() == ...
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from transfer.fake import FakeReply, FakeSource
from transfer.http import HttpSource
from transfer.request import PartRecord, Progress, RemoteFile, Result, Settings, TransferRequest, Validators
from transfer.source import Source
from transfer.worker import transfer


@dataclass
class Recorder:
    """An observer that keeps what it is told, in order."""

    started_at: list[int] = field(default_factory=list)
    synced_at: list[int] = field(default_factory=list)
    remote: RemoteFile | None = None
    is_started: asyncio.Event = field(default_factory=asyncio.Event)

    async def started(self, remote: RemoteFile, offset: int) -> None:
        self.remote = remote
        self.started_at.append(offset)
        self.is_started.set()

    async def synced(self, offset: int) -> None:
        self.synced_at.append(offset)


class Rig:
    """Runs transfers into `part` one after another, each continuing where the record says the last one stopped."""

    def __init__(self, folder: Path, source: Source, executor: ThreadPoolExecutor, settings: Settings) -> None:
        self.part = folder / ".BITtest.tmp"
        self.source = source
        self.settings = settings
        self.observer = Recorder()
        self.progress = Progress()
        self._executor = executor

    async def fetch(self, url: str = "http://origin/file", **options: Any) -> Result:  # noqa: ANN401
        """One attempt; the part record and the validators come from what the observer was told before."""
        known = self.observer.remote
        if known is not None:
            offset = (self.observer.synced_at or [0])[-1]
            options = {"part": PartRecord(offset, known.inode), "validators": known.validators} | options
        return await transfer(
            TransferRequest(url, str(self.part), **options),
            source=self.source,
            executor=self._executor,
            settings=self.settings,
            observer=self.observer,
            progress=self.progress,
        )

    def data(self) -> bytes:
        return self.part.read_bytes()

    def hold_part(self, data: bytes, *, is_length_trusted: bool = False, offset: int | None = None) -> PartRecord:
        """As if an earlier attempt had left `data` in the part file."""
        self.part.write_bytes(data)
        return PartRecord(len(data) if offset is None else offset, self.part.stat().st_ino, is_length_trusted)

    def play(self, *scenes: FakeReply | Exception) -> FakeSource:
        """Answer from this script from now on."""
        self.source = source = FakeSource(scenes)
        return source

    def forget(self) -> None:
        """Nothing is on record any more."""
        self.observer = Recorder()

    def hasten(self, **settings: Any) -> None:  # noqa: ANN401
        self.settings = replace(self.settings, **settings)


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    """Over real HTTP, with a stall timeout that a test can wait for."""
    settings = Settings(stall_timeout=0.3, connect_timeout=0.3)
    source = HttpSource(settings)
    with ThreadPoolExecutor(4) as executor:
        yield Rig(tmp_path, source, executor, settings)
    await source.close()


def whole(steps: Iterable[Any], size: int | None, etag: str | None = '"v1"') -> FakeReply:
    """A 200 for a scripted source."""
    fields = {"ETag": etag, "Content-Length": None if size is None else str(size)}
    return FakeReply(tuple(steps), 200, {name: value for name, value in fields.items() if value is not None})


def part_of(steps: Iterable[Any], start: int, end: int, total: int, etag: str | None = '"v1"') -> FakeReply:
    """A 206 for a scripted source, for bytes `start` up to but not including `end`."""
    fields = {"ETag": etag, "Content-Range": f"bytes {start}-{end - 1}/{total}"}
    return FakeReply(tuple(steps), 206, {name: value for name, value in fields.items() if value is not None})


__all__ = ["PartRecord", "Recorder", "Rig", "Validators", "part_of", "rig", "whole"]
