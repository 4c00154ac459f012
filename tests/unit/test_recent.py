"""What is known by heart is what is committed: a job that changes while it is read is not kept as it was."""

import asyncio

import pytest

from jobqueue.errors import NotFoundError
from jobqueue.job import Job
from jobqueue.recent import SIZE, Recent
from tests.builders import a_job

OLD, NEW = a_job(revision=1), a_job(revision=2)


async def found(job: Job, gate: asyncio.Event | None = None) -> Job:
    """A reading that finds `job`, and tells it when the gate opens."""
    if gate is not None:
        await gate.wait()
    return job


async def test_a_job_is_known_until_it_changes() -> None:
    recent = Recent()
    assert recent.get("j") is None
    await recent.read("j", lambda: found(OLD))
    assert recent.get("j") == OLD
    recent.forget({"j"})
    assert recent.get("j") is None


async def test_what_was_read_before_a_change_is_not_kept() -> None:
    recent, gate = Recent(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        before = group.create_task(recent.read("j", lambda: found(OLD, gate)))
        await asyncio.sleep(0)
        recent.forget({"j"})
        assert await recent.read("j", lambda: found(NEW)) == NEW
        gate.set()
    assert before.result() == OLD  # as it was when that was asked
    assert recent.get("j") == NEW


async def test_a_job_that_changes_while_it_is_read_is_read_again() -> None:
    recent, gate = Recent(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(recent.read("j", lambda: found(OLD, gate)))
        await asyncio.sleep(0)
        recent.forget({"j"})
        gate.set()
    assert recent.get("j") is None


async def test_a_job_that_is_not_there_is_not_remembered() -> None:
    async def missing() -> Job:
        raise NotFoundError("no")

    recent = Recent()
    with pytest.raises(NotFoundError):
        await recent.read("j", missing)
    assert recent.get("j") is None
    await recent.read("j", lambda: found(OLD))
    assert recent.get("j") == OLD


async def test_it_knows_so_many_jobs_and_no_more() -> None:
    recent = Recent()
    for number in range(SIZE + 1):
        await recent.read(str(number), lambda: found(OLD))
    assert [recent.get(str(number)) is None for number in (0, 1, SIZE)] == [True, False, False]
