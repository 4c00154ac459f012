"""The running attempts: at most one per job, each with its own task; stopped by anybody, recorded in any case."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from jobqueue.errors import HRESULTS, JobQueueError
from jobqueue.job import Failed, Finished, Job, JobError, Outcome, Yielded
from jobqueue.order import Runner
from jobqueue.reports import Reports

log = logging.getLogger(__name__)

Run = Callable[[Job], Awaitable[Outcome]]
"""Carries out a job: the scheduler's only view of a transfer. Cancelled = stopped, with the bytes kept."""


@dataclass(slots=True)
class _Attempt:
    job: Job
    since: float
    task: "asyncio.Task[Outcome]"
    is_stopping: bool = False
    is_slice_end: bool = False
    renewed: Job | None = None
    """Begin again with this job, in the same slot: its owner changed."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class Attempts:
    """Starts, stops and awaits attempts; their tasks live in the group given to `start`."""

    def __init__(self, reports: Reports, run: Run, on_end: Callable[[], None]) -> None:
        self._reports = reports
        self._run = run
        self._on_end = on_end
        self._running: dict[str, _Attempt] = {}

    @property
    def count(self) -> int:
        """How many are running or stopping."""
        return len(self._running)

    def runners(self) -> list[Runner]:
        """The running attempts as `order.choose` sees them."""
        return [
            Runner(job_id, attempt.job.properties.priority.level, attempt.since, attempt.is_stopping)
            for job_id, attempt in self._running.items()
        ]

    def reconcile(self, active: Mapping[str, Job]) -> None:
        """The jobs that ought to run: every other attempt is stopped, and one with a former owner's rights and headers
        is begun again.
        """
        for job_id, attempt in self._running.items():
            if job_id not in active:
                self.stop(job_id)
                continue
            former, attempt.job = attempt.job.owner, active[job_id]
            if attempt.job.owner != former:
                attempt.renewed = attempt.job
                attempt.task.cancel()

    def start(self, group: asyncio.TaskGroup, job: Job, now: float) -> None:
        """Begin an attempt at a job that is TRANSFERRING."""
        log.info("job %s (%s) starts", job.id, job.properties.display_name)
        attempt = _Attempt(job, now, group.create_task(self._guarded(job), name=f"attempt {job.id}"))
        self._running[job.id] = attempt
        group.create_task(self._follow(group, attempt), name=f"follow {job.id}")

    def stop(self, job_id: str, *, is_slice_end: bool = False) -> None:
        """Tell an attempt to stop; it still has its slot until it ended."""
        attempt = self._running.get(job_id)
        if attempt is not None and not attempt.is_stopping:
            attempt.is_stopping = True
            attempt.is_slice_end = is_slice_end
            attempt.task.cancel()

    async def release(self, job_id: str) -> None:
        """Stop the job's attempt, if there is one, and wait until it has let go of its files."""
        self.stop(job_id)
        attempt = self._running.get(job_id)
        if attempt is not None:
            await attempt.ended.wait()

    def stop_all(self) -> None:
        """Tell every attempt to stop."""
        for job_id in list(self._running):
            self.stop(job_id)

    async def _guarded(self, job: Job) -> Outcome:
        """The last line of defence: a bug in a transfer is an error of that job, not the end of the service."""
        try:
            return await self._run(job)
        except JobQueueError as error:
            return Failed(JobError(error.code, error.hresult, "GENERAL_QUEUE_MANAGER", str(error)), transient=True)
        except Exception:
            log.exception("attempt at job %s failed unexpectedly", job.id)
            message = "an internal error of the service stopped the transfer; its log says more"
            return Failed(JobError("E_FAIL", HRESULTS["E_FAIL"], "GENERAL_QUEUE_MANAGER", message), transient=False)

    async def _follow(self, group: asyncio.TaskGroup, attempt: _Attempt) -> None:
        """Wait for the end of the attempt and record it; nobody cancels this task, so no outcome is lost."""
        job_id = attempt.job.id
        try:
            while True:
                await asyncio.wait({attempt.task})
                again, attempt.renewed = attempt.renewed, None
                if again is None or attempt.is_stopping or not attempt.task.cancelled():
                    again = await self._recorded(attempt)
                if again is None:
                    break
                attempt.task = group.create_task(self._guarded(again), name=f"attempt {job_id}")
        finally:
            del self._running[job_id]
            attempt.ended.set()
            self._on_end()

    async def _recorded(self, attempt: _Attempt) -> Job | None:
        """Record what came of the attempt; returns the job if it must go on."""
        stopped = Yielded(attempt.is_slice_end)
        outcome = stopped if attempt.task.cancelled() else attempt.task.result()
        _tell(attempt.job, outcome)
        again = await self._reports.outcome(attempt.job.id, outcome)
        if again is not None and attempt.is_stopping:
            again = await self._reports.outcome(attempt.job.id, stopped)
        return again


def _tell(job: Job, outcome: Outcome) -> None:
    match outcome:
        case Finished():
            log.info("job %s is transferred", job.id)
        case Yielded():
            log.info("job %s is stopped, its bytes are kept", job.id)
        case Failed(error, transient):
            log.warning("job %s failed%s: %s", job.id, ", may be tried again" if transient else "", error.message)
