"""Many kills of one service at work, each at a moment of its own, and what was promised is looked at after it.

Owns the course of a campaign and its figures. What must hold is in notes.py and chronicle.py.

Bytes fetched twice: when a file goes on after a kill that broke its reply off, those that the origin had sent of it
before and sends again (fetches.py). What a suspend or a stop costs is not charged to kills.
"""

import asyncio
import os
import random
import signal
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tests.findings import Findings
from tests.kills.crowd import Crowd
from tests.kills.fetches import Again, CountingOrigin, sent_again
from tests.kills.inspection import Inspector
from tests.kills.moments import KINDS, SIDES, Kind, Point
from tests.kills.service import GoneError, Nursery, Service

SYNC_SIZE = 256 << 10
"""Bytes of a sync batch here; 64 MiB in reality."""
CHUNK_SIZE = 64 << 10
"""Bytes that are gathered before they are written; 1 MiB in reality."""
TAKE_OVER_SIZE = 512 << 10
"""Bytes of a body that is read from its connection; 16 MiB in reality."""
SYNC_BATCH = 2 * SYNC_SIZE + CHUNK_SIZE
"""Bytes of a file that are received and not on record at any time: what arrives during a sync, too."""
ON_THE_WAY = 768 << 10
"""Bytes of a transfer between the origin and the sink: in sockets and in the buffers of who reads them."""
MOST_AGAIN = SYNC_BATCH + ON_THE_WAY
"""Bytes of a transfer that a kill may cost."""
SETTINGS = {
    "BITSD_TRANSFER__CHUNK_SIZE": str(CHUNK_SIZE),
    "BITSD_TRANSFER__TAKE_OVER_SIZE": str(TAKE_OVER_SIZE),
    "BITSD_TRANSFER__STALL_TIMEOUT": "30",
    "BITSD_LIMITS__JOBS_PER_USER": "0",
    "BITSD_LIMITS__JOBS_PER_MACHINE": "0",
    "SYNC_SIZE": str(SYNC_SIZE),
}
LONGEST_LIFE = 1.0
"""Seconds after which the service is killed if it did not get to the point where it would kill itself."""
NUMBERS: dict[Kind, int] = {
    "commit": 60, "pwrite": 60, "sync": 24, "rename": 4, "unlink": 4, "truncate": 3
}  # fmt: skip
"""Up to which moment of a kind there is a crash."""

MOST_TOLD = 20
"""Findings in a table."""
Manner = Literal["point", "moment", "early", "stop", "stop and kill"]
MANNERS: tuple[Manner, ...] = ("point",) * 10 + ("moment",) * 6 + ("early", "stop", "stop and kill")


@dataclass(slots=True)
class Figures:
    """What came of a campaign."""

    findings: Findings = field(default_factory=Findings)
    kills: Counter[str] = field(default_factory=Counter)
    """By where they hit."""
    stops: int = 0
    hits: int = 0
    """Kills while bytes were flowing."""
    hit_transfers: int = 0
    again: list[Again] = field(default_factory=list)
    jobs: int = 0
    completed: int = 0
    cancelled: int = 0
    events: int = 0

    @property
    def again_by_kills(self) -> list[int]:
        return [again.size for again in self.again if again.is_by_kill]

    @property
    def again_per_transfer(self) -> int:
        """On average, of those that a kill hit."""
        return sum(self.again_by_kills) // max(1, self.hit_transfers)

    def table(self) -> str:
        """For people, with every finding."""
        found, kills = self.findings, self.again_by_kills
        where = ", ".join(f"{count} {place}" for place, count in sorted(self.kills.items(), key=lambda pair: -pair[1]))
        rows: list[tuple[str, object]] = [
            ("kills", f"{self.kills.total()} ({where})"),
            ("stops by SIGTERM", self.stops),
            ("jobs", f"{self.jobs}, {self.completed} completed, {self.cancelled} cancelled, {self.events} events"),
            ("acknowledged jobs lost", len(found.lost)),
            ("wrong files", len(found.wrong)),
            ("double events", len(found.double)),
            ("temporary files left", len(found.left)),
            ("calls that failed", len(found.failed)),
            ("kills that hit transfers", f"{self.hits}, {self.hit_transfers} transfers"),
            (
                "bytes fetched twice",
                f"{sum(kills)}: {sum(kills) // max(1, self.hits)} per kill, {self.again_per_transfer} per transfer",
            ),
            (
                "  of one transfer",
                f"at most {max(kills, default=0)} (a sync batch: {SYNC_BATCH}, and {ON_THE_WAY} on their way)",
            ),
        ]
        lines = [f"{name:<26}{value}" for name, value in rows]
        return "\n".join([*lines, *found.sentences()[:MOST_TOLD]])


