"""Clients that keep books of what the service tells them: a follower of events, a mirror of the list of jobs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from daemon.events import EventLog, check_kept
from jobqueue.errors import EventsTruncatedError
from jobqueue.job import Event, Job
from jobqueue.queue import JobQueue
from jobqueue.transaction import EventQuery, JobQuery, Transaction

PAGE = 3
"""Events asked for at a time."""


@dataclass
class Follower:
    """Reads the events of one user (None = of all) on from the last number it had, whatever happened in between."""

    uid: int | None
    seq: int = 0
    seen: list[Event] = field(default_factory=list)
    gaps: list[range] = field(default_factory=list)
    """Numbers of which the service said that they are no longer kept."""

    async def read(self, queue: JobQueue) -> None:
        """Until there is nothing more, as a long poll does."""
        log = EventLog(queue)
        while True:
            try:
                found, self.seq = await log.after(EventQuery(self.seq, PAGE, owner_uid=self.uid))
            except EventsTruncatedError as error:
                oldest = error.facts["oldest"]
                assert isinstance(oldest, int)
                self.gaps.append(range(self.seq + 1, oldest + 1))
                self.seq = oldest
                continue
            self.seen += found
            if len(found) < PAGE:
                return

    def expected(self, archive: Sequence[Event]) -> list[Event]:
        """What it must have seen of everything that ever happened."""
        return [
            event
            for event in archive
            if event.seq <= self.seq
            and self.uid in {None, event.owner_uid}
            and not any(event.seq in gap for gap in self.gaps)
        ]


@dataclass
class Mirror:
    """Keeps the list of one user's jobs (None = all) up to date by `changed_since` and `removed`, as the API has it."""

    uid: int | None
    seq: int | None = None
    jobs: dict[str, Job] = field(default_factory=dict)

    async def refresh(self, queue: JobQueue) -> None:
        """Ask for what changed; for everything when what was removed since is no longer known."""
        try:
            rows, removed, seq = await queue.read(self._snapshot)
        except EventsTruncatedError:
            self.seq, self.jobs = None, {}
            rows, removed, seq = await queue.read(self._snapshot)
        self.jobs.update({job.id: job for job in await queue.read(lambda tx: tx.jobs(rows))})
        for job_id in removed:
            self.jobs.pop(job_id, None)
        self.seq = seq

    def _snapshot(self, tx: Transaction) -> tuple[Sequence[int], Sequence[str], int]:
        if self.seq is None:
            return tx.job_rows(JobQuery(self.uid)), (), tx.last_seq()
        check_kept(tx, self.seq)
        return (
            tx.job_rows(JobQuery(self.uid, changed_since=self.seq)),
            tx.removed_since(self.seq, self.uid),
            tx.last_seq(),
        )

    def shown(self) -> Mapping[str, object]:
        """What this client believes."""
        return {job_id: shown(job) for job_id, job in self.jobs.items()}


def shown(job: Job) -> object:
    """What a client sees of a job and every change of which is an event."""
    return job.owner, job.state, job.properties, job.totals.files, job.totals.files_transferred, job.revision, job.error
