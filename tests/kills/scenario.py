"""A small day of the service, the same each time, and a kill at every moment of it in turn.

Two files arrive and wait; a job of three is completed; a third job is cancelled while it runs. Then the next day all that
is there comes to its end, and what was told is looked at. Owns the choice of points and the count of what was found.
"""

import asyncio
import random
import signal
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.kills.campaign import SETTINGS, judge_all
from tests.kills.client import Client
from tests.kills.crowd import Crowd
from tests.kills.fetches import CountingOrigin
from tests.kills.moments import KINDS, SIDES, Kind, Point
from tests.kills.notes import Findings
from tests.kills.service import GoneError, Nursery, Service

SIZES = (150_000, 0, 90_000)
SLOW, LARGE = 1 << 20, 1 << 20
"""The job that is cancelled: bytes a second of its one file, and its bytes."""


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


async def run(home: Path, *, seed: int, most: int | None = None, lanes: int = 2) -> Days:
    """A day for every point, or for `most` of them; `lanes` services side by side. Ends early when something is found."""
    days = Days()
    async with CountingOrigin() as origin:
        async with Nursery() as nursery:
            counts = await _day(Service(_place(home, 0), nursery, **SETTINGS), origin, days)
        points = every_point(counts)
        points = points if most is None else some_points(points, most, random.Random(seed))
        left = iter(list(enumerate(points, 1)))
        async with asyncio.TaskGroup() as group:
            for _ in range(lanes):
                group.create_task(_lane(home, left, origin, days))
    return days


async def _lane(home: Path, left: "Iterator[tuple[int, Point]]", origin: CountingOrigin, days: Days) -> None:
    async with Nursery() as nursery:
        for number, point in left:
            if days.findings:
                return
            service = Service(_place(home, number), nursery, **SETTINGS)
            service.crash_at = point
            await _day(service, origin, days)


def _place(home: Path, number: int) -> Path:
    place = home / str(number)
    place.mkdir()
    return place


async def _day(service: Service, origin: CountingOrigin, days: Days) -> Counter[str]:
    """The day and the next; returns how many moments the first had."""
    found = Findings()
    crowd = Crowd(service, origin, seed=0, findings=found, prefix=f"{service.home.name}-")
    point = service.crash_at
    await service.begin()
    async with asyncio.TaskGroup() as group:
        group.create_task(crowd.read_events())
        with suppress(GoneError):
            await service.answers()
            async with service.session() as session:
                await _play(Client(session, found), crowd)
        if service.is_running:
            days.missed += point is not None
            await service.kill()
        elif point is not None:
            days.reached[f"{point.side} {point.kind}"] += 1
    counts = service.moments
    service.crash_at = None
    async with service:
        async with service.session() as session:
            await crowd.inspect(session)
            await crowd.finish(session)
            if not found:
                await judge_all(session, crowd, found)
        if await service.signal(signal.SIGTERM) != 0:
            found.failed.append(f"the service ended badly: {service.log[-2000:]}")
    days.findings.add(Findings(*([f"{point}: {one}" for one in kind] for kind in _kinds(found))))
    return counts
