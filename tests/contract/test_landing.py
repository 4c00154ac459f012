"""What many transfers report at about the same time: one commit, and nobody is told before it."""

import asyncio

import pytest

from jobqueue.errors import StoreFullError
from jobqueue.job import File, Priority
from jobqueue.landing import Landed
from jobqueue.store import Store
from tests.queue_stage import Stage, staged

pytestmark = pytest.mark.looptime


class Counter:
    transferred = 0
    readable = 0


async def running(on: Stage, count: int) -> list[str]:
    """Jobs with a file each that is on its way."""
    made = [await on.create(priority=Priority.FOREGROUND) for _ in range(count)]
    for job_id in made:
        (file,) = await on.reports.files(job_id)
        on.queue.live.watch(job_id, file, Counter())
    return made


async def file_of(on: Stage, job_id: str) -> File:
    return (await on.reports.files(job_id))[0]


async def test_reports_of_many_transfers_share_a_commit(store: Store) -> None:
    async with staged(store) as on:
        jobs = await running(on, 20)
        commits = on.queue.commits
        await asyncio.gather(*(on.reports.synced(job_id, 0, Landed(7, 1, 2)) for job_id in jobs))
        assert on.queue.commits == commits + 1
        for job_id in jobs:
            file = await file_of(on, job_id)
            assert (file.offset, file.checksum, file.mtime) == (7, 1, 2)


async def test_a_transfer_alone_waits_for_nobody(store: Store) -> None:
    async with staged(store) as on:
        (job_id,) = await running(on, 1)
        before = asyncio.get_running_loop().time()
        await on.reports.synced(job_id, 0, Landed(7, 1, 2))
        assert asyncio.get_running_loop().time() == before
        assert (await file_of(on, job_id)).offset == 7


async def test_all_of_them_hear_of_a_store_that_cannot_take_it_and_the_next_report_tells_all(store: Store) -> None:
    async with staged(store) as on:
        jobs = await running(on, 5)
        on.store.refuses = StoreFullError("no space")
        ends = await asyncio.gather(
            *(on.reports.synced(job, 0, Landed(7, 1, 2)) for job in jobs), return_exceptions=True
        )
        assert [type(end) for end in ends] == [StoreFullError] * 5
        on.store.refuses = None
        await asyncio.gather(*(on.reports.synced(job, 0, Landed(9, 1, 2)) for job in jobs))
        assert [(await file_of(on, job)).offset for job in jobs] == [9] * 5


async def test_a_report_about_a_job_that_is_gone_costs_the_others_nothing(store: Store) -> None:
    async with staged(store) as on:
        jobs = await running(on, 3)
        await asyncio.gather(*(on.reports.synced(job_id, 0, Landed(7, 1, 2)) for job_id in ("gone", *jobs)))
        assert [(await file_of(on, job)).offset for job in jobs] == [7] * 3


async def test_whoever_was_to_record_and_is_stopped_records_what_came_before_it_ends(store: Store) -> None:
    async with staged(store) as on:
        first, second = await running(on, 2)
        stopped = asyncio.ensure_future(on.reports.synced(first, 0, Landed(7, 1, 2)))
        await asyncio.sleep(0)
        stopped.cancel()
        await on.reports.synced(second, 0, Landed(7, 1, 2))
        assert stopped.cancelled()
        assert ((await file_of(on, first)).offset, (await file_of(on, second)).offset) == (7, 7)
