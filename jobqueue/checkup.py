"""What a self-check finds in the rows of the queue, and how it is mended. Looks at no file; the disk is doctor's."""

from collections.abc import Iterator
from dataclasses import replace
from functools import reduce

from jobqueue.change import Change
from jobqueue.job import File, Job, JobError, Totals
from jobqueue.states import ACTIVE, Trigger
from jobqueue.transaction import JobQuery, Transaction

BATCH = 20
"""Jobs that are looked at in one transaction."""


def jobs_after(tx: Transaction, row: int, owner_uid: int | None) -> list[tuple[Job, list[File]]]:
    """The next jobs that are not over, with their files; `owner_uid` None = everybody's."""
    rows = tx.job_rows(JobQuery(owner_uid=owner_uid, after_row=row), BATCH)
    return [(job, list(tx.files(job.id))) for job in tx.jobs(rows)]


def totals_of(files: list[File]) -> Totals:
    """What the sums of a job with these files must be."""
    return reduce(lambda totals, file: totals.changed(None, file), files, Totals())


def files_at_rest(job: Job, files: list[File], *, is_starting: bool) -> Iterator[File]:
    """Those with something on the disk that nobody is writing to. `is_starting`: no transfer runs yet."""
    if job.intent is None and (is_starting or job.state not in ACTIVE):
        yield from (file for file in files if file.inode is not None and not file.completed)


def recount(change: Change, job_id: str) -> None:
    """Make the sums of a job those of its files."""
    job = change.tx.job(job_id)
    change.keep(replace(job, totals=totals_of(list(change.tx.files(job_id)))))


def forget(change: Change, job_id: str, found: File, error: JobError | None, *, is_starting: bool) -> bool:
    """What was fetched of this file is not there any more: it starts from zero, and if it was finished the job is in
    ERROR with `error`. False = it is not as it was `found`, and nothing was done.
    """
    job, file = change.tx.job(job_id), change.tx.file(job_id, found.index)
    if file != found or file not in files_at_rest(job, [file], is_starting=is_starting):
        return False
    after = change.put_file(job, file, file.emptied())
    if file.transferred and error is not None:
        change.save(job, change.advance(after, Trigger.INVALIDATE, replace(error, at=change.wall)))
    else:
        change.keep(after)
    return True
