"""The jobs that were asked for lately, as they are committed: who asks again and again costs the store nothing.

A job is forgotten when a change of it was committed, before anybody is told; what was read before that is not kept.
"""

from collections.abc import Awaitable, Callable, Iterable

from jobqueue.job import Job

SIZE = 256
"""Jobs that are kept; some KiB each."""


class Recent:
    """Knows some jobs by heart."""

    def __init__(self) -> None:
        self._known: dict[str, Job] = {}
        self._reading: dict[str, object] = {}
        """The last reading of each job that is under way and not overtaken by a change."""

    def get(self, job_id: str) -> Job | None:
        """None = it has to be read."""
        return self._known.get(job_id)

    async def read(self, job_id: str, read: Callable[[], Awaitable[Job]]) -> Job:
        """What `read` gives, known from now on unless it changed meanwhile. Raises what `read` does."""
        reading = self._reading[job_id] = object()
        is_current = False
        try:
            job = await read()
        finally:
            if self._reading.get(job_id) is reading:
                del self._reading[job_id]
                is_current = True
        if is_current:
            self._known[job_id] = job
            if len(self._known) > SIZE:
                del self._known[next(iter(self._known))]
        return job

    def forget(self, job_ids: Iterable[str]) -> None:
        """They were changed."""
        for job_id in job_ids:
            self._known.pop(job_id, None)
            self._reading.pop(job_id, None)
