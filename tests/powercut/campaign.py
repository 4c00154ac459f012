"""Many power cuts on one machine that is at work, each at a moment of its own; after each, is all as promised?

Owns the course of a campaign and its figures. What must hold is tests/powercut/ledger.py.
"""

import asyncio
import os
import random
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.findings import Findings
from tests.origin import Origin
from tests.powercut.client import Clients
from tests.powercut.fate import MANNERS, Manner
from tests.powercut.ledger import Promise, check_files, check_order, check_seen
from tests.powercut.machine import SYNC_SIZE, Drive, Machine
from tests.process import Document
from transfer.shield import to_the_end

CHUNK_SIZE = 64 << 10
TAKE_OVER_SIZE = 256 << 10
"""Bytes of a body that is read from its connection; 16 MiB in reality."""
SYNC_BATCH = 2 * SYNC_SIZE + CHUNK_SIZE
"""Bytes of a file that are not on the disk at any time: what arrives during a sync, too."""
SETTINGS = {
    "BITSD_TRANSFER__CHUNK_SIZE": str(CHUNK_SIZE),
    "BITSD_TRANSFER__TAKE_OVER_SIZE": str(TAKE_OVER_SIZE),
    "BITSD_LIMITS__JOBS_PER_USER": "0",
    "BITSD_LIMITS__JOBS_PER_MACHINE": "0",
    "BITSD_SCHEDULER__FOREGROUND_SLOTS": "8",
}
PROOFS = 3
"""How many power cuts a job that is over must outlive until it is trusted."""
LIFE = 4.0
"""Seconds after which the power goes at the latest."""
MOMENTS: tuple[tuple[int, Sequence[str]], ...] = (
    (500, ()),
    (150, ("write",)),
    (60, ("fsync",)),
    (12, ("fsyncdir",)),
    (4, ("rename",)),
    (4, ("unlink",)),
    (6, ("create",)),
)
"""After how many calls of which kind the power goes, at most."""


@dataclass(slots=True)
class Figures:
    """What came of a campaign."""

    findings: Findings = field(default_factory=Findings)
    cuts: Counter[Manner] = field(default_factory=Counter)
    after: Counter[str] = field(default_factory=Counter)
    """After which kind of call the power went."""
    twice: list[int] = field(default_factory=list)
    """Bytes of a file on the disk before a cut that were asked for again after it."""
    jobs: int = 0
    completed: int = 0
    cancelled: int = 0
    events: int = 0

    def table(self) -> str:
        """For people, with every finding."""
        found = self.findings
        rows: list[tuple[str, object]] = [
            ("power cuts", f"{self.cuts.total()} ({_listed(self.cuts)})"),
            ("  after", _listed(self.after)),
            ("jobs", f"{self.jobs}, {self.completed} completed, {self.cancelled} cancelled, {self.events} events"),
            ("acknowledged jobs lost", len(found.lost)),
            ("wrong files", len(found.wrong)),
            ("double events", len(found.double)),
            ("temporary files left", len(found.left)),
            ("bytes fetched twice", f"{sum(self.twice)} in {len(self.twice)} resumptions of a file"),
            ("  at most", f"{max(self.twice, default=0)} (a sync batch: {SYNC_BATCH})"),
        ]
        lines = [f"{name:<24}{value}" for name, value in rows]
        return "\n".join([*lines, *found.lost, *found.wrong, *found.double, *found.left])


def _listed(counts: Counter[Manner] | Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.most_common())


async def run(home: Path, *, cuts: int, seed: int, deaf: Sequence[str] = ()) -> Figures:
    """A campaign; `deaf`: kinds of sync that the disk ignores, to see that it is noticed."""
    async with Origin() as origin, Drive(home) as drive:
        campaign = _Campaign(home, drive, origin, seed)
        try:
            return await campaign.run(cuts, deaf)
        finally:
            if campaign.machine.process is not None:
                await campaign.machine.kill()


