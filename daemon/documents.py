"""Records of the queue as the JSON a client sees (docs/api.md §3). Plain dictionaries: a list may hold thousands.

Owns what is shown to whom: custom headers go to their owner alone, and to nobody once they are write-only.
"""

from collections.abc import Callable
from typing import Any

from daemon.access import Caller
from daemon.times import rfc3339
from jobqueue import retry
from jobqueue.job import Event, File, Job, JobError, State
from jobqueue.queue import JobQueue

Document = dict[str, Any]


class Documents:
    """Makes documents; `why_queued` is the scheduler's answer to why a job in QUEUED does not run."""

    def __init__(self, queue: JobQueue, why_queued: Callable[[Job], str]) -> None:
        self._queue = queue
        self._why_queued = why_queued

    def job(self, job: Job, caller: Caller) -> Document:
        """The Job document, with live progress."""
        own, policy, totals = job.properties, self._queue.policy, job.totals
        is_shown = job.owner.uid == caller.uid and not own.custom_headers_write_only
        return {
            "id": job.id,
            "revision": job.revision,
            "type": "DOWNLOAD",
            "display_name": own.display_name,
            "description": own.description,
            "owner": {"uid": job.owner.uid, "user": job.owner.user},
            "priority": own.priority,
            "state": job.state,
            "progress": {
                "bytes_total": totals.bytes_total,
                "bytes_transferred": self._queue.live.job_bytes(job),
                "files_total": totals.files,
                "files_transferred": totals.files_transferred,
            },
            "times": {
                "created": rfc3339(job.created),
                "modified": rfc3339(job.modified),
                "transfer_completed": rfc3339(job.transfer_completed),
            },
            "error": None if job.error is None else _error(job.error, job.state),
            "error_count": job.error_count,
            "waiting": self._waiting(job),
            "minimum_retry_delay": retry.minimum_retry_delay(job, policy),
            "no_progress_timeout": retry.no_progress_timeout(job, policy),
            "maximum_download_time": retry.maximum_download_time(job, policy),
            "notify": {
                "flags": list(own.notify_flags),
                "command": None if own.notify_command is None else list(own.notify_command),
                "minimum_interval_ms": own.notify_interval_ms,
            },
            "proxy": {"usage": own.proxy_usage, "list": own.proxy_list, "bypass": own.proxy_bypass},
            "custom_headers": own.custom_headers if is_shown else None,
            "custom_headers_write_only": own.custom_headers_write_only,
            "client_certificate": None if own.client_certificate is None else dict(own.client_certificate),
            "security_flags": list(own.security_flags),
            "cost_policy": own.cost_policy,
            "http_method": own.http_method,
            "dynamic_content": own.dynamic_content,
            "maximum_download_size": own.maximum_download_size,
        }

    def file(self, job_id: str, file: File) -> Document:
        """The File document, with live progress."""
        return {
            "index": file.index,
            "remote_name": file.remote_name,
            "local_name": file.local_name,
            "temporary_name": file.temporary_name,
            "ranges": [{"offset": offset, "length": length} for offset, length in file.ranges],
            "progress": {
                "bytes_total": file.size,
                "bytes_transferred": self._queue.live.file_bytes(job_id, file),
                "completed": file.completed,
            },
            "transferred": file.transferred,
            "expected_size": file.expected_size,
            "digest": dict(file.digest) or None,
            "mirrors": list(file.mirrors),
            "resume_unvalidated": file.resume_unvalidated,
            "validated": file.validated,
            "response_headers": file.response_headers,
        }

    def _waiting(self, job: Job) -> Document | None:
        if job.state is State.QUEUED:
            reason = self._why_queued(job)
            return {"reason": reason, "until": None, "detail": _WHY_QUEUED[reason]}
        if job.state is not State.TRANSIENT_ERROR:
            return None
        verdict = retry.decide(job, self._queue.policy)
        left = max(0.0, verdict.at - self._queue.clock.now())
        until = rfc3339(self._queue.clock.wall() + left)
        asked = job.timers.retry_after or 0
        reason = "retry_after" if asked > retry.minimum_retry_delay(job, self._queue.policy) else "retry_delay"
        if isinstance(verdict, retry.GiveUpAt):
            detail = "the no-progress timeout ends before the next attempt; resume tries at once"
        elif reason == "retry_after":
            detail = f"the server asked to wait {asked} s; resume tries at once"
        else:
            delay = retry.minimum_retry_delay(job, self._queue.policy)
            detail = f"waits out its retry delay of {delay} s; resume tries at once"
        return {"reason": reason, "until": until, "detail": detail}


def event(event: Event) -> Document:
    """The Event document."""
    return {
        "seq": event.seq,
        "time": rfc3339(event.time),
        "type": event.type,
        "job_id": event.job_id or None,
        **event.data,
    }


_WHY_QUEUED = {
    "store": "the queue's store takes no changes at the moment (GET /v1 says why); it is tried again every few seconds",
    "starting": "the job starts in a moment",
    "slots": "every slot is taken by jobs of the same or a higher priority",
    "time_slice": "its time slice ended; other jobs of its priority have their turn",
}


def _error(error: JobError, state: State) -> Document:
    return {
        "code": error.code,
        "hresult": f"0x{error.hresult:08X}",
        "context": error.context,
        "message": error.message,
        "file_index": error.file_index,
        "remote_name": error.remote_name,
        "local_name": error.local_name,
        "http_status": error.http_status,
        "transient": state is State.TRANSIENT_ERROR,
        "at": rfc3339(error.at),
    }
