"""What days and months do to jobs: inactivity, history, and a service that leaves an idle queue alone."""

from dataclasses import replace

import pytest

from jobqueue.errors import NotFoundError
from jobqueue.job import Job
from jobqueue.order import Slots
from jobqueue.store import Store
from tests.builders import DAY, HOUR, NO_LIMITS, POLICY, fatal, transient
from tests.queue_stage import Stage, anyone, new_job, pass_time, settle, staged

pytestmark = pytest.mark.looptime
ONE_SLOT = Slots(0, 1, 300.0)


async def set_values(on: Stage, job_id: str, **values: object) -> Job:
    job = await on.queue.set_properties(job_id, anyone, values)
    await settle()
    return job


SOON = replace(POLICY, inactivity_timeout=2 * DAY, history_retention=DAY)


async def test_an_idle_queue_is_left_alone(store: Store) -> None:
    async with staged(store, policy=replace(POLICY, inactivity_timeout=0)) as on:
        for number in range(3):
            await on.create(f"j{number}", resume=False)
        failed = await on.create()
        await on.ends(failed, fatal())
        events = await on.events()
        calls = on.store.calls
        await pass_time(DAY)
        assert on.store.calls == calls
        assert await on.events() == events


async def test_running_and_expiring_jobs_cost_one_look_an_hour(store: Store) -> None:
    async with staged(store, slots=ONE_SLOT) as on:
        await on.create()
        await on.create("another", resume=False)
        calls, events = on.store.calls, len(await on.events())
        await pass_time(DAY)
        assert on.store.calls - calls <= 24 * 3 + 1
        assert len(await on.events()) == events


async def test_a_job_nothing_happens_to_is_cancelled_with_its_files(store: Store) -> None:
    async with staged(store, policy=SOON) as on:
        job_id = await on.create(files=2)
        await on.transferred(job_id, 0)
        await on.ends(job_id, fatal())
        await pass_time(47 * HOUR)
        await set_values(on, job_id, description="still wanted")
        await pass_time(47 * HOUR)
        assert await on.state(job_id) == "ERROR"
        await pass_time(HOUR + 10)
        assert await on.state(job_id) == "CANCELLED"
        assert len(on.files.discarded) == 2


async def test_a_refused_or_empty_call_is_no_activity(store: Store) -> None:
    async with staged(store, policy=SOON) as on:
        job_id = await on.create(resume=False)
        await pass_time(47 * HOUR)
        await set_values(on, job_id, description="")
        await on.queue.suspend(job_id, anyone)
        await pass_time(HOUR + 10)
        assert await on.state(job_id) == "CANCELLED"


async def test_trying_again_and_again_in_vain_is_no_activity(store: Store) -> None:
    """§3.2.8: a no-progress timeout longer than the inactivity timeout does not keep a job alive."""
    async with staged(store, policy=SOON) as on:
        job_id = await on.create(minimum_retry_delay=3 * HOUR, no_progress_timeout=9 * DAY)
        for _ in range(15):
            await on.ends(job_id, transient())
            await pass_time(3 * HOUR + 1)
        assert await on.state(job_id) == "TRANSFERRING"
        await on.ends(job_id, transient())
        await pass_time(3 * HOUR)
        assert await on.state(job_id) == "CANCELLED"


async def test_a_final_job_leaves_the_history_when_its_time_is_over(store: Store) -> None:
    async with staged(store, policy=SOON) as on:
        job_id = await on.create(resume=False)
        await on.finisher.cancel(job_id, anyone)
        await pass_time(DAY - 10)
        assert await on.state(job_id) == "CANCELLED"
        await pass_time(20)
        with pytest.raises(NotFoundError):
            await on.job(job_id)
        assert await on.queue.read(lambda tx: list(tx.every_job())) == []
        assert [event.job_id for event in await on.events(None, "JOB_REMOVED")] == [job_id]


async def test_many_jobs_may_be_due_in_the_same_moment(store: Store) -> None:
    async with staged(store, policy=SOON, limits=NO_LIMITS) as on:
        for number in range(250):
            await on.queue.create(new_job(f"j{number}"))
        await pass_time(2 * DAY + 10)
        states = await on.queue.read(lambda tx: [str(job.state) for job in tx.every_job()])
        assert states == ["CANCELLED"] * 250