class _Campaign:
    def __init__(self, home: Path, drive: Drive, origin: Origin, seed: int) -> None:
        self._chances = random.Random(seed)
        self._figures = Figures()
        self._findings = self._figures.findings
        self._drive = drive
        self._origin = origin
        self.machine = Machine(home, drive, **SETTINGS)
        self._clients = Clients(self.machine, origin, self._chances, self._findings)
        self._owed: dict[str, int] = {}
        """How long files were before the power went, until they are asked for again; by their paths at the origin."""
        self._asked = 0
        """Requests that were looked at."""

    async def run(self, cuts: int, deaf: Sequence[str]) -> Figures:
        await asyncio.to_thread(install, self.machine)
        await self._drive.tell("deaf", *deaf)
        for _ in range(cuts):
            await self._cut()
        await self._drive.tell("arm", 0)
        await self._boot()
        await self._clients.finish()
        await self._lose_power("strict")
        await self._boot()
        await self.machine.signal(15)
        self._count()
        return self._figures

    async def _cut(self) -> None:
        most, kinds = self._chances.choice(MOMENTS)
        await self._drive.tell("arm", self._chances.randint(1, most), *kinds)
        off = asyncio.create_task(self._drive.tell("run", LIFE))
        life = asyncio.create_task(self._live())
        await asyncio.wait({off, life}, return_when=asyncio.FIRST_COMPLETED)
        if life.done():
            await life  # it has no end but an error
        life.cancel()
        self._figures.after[(await off)["after"].partition(" ")[0]] += 1
        await self.machine.die()
        with suppress(asyncio.CancelledError, OSError):  # who was looking at the disk finds it dead
            await life
        await self._lose_power(self._chances.choice(MANNERS))

    async def _live(self) -> None:
        await self._boot()
        await self._clients.live()

    async def _lose_power(self, manner: Manner) -> None:
        sizes = await self.machine.lose_power(self._chances.randrange(2**32), manner)
        self._figures.cuts[manner] += 1
        self._look_at_requests()
        for promise in self._clients.promises.values():
            for local, script in promise.files.items():
                size = sizes.get(promise.temporary.get(local, "").removeprefix(str(self._drive.directory)), 0)
                remote = f"/{local.rpartition('/')[2]}"
                if size and script.change_after is None:
                    self._owed[remote] = max(self._owed.get(remote, 0), size)

    def _look_at_requests(self) -> None:
        """The first request for a file after a cut says what is fetched again."""
        for request in self._origin.requests[self._asked :]:
            size = self._owed.pop(request.path, None) if request.method == "GET" else None
            if size is not None:
                start = int((request.range or "bytes=0-")[6:].partition("-")[0])
                self._figures.twice.append(max(0, size - start))
        self._asked = len(self._origin.requests)

    async def _boot(self) -> None:
        """Switch on, and see that everything is as promised."""
        await self.machine.start()
        events = await self._events()
        check_seen(self._clients.seen, events, self._findings)
        check_order(events, self._findings)
        self._clients.seen = {event["seq"]: event for event in events}
        known = {job["display_name"]: job for job in (await self.machine.ok("GET", "/v1/jobs"))["jobs"]}
        for promise in list(self._clients.promises.values()):
            await self._check(promise, known.get(promise.name))

    async def _events(self) -> list[Document]:
        events: list[Document] = []
        after = 0
        while True:
            status, page = await self.machine.call("GET", f"/v1/events?limit=10000&after={after}")
            if status == 410:
                self._findings.lost.append(page["detail"])
                after = self._clients.kept_after = page["oldest"]
            elif not page["events"]:
                return events
            else:
                events += page["events"]
                after = events[-1]["seq"]

    async def _check(self, promise: Promise, listed: Document | None) -> None:
        promise.is_busy = False
        if not promise.id and listed is None:
            del self._clients.promises[promise.name]  # it was never acknowledged, and has not come to be
            return
        job_id = promise.id or (listed or {})["id"]
        status, document = await self.machine.call("GET", f"/v1/jobs/{job_id}?include=files")
        if status != 200:
            self._findings.lost.append(f"{promise.name} was acknowledged ({promise.told}): {document}")
            del self._clients.promises[promise.name]
            return
        promise.learn(document)
        if not promise.may_be(document["state"]):
            self._findings.lost.append(f"{promise.name}: {promise.told} was acknowledged, is {document['state']}")
        said = document["description"] or ""
        if said != promise.description and f"describe {said}" not in promise.doubts:
            self._findings.lost.append(f"{promise.name}: {promise.description!r} was acknowledged, is {said!r}")
        promise.description = said
        await to_the_end(asyncio.to_thread(check_files, promise, document, self._findings))
        promise.proofs += promise.is_over
        if promise.proofs == PROOFS:
            await self._forget(promise)

    async def _forget(self, promise: Promise) -> None:
        """It has proved itself; its files make room for others."""
        del self._clients.promises[promise.name]
        self._counted(promise)
        for target in promise.files:
            await to_the_end(asyncio.to_thread(Path(target).unlink, missing_ok=True))

    def _counted(self, promise: Promise) -> None:
        self._figures.jobs += 1
        self._figures.completed += promise.told == "complete"
        self._figures.cancelled += promise.told == "cancel"

    def _count(self) -> None:
        """When all jobs are final."""
        for place, _, names in os.walk(self._drive.directory):
            self._findings.left += [os.path.join(place, name) for name in names if name.startswith(".BIT")]
        for promise in self._clients.promises.values():
            self._counted(promise)
        self._figures.events = len(self._clients.seen)


def install(machine: Machine) -> None:
    """What is on the disk, and synced, before the service comes. Blocking."""
    machine.downloads.mkdir()
    number = os.open(machine.drive.directory, os.O_RDONLY)
    os.fsync(number)
    os.close(number)
