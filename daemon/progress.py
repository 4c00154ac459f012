"""Live progress for all streams: taken stock of once, each document made once, whoever it is sent to."""

from dataclasses import dataclass

from daemon.access import Caller
from daemon.documents import Documents
from daemon.times import rfc3339
from daemon.window import frame
from jobqueue.job import Job, State
from jobqueue.queue import JobQueue
from jobqueue.transaction import EventQuery

PROGRESS = "PROGRESS"
_NOBODY = Caller(-1, -1, 0)
"""Progress is the same for everybody who may see the job."""


@dataclass(frozen=True, slots=True)
class _Moved:
    owner_uid: int
    transferred: int
    beat: int
    frame: bytes


class Progress:
    """What the running jobs have. A beat is the number of a look; a stream keeps the last one it told of."""

    def __init__(self, queue: JobQueue) -> None:
        self.beat = 0
        self._queue = queue
        self._jobs: dict[str, _Moved] = {}

    async def look(self, documents: Documents) -> bool:
        """Take stock; False when no job is being transferred. Raises StoreFailedError."""
        jobs = await self._queue.read(lambda tx: tx.jobs_in((State.TRANSFERRING,)))
        self.beat += 1
        running = set(self._queue.live.job_ids())
        self._jobs = {job.id: self._moved(job, documents) for job in jobs if job.id in running}
        return bool(jobs)

    def _moved(self, job: Job, documents: Documents) -> _Moved:
        progress = documents.job(job, _NOBODY)["progress"]
        last = self._jobs.get(job.id)
        if last is not None and last.transferred == progress["bytes_transferred"]:
            return last
        now = rfc3339(self._queue.clock.wall())
        data = frame({"type": PROGRESS, "time": now, "job_id": job.id, "progress": progress})
        return _Moved(job.owner.uid, progress["bytes_transferred"], self.beat, data)

    def forget(self, job_id: str) -> None:
        """Its state has changed: what was seen before must not be told after that."""
        self._jobs.pop(job_id, None)

    def clear(self) -> None:
        """Nobody looks: what was seen grows old."""
        self._jobs = {}

    def since(self, beat: int, wanted: EventQuery) -> list[bytes]:
        """What moved after this beat, a frame per job."""
        return [
            moved.frame
            for job_id, moved in self._jobs.items()
            if moved.beat > beat and wanted.owner_uid in {None, moved.owner_uid} and wanted.job_id in {None, job_id}
        ]
