"""Live progress: what running attempts have in their files beyond what is on record. Memory only, read by anybody."""

from dataclasses import dataclass
from typing import Protocol

from jobqueue.job import File, Job


class Counter(Protocol):
    """Counts the bytes of one file as they land: all of them, and those from its start on without a gap."""

    @property
    def transferred(self) -> int: ...
    @property
    def readable(self) -> int: ...


@dataclass(slots=True)
class _Entry:
    counter: Counter
    recorded: int


class LiveProgress:
    """Who is running what. A file is in here from the start of its transfer to its end."""

    def __init__(self) -> None:
        self._jobs: dict[str, dict[int, _Entry]] = {}

    def watch(self, job_id: str, file: File, counter: Counter) -> None:
        """The file's bytes are counted by `counter` from now on."""
        self._jobs.setdefault(job_id, {})[file.index] = _Entry(counter, file.landed)

    def recorded(self, job_id: str, index: int, count: int) -> None:
        """So many of the bytes are on record now."""
        entry = self._jobs.get(job_id, {}).get(index)
        if entry is not None:
            entry.recorded = count

    def forget(self, job_id: str, index: int) -> None:
        """The file's transfer has ended."""
        entries = self._jobs[job_id]
        del entries[index]
        if not entries:
            del self._jobs[job_id]

    @property
    def count(self) -> int:
        """How many files are on their way."""
        return sum(map(len, self._jobs.values()))

    def job_ids(self) -> list[str]:
        """The jobs with a running transfer."""
        return list(self._jobs)

    def job_bytes(self, job: Job) -> int:
        """bytes_transferred of the job as of now."""
        entries = self._jobs.get(job.id, {}).values()
        landed = sum(entry.counter.transferred - entry.recorded for entry in entries)
        so_far = max(0, job.totals.bytes_transferred + landed)
        # a record made this very moment may be in both terms: never show more than there is
        return so_far if job.totals.bytes_total is None else min(so_far, job.totals.bytes_total)

    def file_bytes(self, job_id: str, file: File) -> int:
        """bytes_transferred of the file as of now."""
        entry = self._jobs.get(job_id, {}).get(file.index)
        return file.landed if entry is None else entry.counter.transferred

    def file_readable(self, job_id: str, file: File) -> int:
        """How far the file can be read from its start, as of now."""
        entry = self._jobs.get(job_id, {}).get(file.index)
        return file.offset if entry is None else entry.counter.readable