async def run(home: Path, *, kills: int, seed: int) -> Figures:
    """Kill so many times, then let all jobs come to their end; ends early when something is found."""
    async with CountingOrigin() as origin, Nursery() as nursery:
        campaign = _Campaign(Service(home, nursery, **SETTINGS), origin, seed)
        return await campaign.run(kills)


class _Campaign:
    def __init__(self, service: Service, origin: CountingOrigin, seed: int) -> None:
        self._chances = random.Random(seed)
        self._figures = Figures()
        self._service = service
        self._origin = origin
        self._crowd = Crowd(service, origin, seed, self._figures.findings)
        self._inspector = Inspector(service, self._crowd, seed, self._figures.findings)

    async def run(self, kills: int) -> Figures:
        figures = self._figures
        while figures.kills.total() < kills and not figures.findings:
            await self._life()
        self._service.crash_at = None
        async with self._service as service:
            async with service.session() as session:
                await self._inspector.inspect(session)
                await self._inspector.finish(session)
            if figures.findings:
                return figures
            await service.kill()
            await service.start()
            async with service.session() as session:
                documents, events = await self._inspector.judge_end(session)
            self._note_exit(await service.signal(signal.SIGTERM), may_be=0)
        states = Counter(document["state"] for document in documents)
        figures.jobs, figures.events = len(documents), len(events)
        figures.completed, figures.cancelled = states["ACKNOWLEDGED"], states["CANCELLED"]
        figures.again = sent_again(self._origin.fetches, self._crowd.served)
        return figures

    async def _life(self) -> None:
        """From a start to a kill or a stop."""
        manner = self._chances.choice(MANNERS)
        self._service.crash_at = self._point() if manner == "point" else None
        await self._service.begin()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._live())
            group.create_task(self._end(manner))

    async def _live(self) -> None:
        with suppress(GoneError):
            await self._service.answers()
            async with self._service.session() as session:
                await self._inspector.inspect(session)
            await self._crowd.live()

    async def _end(self, manner: Manner) -> None:
        service, crash_at = self._service, self._service.crash_at
        chance = self._chances.random()
        lasts = LONGEST_LIFE if manner == "point" else 0.15 * chance if manner == "early" else 0.1 + 0.7 * chance
        code = await service.end(within=lasts)
        where = manner if code is None or crash_at is None else f"{crash_at.side} {crash_at.kind}"
        if manner in {"stop", "stop and kill"} and code is None:
            os.kill(service.pid, signal.SIGTERM)
            code = await service.end(within=6 if manner == "stop" else 0.1 * self._chances.random())
        if code is None:
            code = await service.signal(signal.SIGKILL)
        hit = self._origin.cut() if code == -signal.SIGKILL else []
        if code == -signal.SIGKILL:
            self._figures.kills["moment" if where == "point" else where] += 1
            self._figures.hits += bool(hit)
            self._figures.hit_transfers += len(hit)
        else:
            self._figures.stops += 1
            self._note_exit(code, may_be=0 if manner in {"stop", "stop and kill"} else -signal.SIGKILL)

    def _point(self) -> Point:
        kind = self._chances.choice(KINDS)
        return Point(kind, self._chances.choice(SIDES), self._chances.randint(1, NUMBERS[kind]))

    def _note_exit(self, code: int, may_be: int) -> None:
        if code != may_be:
            self._figures.findings.failed.append(
                f"the service ended by itself with {code}: {self._service.log[-2000:]}"
            )
