"""What every test of a transfer needs: an executor, an observer that remembers, and a short way to run one.

async def test_x(rig: Rig): await rig.fetch(url); assert rig.data() == ...
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import pytest
from crc32c import crc32c

from transfer.crew import Crew
from transfer.fake import FakeReply, FakeSource
from transfer.http import HttpSource
from transfer.request import (
    PartRecord,
    Piece,
    Progress,
    RemoteFile,
    Result,
    Settings,
    Terms,
    TransferRequest,
    Validators,
)
from transfer.source import Source
from transfer.worker import transfer

TERMS = frozenset(item.name for item in fields(Terms))
"""Options of `Rig.fetch` that say how to deal with the server."""


@dataclass
class Recorder:
    """An observer that keeps what it is told, in order."""

    started_at: list[int] = field(default_factory=list)
    synced_at: list[int] = field(default_factory=list)
    remote: RemoteFile | None = None
    mtime: int | None = None
    checksum: int | None = None
    pieces: tuple[Piece, ...] = ()
    is_started: asyncio.Event = field(default_factory=asyncio.Event)

    async def started(self, remote: RemoteFile, offset: int) -> None:
        self.remote = remote
        self.started_at.append(offset)
        self.is_started.set()

    async def lasts(self) -> None:
        """No news."""

    async def synced(self, offset: int, checksum: int, mtime: int, pieces: tuple[Piece, ...]) -> None:
        self.synced_at.append(offset)
        self.checksum, self.mtime, self.pieces = checksum, mtime, pieces


class Rig:
    """Runs transfers into `part` one after another, each continuing where the record says the last one stopped."""

    def __init__(self, folder: Path, source: Source, executor: Crew, settings: Settings) -> None:
        self.part = folder / ".BITtest.tmp"
        self.source = source
        self.settings = settings
        self.observer = Recorder()
        self.progress = Progress()
        self._executor = executor

    async def fetch(self, url: str = "http://origin/file", *mirrors: str, **options: Any) -> Result:  # noqa: ANN401
        """One attempt; the part record and the validators come from what the observer was told before."""
        known = self.observer.remote
        if known is not None:
            offset = (self.observer.synced_at or [0])[-1]
            seen = self.observer
            record = PartRecord(offset, known.inode, mtime=seen.mtime, checksum=seen.checksum, pieces=seen.pieces)
            options = {"part": record, "validators": known.validators, "fetched_from": known.source} | options
        terms = Terms(**{name: options.pop(name) for name in TERMS & options.keys()})
        room = options.pop("room", None)
        return await transfer(
            TransferRequest((url, *mirrors), str(self.part), terms=terms, **options),
            source=self.source,
            executor=self._executor,
            settings=self.settings,
            observer=self.observer,
            progress=self.progress,
            room=room,
        )

    def data(self) -> bytes:
        return self.part.read_bytes()

    def hold_part(self, data: bytes, *, offset: int | None = None) -> PartRecord:
        """As if an attempt that was killed had left `data` in the part file, with `offset` bytes of it on record."""
        self.part.write_bytes(data)
        offset = len(data) if offset is None else offset
        return PartRecord(offset, self.part.stat().st_ino, mtime=0, checksum=crc32c(data[:offset]))

    def play(self, *scenes: FakeReply | Exception) -> FakeSource:
        """Answer from this script from now on."""
        self.source = source = FakeSource(scenes)
        return source

    def forget(self) -> None:
        """Nothing is on record any more."""
        self.observer = Recorder()

    def hasten(self, **settings: Any) -> None:  # noqa: ANN401
        self.settings = replace(self.settings, **settings)


@pytest.fixture(params=[-1, 0], ids=["general", "taken-over"])
async def rig(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    """Over real HTTP, by both ways of a body, with a stall timeout that a test can wait for."""
    settings = Settings(stall_timeout=0.3, connect_timeout=0.3, take_over_size=request.param)
    source = HttpSource(settings)
    with Crew(4) as executor:
        yield Rig(tmp_path, source, executor, settings)
    await source.close()


def whole(steps: Iterable[Any], size: int | None, etag: str | None = '"v1"', **fields: str) -> FakeReply:
    """A 200 for a scripted source; further header fields with `_` for `-`."""
    return _reply(steps, 200, {"ETag": etag, "Content-Length": None if size is None else str(size)} | fields)


def part_of(
    steps: Iterable[Any], start: int, end: int, total: int, etag: str | None = '"v1"', **fields: str
) -> FakeReply:
    """A 206 for a scripted source, for bytes `start` up to but not including `end`."""
    return _reply(steps, 206, {"ETag": etag, "Content-Range": f"bytes {start}-{end - 1}/{total}"} | fields)


def _reply(steps: Iterable[Any], status: int, fields: Mapping[str, str | None]) -> FakeReply:
    named = {name.replace("_", "-"): value for name, value in fields.items() if value is not None}
    return FakeReply(tuple(steps), status, named)


__all__ = ["PartRecord", "Recorder", "Rig", "Validators", "part_of", "rig", "whole"]
