"""Those who follow the log: each gets what the store has for it, once and in order, and is not woken for the rest."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import pytest

from daemon import fanout, window
from daemon.documents import Documents
from daemon.events import EventLog
from jobqueue.change import Change
from jobqueue.errors import StoreFailedError
from jobqueue.job import EVERYBODY, Event
from jobqueue.queue import JobQueue
from jobqueue.store import Store
from jobqueue.transaction import EventQuery, Transaction
from tests.builders import ANNA, BEN, NO_LIMITS, POLICY
from tests.queue_stage import CountingStore, LoopClock, anyone, new_job, settle

T = TypeVar("T")
TYPES = ("JOB_CREATED", "JOB_MODIFIED", "JOB_STATE")


class FailingStore(CountingStore):
    """Refuses as many reads as it is told."""

    failures = 0

    async def read(self, work: Callable[[Transaction], T]) -> T:
        if self.failures:
            self.failures -= 1
            raise StoreFailedError("cannot read")
        return await super().read(work)


@dataclass
class Service:
    store: FailingStore
    queue: JobQueue
    log: EventLog

    async def seqs(self, query: EventQuery) -> list[int]:
        return [event.seq for event in (await self.log.after(query))[0]]


@asynccontextmanager
async def serving(store: Store) -> AsyncIterator[Service]:
    counting = FailingStore(store)
    queue = JobQueue(counting, LoopClock(0), POLICY, NO_LIMITS)
    log = EventLog(queue)
    async with asyncio.TaskGroup() as group:
        group.create_task(log.serve(Documents(queue, lambda _: "slots")))
        try:
            yield Service(counting, queue, log)
        finally:
            log.close()


@dataclass
class Client:
    """Follows what it wants until the log is closed, now fast, now slowly."""

    query: EventQuery
    number: int
    seen: list[int] = field(default_factory=list)
    woken: int = 0

    async def follow(self, log: EventLog) -> None:
        chance = random.Random(self.number)
        with log.follow(self.query, self.query.after) as follower:
            while True:
                if taken := await follower.take(chance.randint(1, 7), chance.choice([200, 1000, 100_000])):
                    self.seen += [line.seq for line in taken]
                    for _ in range(chance.choice([0, 1, 50])):
                        await asyncio.sleep(0)
                elif log.is_closed:
                    return
                elif await follower.wait(chance.choice([0.001, 60])):
                    self.woken += 1


async def change_something(queue: JobQueue, chance: random.Random, job_ids: list[str]) -> None:
    match chance.randrange(8):
        case 0:
            job_ids.append((await queue.create(new_job(owner=chance.choice([ANNA, BEN])))).id)
        case 1:
            await queue.change(concern_everybody)
        case 2:
            await queue.suspend(chance.choice(job_ids), anyone)
        case 3:
            await queue.resume(chance.choice(job_ids), anyone)
        case _:
            await queue.set_properties(chance.choice(job_ids), anyone, {"description": str(chance.random())})


def concern_everybody(change: Change) -> None:
    change.tx.append_event(Event("STATE_LOST", "", EVERYBODY, change.wall, change.now))
    change.has_events = True


@pytest.mark.parametrize("seed", range(3))
async def test_everybody_gets_what_the_store_has_for_them(
    store: Store, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(window, "SIZE", 8)
    monkeypatch.setattr(fanout, "BATCH", 5)
    monkeypatch.setattr(fanout, "RETRY", 0)
    chance = random.Random(seed)
    clients: list[Client] = []
    async with asyncio.TaskGroup() as group, serving(store) as service:
        job_ids = [(await service.queue.create(new_job(files=1))).id]
        for number in range(150):
            last = (await service.log.after(EventQuery(0, 1000)))[1]
            query = EventQuery(
                after=chance.choice([0, last, last // 2, last + 3]),
                limit=1,
                owner_uid=chance.choice([None, None, ANNA.uid, BEN.uid]),
                job_id=chance.choice([None, None, chance.choice(job_ids)]),
                types=chance.choice([None, None, ("JOB_STATE",), TYPES]),
            )
            clients.append(Client(query, number))
            group.create_task(clients[-1].follow(service.log))
            service.store.failures = 0  # one that comes or reads by itself would be told
            if number == 100:
                await asyncio.gather(*(change_something(service.queue, chance, job_ids) for _ in range(60)))
            await change_something(service.queue, chance, job_ids)
        last = (await service.log.after(EventQuery(0, 1000)))[1]
        with service.log.follow(EventQuery(0, 1), last - 1) as follower:
            while not await follower.take(1):
                await follower.wait(5)
        await settle()
    for client in clients:
        query = client.query
        wanted = EventQuery(query.after, 10_000, query.owner_uid, query.job_id, query.types)
        assert client.seen == await service.seqs(wanted), client


async def test_a_change_is_read_once_for_all_and_wakes_only_those_who_want_it(store: Store) -> None:
    async with asyncio.TaskGroup() as group, serving(store) as service:
        quiet, loud = [await service.queue.create(new_job(owner=owner)) for owner in (ANNA, BEN)]
        after = (await service.log.after(EventQuery(0, 100)))[1]
        wishes = [{"job_id": quiet.id}, {"types": ("JOB_ERROR",)}, {"owner_uid": ANNA.uid}, {"job_id": loud.id}]
        clients = [Client(EventQuery(after, 1, **wishes[number % 4]), 7) for number in range(200)]  # type: ignore[arg-type]
        for client in clients:
            group.create_task(client.follow(service.log))
        await settle()
        for client in clients:
            client.woken = 0
        before = service.store.calls
        with service.log.follow(EventQuery(0, 1), after) as witness:
            for number in range(20):
                await service.queue.set_properties(loud.id, anyone, {"description": str(number)})
                while not await witness.take(1):
                    await witness.wait(5)
        await settle()
        assert service.store.calls - before <= 2 * 20
        quiet_ones = [client for number, client in enumerate(clients) if number % 4 != 3]
        assert {client.woken for client in quiet_ones} == {0}
    assert {len(client.seen) for client in clients[3::4]} == {20}


async def test_nothing_is_read_while_nobody_follows(store: Store) -> None:
    async with serving(store) as service:
        job = await service.queue.create(new_job())
        await settle()
        before = service.store.calls
        await service.queue.set_properties(job.id, anyone, {"description": "x"})
        await settle()
        assert service.store.calls - before == 1


async def test_what_could_not_be_read_is_told_later(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fanout, "RETRY", 0)
    async with serving(store) as service:
        job = await service.queue.create(new_job())
        with service.log.follow(EventQuery(0, 1), 1) as follower:
            await settle()
            service.store.failures = 3
            await service.queue.set_properties(job.id, anyone, {"description": "x"})
            assert await follower.wait(5)
            assert [line.seq for line in await follower.take(10)] == [2]
