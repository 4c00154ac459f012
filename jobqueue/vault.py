"""The calls that put secrets with a job and take them away; nothing gives them out but `read`, for the transfer.

Legal in every state that is not final, also in ERROR: set, then Resume (spec/clients.md 14). They count as changes of
the job, and tell nobody what was set.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from jobqueue.change import Change, Guard
from jobqueue.job import Job
from jobqueue.queue import JobQueue
from jobqueue.secrets import ClientCertificate, Credential, JobSecrets
from jobqueue.states import Trigger


class Vault:
    """The secrets of all jobs."""

    def __init__(self, queue: JobQueue) -> None:
        self._queue = queue

    async def read(self, job_id: str) -> JobSecrets:
        """What the job has now."""
        return await self._queue.read(lambda tx: tx.secrets(job_id))

    async def put_credential(self, job_id: str, guard: Guard, credential: Credential) -> None:
        """In place of what was there. Raises InvalidStateError."""
        await self._change(job_id, guard, lambda secrets: secrets.put(credential))

    async def remove_credential(self, job_id: str, guard: Guard, target: str, scheme: str) -> None:
        """Raises RefusedError when there is none, InvalidStateError."""
        await self._change(job_id, guard, lambda secrets: secrets.without(target, scheme))

    async def put_certificate(
        self, job_id: str, guard: Guard, certificate: ClientCertificate, facts: Mapping[str, str]
    ) -> None:
        """The client's certificate; `facts` of it may be shown. Raises InvalidStateError."""
        await self._change(
            job_id,
            guard,
            lambda secrets: replace(secrets, certificate=certificate),
            lambda job: replace(job, properties=replace(job.properties, client_certificate=dict(facts))),
        )

    async def remove_certificate(self, job_id: str, guard: Guard) -> None:
        """That there is none is fine. Raises InvalidStateError."""
        await self._change(
            job_id,
            guard,
            lambda secrets: replace(secrets, certificate=None),
            lambda job: replace(job, properties=replace(job.properties, client_certificate=None)),
        )

    async def _change(
        self,
        job_id: str,
        guard: Guard,
        changed: Callable[[JobSecrets], JobSecrets],
        edited: Callable[[Job], Job] = lambda job: job,
    ) -> None:
        def work(change: Change) -> None:
            job = change.tx.job(job_id)
            guard(job)
            after = edited(change.advance(job, Trigger.EDIT))
            change.tx.put_secrets(job_id, changed(change.tx.secrets(job_id)))
            change.save(job, after, by_owner=True, has_new_files=True)

        await self._queue.change(work)
