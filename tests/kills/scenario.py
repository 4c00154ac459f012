"""A small day of the service, the same each time, and a kill at every moment of it in turn.

Two files arrive and wait; a job of three is completed; a third job is cancelled while it runs. The next day all that is
there comes to its end, and what was told is looked at. Owns the choice of points and the count of what was found.
"""

import asyncio
import random
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.findings import Findings
from tests.kills.campaign import SETTINGS
from tests.kills.client import Client
from tests.kills.crowd import Crowd
from tests.kills.fetches import CountingOrigin
from tests.kills.inspection import Inspector
from tests.kills.moments import KINDS, SIDES, Kind, Point
from tests.kills.service import GoneError, Nursery, Service

SIZES = (150_000, 0, 90_000)
SLOW, LARGE = 4 << 20, 512 << 10
"""The job that is cancelled: bytes a second of its one file, and its bytes."""
LANES = 2
"""Days at a time."""


@dataclass(slots=True)
class Days:
    """What came of them. `reached`: points where the service died, by kind and side; `missed`: it did not get there."""

    findings: Findings = field(default_factory=Findings)
    reached: Counter[str] = field(default_factory=Counter)
    missed: int = 0

    def table(self) -> str:
        """For people, with every finding."""
        places = ", ".join(f"{count} {place}" for place, count in sorted(self.reached.items()))
        rows = [("kills at chosen points", f"{self.reached.total()}, {self.missed} were not reached"), ("  at", places)]
        lines = [f"{name:<26}{value}" for name, value in rows]
        return "\n".join([*lines, *self.findings.sentences()])


def every_point(counts: Counter[str]) -> list[Point]:
    """Before and after each moment of a day with so many of each kind."""
    return [Point(kind, side, number) for kind in KINDS for number in range(1, counts[kind] + 1) for side in SIDES]


def some_points(points: Sequence[Point], most: int, chances: random.Random) -> list[Point]:
    """Of each kind and side as many as of the others, as far as there are."""
    groups: dict[tuple[Kind, str], list[Point]] = {}
    for point in chances.sample(points, len(points)):
        groups.setdefault((point.kind, point.side), []).append(point)
    rows = [(rank, point) for group in groups.values() for rank, point in enumerate(group)]
    return [point for _, point in sorted(rows, key=lambda row: row[0])[:most]]


async def run(home: Path, *, seed: int, most: int | None = None) -> Days:
    """A day for every point, or for `most` of them, two at a time. Ends early when something is found."""
    days = Days()
    async with Nursery() as nursery:
        points = every_point(await _spend(Service(_place(home, "whole"), nursery, **SETTINGS), days))
    left = iter(points if most is None else some_points(points, most, random.Random(seed)))
    async with asyncio.TaskGroup() as group:
        for _ in range(LANES):
            group.create_task(_spend_each(home, left, days))
    return days


async def _spend_each(home: Path, left: Iterator[Point], days: Days) -> None:
    async with Nursery() as nursery:
        for point in left:
            if days.findings:
                return
            service = Service(_place(home, str(point)), nursery, **SETTINGS)
            service.crash_at = point
            await _spend(service, days)


def _place(home: Path, name: str) -> Path:
    place = home / name
    place.mkdir()
    return place


async def _spend(service: Service, days: Days) -> Counter[str]:
    """The day and the next; returns how many moments the first had."""
    found, point = Findings(), service.crash_at
    async with CountingOrigin() as origin:
        crowd = Crowd(service, origin, 0, found)
        inspector = Inspector(service, crowd, 0, found)
        await service.begin()
        if await _play(service, crowd, found):
            days.missed += point is not None
        elif point is not None and await service.end() == -signal.SIGKILL:
            days.reached[f"{point.side} {point.kind}"] += 1
        else:
            found.failed.append(f"the service ended by itself: {service.log[-2000:]}")
        await service.kill()
        counts, service.crash_at = service.moments, None
        async with service:
            async with service.session() as session:
                await inspector.inspect(session)
                await inspector.finish(session)
                if not found:
                    await inspector.judge_end(session)
            if await service.signal(signal.SIGTERM) != 0:
                found.failed.append(f"the service ended badly: {service.log[-2000:]}")
    days.findings.add(found, f"{point}: ")
    return counts


async def _play(service: Service, crowd: Crowd, found: Findings) -> bool:
    """Until all is done, or the service is gone: whether it came to its end."""
    is_done = False
    async with service.session() as session, asyncio.TaskGroup() as group:
        with suppress(GoneError):
            await service.answers()
            reading = group.create_task(crowd.read_events())
            await _do(Client(session, found), crowd)
            reading.cancel()
            is_done = True
    return is_done


async def _do(client: Client, crowd: Crowd) -> None:
    waiting, completed = crowd.job(*SIZES[:2], rate=None, key="1"), crowd.job(*SIZES, rate=None, key="2")
    cancelled = crowd.job(LARGE, rate=SLOW, key="3")
    for note in (waiting, completed, cancelled):
        await client.create(note)
    await client.wait(completed, "TRANSFERRED")
    await client.ask(completed, "complete")
    await client.await_bytes(cancelled)
    await client.ask(cancelled, "cancel")
    await client.wait(waiting, "TRANSFERRED")
