"""What becomes of jobs whose secrets cannot be read any more, because the key they were sealed with is gone.

Such a job must not go on: without its query a URL may be that of another file. It is in ERROR until its owner has set
again what is missing; what was sealed with the old key is dropped.
"""

import logging
from dataclasses import replace

from jobqueue.change import Change
from jobqueue.errors import HRESULTS
from jobqueue.job import JobError
from jobqueue.queue import JobQueue
from jobqueue.states import Trigger

log = logging.getLogger(__name__)


async def give_up_lost_secrets(queue: JobQueue) -> None:
    """Once at the start, before any job runs."""

    def work(change: Change) -> int:
        found = change.tx.jobs_with_lost_secrets()
        for job_id in found:
            _give_up(change, job_id)
        return len(found)

    count = await queue.change(work)
    if count:
        log.warning(
            "the key that secrets were sealed with is gone: %d jobs lost credentials, custom headers or the queries of"
            " their URLs; those that still need them are in ERROR until they are set again",
            count,
        )


def _give_up(change: Change, job_id: str) -> None:
    job, secrets = change.tx.job(job_id), change.tx.secrets(job_id)
    change.tx.put_secrets(job_id, secrets)
    for file in change.tx.files(job_id):
        change.tx.put_file(job_id, file)
    shown = job.properties.client_certificate if secrets.certificate else None
    left = replace(job, properties=replace(job.properties, client_certificate=shown))
    if job.state.is_final or job.intent is not None or job.totals.is_transferred:
        change.keep(left)
        return
    error = JobError(
        code="SECRETS_LOST",
        hresult=HRESULTS["SECRETS_LOST"],
        context="GENERAL_QUEUE_MANAGER",
        message="the service lost the key of its secrets: set credentials, custom headers and URLs with a query again",
        at=change.wall,
    )
    change.save(job, change.advance(left, Trigger.INVALIDATE, error))
