"""What the queue asks of SQLite does not grow with the jobs that wait: counted in steps of its machine, not in time."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from daemon.keys import KeySeal
from jobqueue.job import Priority, State
from jobqueue.queue import JobQueue
from jobqueue.states import ACTIVE
from jobqueue.store import SqliteStore, open_store
from jobqueue.transaction import JobQuery, Transaction
from tests.builders import NO_LIMITS, POLICY
from tests.queue_stage import LoopClock, new_job

FEW, MANY = 30, 3000
LEVEL = Priority.NORMAL.level

QUESTIONS: dict[str, Callable[[Transaction], object]] = {
    "who is next in line": lambda tx: tx.queued(LEVEL, 4),
    "who runs": lambda tx: tx.jobs_in(ACTIVE),
    "when to look again": lambda tx: tx.next_wake(),
    "what is due": lambda tx: tx.due_jobs(1.0, 100),
    "what has begun to end": lambda tx: tx.jobs_with_intent(),
    "whether there is work": lambda tx: tx.is_any_in((State.QUEUED, *ACTIVE)),
    "a page of a listing": lambda tx: tx.jobs(tx.job_rows(JobQuery(1000, after_row=10), 5)),
    "what changed since": lambda tx: tx.job_rows(JobQuery(1000, changed_since=tx.last_seq() - 4)),
    "which job was the last": lambda tx: tx.last_row(),
}


class Steps:
    """Counts, in tens, what the machine of SQLite does."""

    def __init__(self, store: SqliteStore) -> None:
        self.count = 0
        store._connection.set_progress_handler(self._step, 10)

    def _step(self) -> int:
        self.count += 1
        return 0


@pytest_asyncio.fixture
async def queue(tmp_path: Path) -> AsyncIterator[tuple[JobQueue, Steps]]:
    store = await open_store(str(tmp_path / "queue.db"), KeySeal(bytes(32)))
    yield JobQueue(store, LoopClock(0.0), POLICY, NO_LIMITS), Steps(store)
    await store.close()


async def fill(queue: JobQueue, count: int) -> None:
    for number in range(count):
        await queue.create(new_job(f"job {number}", resume=True))


@pytest.mark.looptime
async def test_neither_a_decision_nor_a_new_job_costs_more_the_more_jobs_wait(queue: tuple[JobQueue, Steps]) -> None:
    jobs, steps = queue

    async def costs() -> dict[str, int]:
        found = {}
        for name, question in QUESTIONS.items():
            before = steps.count
            await jobs.read(question)
            found[name] = steps.count - before
        before = steps.count
        await fill(jobs, 10)
        return found | {"ten new jobs": steps.count - before}

    await fill(jobs, FEW)
    with_few = await costs()
    await fill(jobs, MANY - FEW)
    with_many = await costs()
    assert {name: cost for name, cost in with_many.items() if cost > 2 * with_few[name] + 5} == {}
