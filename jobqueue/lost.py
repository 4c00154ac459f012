"""What the last service left and this one has not: told once at the start, before any job runs.

A part of the queue (recovery.py has noted it): an event for everybody, and `state_lost` for as long as events are kept.

Secrets, when the key they were sealed with is gone. Such a job must not go on: without its query a URL may be that of
another file. It is in ERROR until its owner has set again what is missing; what was sealed with the old key is dropped.
"""

import json
import logging
from dataclasses import replace

from jobqueue.change import Change
from jobqueue.errors import HRESULTS, StoreFullError
from jobqueue.job import EVERYBODY, Event, JobError
from jobqueue.queue import JobQueue
from jobqueue.retry import Policy
from jobqueue.states import Trigger
from jobqueue.transaction import Transaction

log = logging.getLogger(__name__)

_LOSSES = {
    "damaged": "the queue's database was damaged: it is kept as %s, what could be read of it goes on; jobs lost: %s",
    "older": "the queue's database is older than the last change that was acknowledged (it, or its log, was replaced or"
    " removed): what came after is lost (kept: %s; jobs lost: %s)",
}


async def tell_what_was_lost(queue: JobQueue) -> None:
    """Of the queue itself."""

    def work(change: Change) -> None:
        noted = change.tx.meta("loss")
        if noted:
            loss = json.loads(noted)
            # every user sees it: which jobs of whom is for the log
            told = {"reason": loss["reason"], "kept": loss["kept"], "jobs_lost": len(loss["jobs"])}
            change.tx.append_event(Event("STATE_LOST", "", EVERYBODY, change.wall, change.now, told))
            change.has_events = True
            change.tx.set_meta("loss", "")
            change.tx.set_meta("lost_at", repr(change.now))
            log.error(_LOSSES[loss["reason"]], loss["kept"], ", ".join(loss["jobs"]) or "none that is known")
            orphans = [leftover.path for leftover in change.tx.leftovers() if leftover.owner is None]
            if orphans:
                log.warning(
                    "temporary files of lost jobs (`bitsctl doctor --fix` removes them): %s", ", ".join(orphans)
                )

    if await queue.read(lambda tx: tx.meta("loss")):
        await queue.change(work)


def is_state_lost(tx: Transaction, now: float, policy: Policy) -> bool:
    """Whether something was lost not longer ago than the history is kept."""
    lost_at = tx.meta("lost_at")
    return lost_at is not None and now < float(lost_at) + policy.history_retention


def take_note_of_loss(change: Change) -> None:
    """The administrator knows: `is_state_lost` no more."""
    change.tx.set_meta("lost_at", "-inf")


async def give_up_lost_secrets(queue: JobQueue) -> None:
    """Of jobs that were sealed with another key; nobody looks at them again once there are none."""

    def work(change: Change) -> int:
        lost = change.tx.jobs_with_lost_secrets()
        for job_id in lost:
            _give_up(change, job_id)
        change.tx.note_own_seal()
        return len(lost)

    if await queue.read(lambda tx: tx.has_own_seal()):
        return
    try:
        count = await queue.change(work)
    except StoreFullError:
        if await queue.read(lambda tx: tx.jobs_with_lost_secrets()):
            raise
        return  # the next start looks again
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
