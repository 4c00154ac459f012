"""A queue with everything around it faked: the clock (the loop's own fake time), the transfers, the local files.

`settle()` returns when nobody has anything left to do; under looptime hours pass in milliseconds.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import ClassVar, TypeVar

from jobqueue import edit, retry
from jobqueue.calls import NewJob
from jobqueue.errors import JobQueueError
from jobqueue.finish import Finisher, NotPublishedError
from jobqueue.job import Event, File, Job, Outcome, Owner, State
from jobqueue.order import Slots
from jobqueue.queue import JobQueue
from jobqueue.reports import Reports
from jobqueue.scheduler import Scheduler
from jobqueue.store import Store
from jobqueue.transaction import EventQuery, Transaction
from tests.builders import ANNA, LIMITS, POLICY, a_file

T = TypeVar("T")


def anyone(_: Job) -> None:
    """A guard that lets everybody in."""


class LoopClock:
    """Service time is the loop's time since it was made; the wall clock may be moved."""

    def __init__(self, saved: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._base = saved - self._loop.time()
        self._ticks = 0
        self.wall_base = 1.7e9

    def now(self) -> float:
        self._ticks += 1  # no two moments of a real clock are the same
        return self._base + self._loop.time() + self._ticks * 1e-6

    def wall(self) -> float:
        return self.wall_base + self.now()


class FakeTransfers:
    """`run` of the scheduler: an attempt hangs until the test ends it (or it is stopped, which `linger` makes slow)."""

    def __init__(self) -> None:
        self.running: dict[str, asyncio.Future[Outcome]] = {}
        self.started: list[str] = []
        self.most = 0
        self.linger = 0.0

    async def __call__(self, job: Job) -> Outcome:
        assert job.id not in self.running, "two attempts at one job"
        assert job.state is State.TRANSFERRING
        end: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.running[job.id] = end
        self.started.append(job.id)
        self.most = max(self.most, len(self.running))
        try:
            return await end
        except asyncio.CancelledError:
            await asyncio.sleep(self.linger)
            raise
        finally:
            del self.running[job.id]


@dataclass
class FakeFiles:
    """The local side: what was published and discarded; a test says what cannot be."""

    published: list[str] = field(default_factory=list)
    discarded: list[str] = field(default_factory=list)
    stuck: frozenset[str] = frozenset()
    """Local names that cannot be given, temporary names that cannot be removed."""
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    async def publish(self, owner: Owner, file: File) -> None:
        await self.gate.wait()
        if file.local_name in self.stuck:
            raise NotPublishedError(JobQueueError("cannot rename", path=file.local_name))
        self.published.append(file.local_name)

    async def discard(self, owner: Owner, paths: Sequence[str]) -> Sequence[str]:
        await self.gate.wait()
        self.discarded += [path for path in paths if path not in self.stuck]
        return [path for path in paths if path in self.stuck]


class PowerLostError(Exception):
    """A CountingStore that refuses with this does not answer at all; of the writes it spared, only `heard` answers."""

    def __init__(self, heard: int) -> None:
        super().__init__()
        self.heard = heard


class CountingStore:
    """Counts what is asked of a store, and what of it is under way."""

    busy: ClassVar[int] = 0

    def __init__(self, store: Store) -> None:
        self.store = store
        self.calls = 0
        self.refuses: Exception | None = None
        """What every write is answered with, after the `spared` ones."""
        self.spared = 0

    async def write(self, work: Callable[[Transaction], T]) -> T:
        if self.refuses is not None and self.spared == 0:
            if isinstance(self.refuses, PowerLostError):
                await asyncio.Event().wait()
            raise self.refuses
        self.spared = max(0, self.spared - 1)
        try:
            return await self._counted(self.store.write(work))
        finally:
            if isinstance(self.refuses, PowerLostError):
                if self.refuses.heard == 0:
                    await asyncio.Event().wait()
                self.refuses.heard -= 1

    async def read(self, work: Callable[[Transaction], T]) -> T:
        return await self._counted(self.store.read(work))

    async def flaw(self) -> str | None:
        return await self.store.flaw()

    async def close(self) -> None:
        await self.store.close()

    async def _counted(self, call: Awaitable[T]) -> T:
        self.calls += 1
        CountingStore.busy += 1
        try:
            return await call
        finally:
            CountingStore.busy -= 1


@dataclass
class Stage:
    """One life of the service."""

    store: CountingStore
    queue: JobQueue
    reports: Reports
    transfers: FakeTransfers
    files: FakeFiles
    scheduler: Scheduler

    @property
    def finisher(self) -> Finisher:
        return self.scheduler.finisher

    async def create(
        self, name: str = "job", *, files: int = 1, resume: bool = True, owner: Owner = ANNA, **values: object
    ) -> str:
        """A job with its files, in line unless told otherwise; returns its id when the queue has come to rest."""
        job = await self.queue.create(new_job(name, files=files, resume=resume, owner=owner, **values))
        await settle()
        return job.id

    async def job(self, job_id: str) -> Job:
        return await self.queue.job(job_id)

    async def state(self, job_id: str) -> str:
        return (await self.job(job_id)).state

    async def states(self, *job_ids: str) -> list[str]:
        return [await self.state(job_id) for job_id in job_ids]

    async def events(self, job_id: str | None = None, *types: str) -> list[Event]:
        query = EventQuery(0, 10_000, job_id=job_id, types=types or None)
        return list(await self.queue.read(lambda tx: tx.events(query)))

    async def moves(self, job_id: str) -> list[tuple[str, str]]:
        """Every change of state, as the events tell it."""
        found = await self.events(job_id, "JOB_STATE")
        return [(str(event.data["from"]), str(event.data["to"])) for event in found]

    async def transferred(self, job_id: str, *indexes: int, size: int = 10) -> None:
        for index in indexes or (0,):
            await self.reports.file_transferred(job_id, index, size)

    async def ends(self, job_id: str, outcome: Outcome) -> None:
        """The running attempt at the job comes to this."""
        self.transfers.running[job_id].set_result(outcome)
        await settle()

    async def record(self, job_id: str) -> object:
        """Everything a refused call must not change."""
        files = await self.queue.read(lambda tx: tx.files(job_id))
        return await self.job(job_id), files, await self.events()


def new_job(
    name: str = "job", *, files: int = 1, resume: bool = False, owner: Owner = ANNA, **values: object
) -> NewJob:
    """What a client asks for."""
    return NewJob(owner, {"display_name": name, **values}, [a_file(index) for index in range(files)], resume)


async def settle() -> None:
    """Until nobody has anything to do before time goes on: no fake time passes, and the store is waited for."""
    quiet = 0
    while quiet < 30:
        await asyncio.sleep(0)
        quiet = 0 if CountingStore.busy else quiet + 1


async def pass_time(seconds: float) -> None:
    """Let this much (fake) time go by."""
    await asyncio.sleep(seconds)
    await settle()


async def wired(
    store: Store,
    *,
    slots: Slots | None = None,
    policy: retry.Policy = POLICY,
    limits: edit.Limits = LIMITS,
    jitter: float = 0.0,
    files: FakeFiles | None = None,
) -> Stage:
    """A service over an open store; its scheduler is yet to be served."""
    saved = await store.read(lambda tx: tx.meta("clock"))
    counting = CountingStore(store)
    queue = JobQueue(counting, LoopClock(float(saved or 0.0)), policy, limits)
    reports = Reports(queue, lambda: jitter)
    transfers = FakeTransfers()
    files = files or FakeFiles()
    scheduler = Scheduler(queue, reports, transfers, files, slots or Slots(0, 4, 300.0))
    return Stage(counting, queue, reports, transfers, files, scheduler)


@asynccontextmanager
async def staged(
    store: Store,
    *,
    slots: Slots | None = None,
    policy: retry.Policy = POLICY,
    limits: edit.Limits = LIMITS,
    jitter: float = 0.0,
    files: FakeFiles | None = None,
) -> AsyncIterator[Stage]:
    """A running service over an open store; stopped in order at the end, the store stays open."""
    stage = await wired(store, slots=slots, policy=policy, limits=limits, jitter=jitter, files=files)
    async with asyncio.TaskGroup() as group:
        group.create_task(stage.scheduler.serve())
        try:
            await settle()
            yield stage
        finally:
            stage.scheduler.stop()
