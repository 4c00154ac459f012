"""The files of a running job whose turn comes next, with the job's secrets: read a few at a time.

Owns when what was read counts no more: as soon as anything but the progress of transfers changed the job. Refuses to
know who fetches them.
"""

from collections import deque

from jobqueue.change import Change
from jobqueue.job import File
from jobqueue.queue import JobQueue
from jobqueue.secrets import JobSecrets

AT_A_TIME = 32
"""Files that are read at once: one by one, the store would be asked for each."""


class Upcoming:
    """For one attempt, which takes the files one after the other."""

    def __init__(self, queue: JobQueue, job_id: str) -> None:
        self.secrets = JobSecrets()
        """Of the job, as they were when the last file was taken."""
        self._queue = queue
        self._job_id = job_id
        self._next = 0
        self._files: deque[File] = deque()
        self._is_current = False

    async def take(self) -> File | None:
        """The next file that is not transferred, None = there is none yet. Raises NotFoundError."""
        while not (self._files and self._is_current):
            self._is_current = True  # a change from now on is told, and counts
            files, secrets = await self._queue.read(
                lambda tx: (tx.next_files(self._job_id, self._next, AT_A_TIME), tx.secrets(self._job_id))
            )
            self._files, self.secrets = deque(files), secrets
            if not files:
                return None
        file = self._files.popleft()
        self._next = file.index + 1
        return file

    def tell(self, change: Change) -> None:
        """A change was committed."""
        if not change.is_progress and self._job_id in change.job_ids:
            self._is_current = False
