"""JobQueue: every change of a job passes here; it is committed, then whoever waits is told.

Owns the calls an owner can make (§2.2) except Complete and Cancel, which reach into the file system (finish.py).
Takes a guard with each call, so that the permission is judged on the very row that is changed.
"""

import secrets
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from posixpath import dirname, join
from typing import TypeVar

from jobqueue import edit, retry
from jobqueue.change import Change, Clock, Guard
from jobqueue.errors import EmptyJobError, IdempotencyConflictError, PendingError, RefusedError
from jobqueue.job import File, Job, JobError, Owner, Properties
from jobqueue.live import LiveProgress
from jobqueue.secrets import Credential, JobSecrets
from jobqueue.states import Trigger
from jobqueue.store import Store
from jobqueue.transaction import IdempotentRequest, Transaction
from jobqueue.watch import WatchedStore

T = TypeVar("T")
ROOT = 0


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to be created; the index and temporary name of its files are given by the queue."""

    owner: Owner
    properties: Mapping[str, object]
    files: Sequence[File] = ()
    resume: bool = False
    credentials: Sequence[Credential] = field(default=(), repr=False)
    """Those that came in the URLs of its files."""


class JobQueue:
    """The queue. `policy` and `limits` may be replaced while running (reload)."""

    def __init__(self, store: Store, clock: Clock, policy: retry.Policy, limits: edit.Limits) -> None:
        self.clock = clock
        self.policy = policy
        self.limits = limits
        self.live = LiveProgress()
        self.commits = 0
        """How many changes there have been: what was read before the last of them may be out of date."""
        self.next_wake = inf
        """When the scheduler will look by itself; an earlier timer wakes it."""
        self.store = WatchedStore(store)
        self._on_change: list[Callable[[Change], None]] = []

    def subscribe(self, told: Callable[[Change], None]) -> None:
        """Call `told` after every commit."""
        self._on_change.append(told)

    async def change(self, work: Callable[[Change], T]) -> T:
        """Run `work` in a transaction of its own; committed when this returns, nothing changed when it raises.

        Cancelled, it is carried out all the same, and whoever waits for changes is told. Raises StoreFullError,
        StoreFailedError.
        """
        changes: list[Change] = []

        def in_transaction(tx: Transaction) -> T:
            change = Change(tx, self.clock.now(), self.clock.wall(), self.policy, self.next_wake)
            changes.append(change)
            result = work(change)
            tx.set_meta("clock", repr(change.now))
            return result

        try:
            return await self.store.write(in_transaction)
        finally:
            self.commits += 1
            for told in self._on_change if changes else ():
                told(changes[-1])

    async def read(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` on the committed state. Raises StoreFailedError."""
        return await self.store.read(work)

    async def job(self, job_id: str) -> Job:
        """Raises NotFoundError."""
        return await self.read(lambda tx: tx.job(job_id))

    async def create(self, new: NewJob, request: IdempotentRequest | None = None) -> Job:
        """A SUSPENDED job, or QUEUED with `resume`. The same `request` again gives the job it made before.

        Raises RefusedError (limits, properties, ranges), EmptyJobError, IdempotencyConflictError.
        """

        def work(change: Change) -> Job:
            if request is not None and (made := change.tx.idempotent_job(request)) is not None:
                if made[0] != request.fingerprint:
                    raise IdempotencyConflictError("the Idempotency-Key was used for another request before")
                return change.tx.job(made[1])
            self._check_job_limits(change, new.owner)
            properties = Properties(display_name=str(new.properties["display_name"]))
            job = Job(str(uuid.uuid4()), new.owner, properties, change.wall, change.wall)
            job = edit.set_properties(job, new.properties)
            job = replace(job, timers=replace(job.timers, activity_at=change.now))
            job = change.emit(change.tx.insert_job(job, None), "JOB_CREATED")
            job = self._with_files(change, job, new.files, is_exempt=new.owner.uid == ROOT)
            change.add_credentials(job, new.credentials)
            if new.resume:
                job = change.save(job, self._resumed(change, job), by_owner=True)
            change.keep(job)
            if request is not None:
                change.tx.remember_request(request, job.id)
            return job

        return await self.change(work)

    async def set_properties(self, job_id: str, guard: Guard, values: Mapping[str, object]) -> Job:
        """Raises RefusedError, InvalidStateError. A transient error is judged anew by the new timeouts at once."""

        def edited(change: Change, job: Job) -> Job:
            job = edit.set_properties(change.advance(job, Trigger.EDIT), values)
            if values.get("dynamic_content"):
                edit.check_files(job, change.tx.files(job_id), self.limits, is_exempt=True)
            verdict = retry.due(job, change.policy)
            if verdict is not None and verdict[1] is Trigger.GIVE_UP and verdict[0] <= change.now:
                job = change.advance(job, Trigger.GIVE_UP)
            return job

        return await self._edit(job_id, guard, edited)

    async def add_files(
        self,
        job_id: str,
        guard: Guard,
        files: Sequence[File],
        credentials: Sequence[Credential] = (),
        *,
        is_exempt: bool = False,
    ) -> Sequence[File]:
        """Append all of them or none; returns them as added. `is_exempt` from the limits (the caller is root).

        `credentials` came in their URLs.

        Raises RefusedError, InvalidStateError.
        """

        def work(change: Change) -> Sequence[File]:
            job = self._guarded(change, job_id, guard)
            change.advance(job, Trigger.EDIT)
            change.save(job, self._with_files(change, job, files, is_exempt=is_exempt), by_owner=True)
            change.add_credentials(job, credentials)
            return change.tx.files(job_id)[job.totals.files :]

        return await self.change(work)

    async def suspend(self, job_id: str, guard: Guard) -> Job:
        """SUSPENDED; progress is kept. Raises InvalidStateError."""
        return await self._edit(job_id, guard, lambda change, job: change.advance(job, Trigger.SUSPEND))

    async def resume(self, job_id: str, guard: Guard) -> Job:
        """QUEUED, or unchanged when active. Raises InvalidStateError, EmptyJobError."""
        return await self._edit(job_id, guard, self._resumed)

    async def take_ownership(self, job_id: str, guard: Guard, owner: Owner) -> Job:
        """The job becomes `owner`'s; its secrets and its command do not go with it (§6.2). Raises InvalidStateError."""

        def taken(change: Change, job: Job) -> Job:
            job = change.advance(job, Trigger.EDIT)
            stripped = replace(
                job.properties,
                custom_headers=None,
                custom_headers_write_only=False,
                client_certificate=None,
                notify_command=None,
            )
            change.tx.put_secrets(job.id, JobSecrets())
            return replace(job, owner=owner, properties=stripped)

        return await self._edit(job_id, guard, taken)

    async def set_remote_name(
        self, job_id: str, index: int, guard: Guard, remote_name: str, credentials: Sequence[Credential] = ()
    ) -> File:
        """A new URL for one file; bytes already here are kept if the new place has the same file (§5.3)."""

        def work(change: Change) -> File:
            job = self._guarded(change, job_id, guard)
            change.advance(job, Trigger.EDIT)
            old = change.tx.file(job_id, index)
            new = old.moved(remote_name)
            change.put_credentials(job, credentials)
            has_news = new != old or bool(credentials)
            change.save(job, change.put_file(job, old, new), by_owner=True, has_new_files=has_news)
            return new

        return await self.change(work)

    async def replace_remote_prefix(
        self,
        job_id: str,
        guard: Guard,
        old: str,
        new: str,
        parse: Callable[[str], tuple[str, Sequence[Credential]]],
    ) -> tuple[Job, int]:
        """Exchange `old` for `new` at the start of every remote name (§5.3).

        `parse` takes the credentials out of a URL and raises on a bad one.
        """

        def work(change: Change) -> tuple[Job, int]:
            job = self._guarded(change, job_id, guard)
            change.advance(job, Trigger.EDIT)
            matching = [file for file in change.tx.files(job_id) if file.remote_name.startswith(old)]
            after = job
            for file in matching:
                remote_name, credentials = parse(new + file.remote_name[len(old) :])
                change.put_credentials(job, credentials)
                after = change.put_file(after, file, file.moved(remote_name))
            return change.save(job, after, by_owner=True, has_new_files=bool(matching)), len(matching)

        return await self.change(work)

    async def validate(self, job_id: str, index: int, guard: Guard, *, is_valid: bool) -> File:
        """The owner's verdict on a finished file; False makes the job ERROR and the file start anew (§5.9).

        Raises PendingError while the file is not finished, InvalidStateError.
        """

        def work(change: Change) -> File:
            job = self._guarded(change, job_id, guard)
            change.advance(job, Trigger.EDIT)
            old = change.tx.file(job_id, index)
            if not old.transferred:
                raise PendingError(f"cannot judge file {index} of job {job_id}: it is not transferred yet")
            new = replace(old if is_valid else old.emptied(), validated=is_valid)
            after = change.put_file(job, old, new)
            if not is_valid:
                after = change.advance(after, Trigger.INVALIDATE, _rejected(new, change.wall))
            change.save(job, after, by_owner=True, has_new_files=new != old)
            return new

        return await self.change(work)

    async def _edit(self, job_id: str, guard: Guard, edited: Callable[[Change, Job], Job]) -> Job:
        def work(change: Change) -> Job:
            job = self._guarded(change, job_id, guard)
            return change.save(job, edited(change, job), by_owner=True)

        return await self.change(work)

    @staticmethod
    def _guarded(change: Change, job_id: str, guard: Guard) -> Job:
        job = change.tx.job(job_id)
        guard(job)
        return job

    @staticmethod
    def _resumed(change: Change, job: Job) -> Job:
        if job.totals.files == 0 and not job.state.is_final:
            raise EmptyJobError(f"cannot resume job {job.id}: it has no files; add one first", state=job.state)
        return change.advance(job, Trigger.RESUME)

    def _with_files(self, change: Change, job: Job, files: Sequence[File], *, is_exempt: bool) -> Job:
        edit.check_files(job, files, self.limits, is_exempt=is_exempt)
        for index, file in enumerate(files, job.totals.files):
            temporary = join(dirname(file.local_name), f".BIT{secrets.token_hex(4)}.tmp")
            lengths = [length for _, length in file.ranges]
            size = None if not lengths or None in lengths else sum(length or 0 for length in lengths)
            job = change.put_file(job, None, replace(file, index=index, temporary_name=temporary, size=size))
        return job

    def _check_job_limits(self, change: Change, owner: Owner) -> None:
        if owner.uid == ROOT:
            return
        for code, limit, whose, uid in (
            ("BG_E_TOO_MANY_JOBS_PER_USER", self.limits.jobs_per_user, f"user {owner.user}", owner.uid),
            ("BG_E_TOO_MANY_JOBS_PER_MACHINE", self.limits.jobs_per_machine, "this machine", None),
        ):
            if limit and change.tx.count_jobs(uid) >= limit:
                raise RefusedError(code, f"cannot create a job: {whose} has {limit} already", limit=limit)


def _rejected(file: File, wall: float) -> JobError:
    return JobError(
        code="BG_E_VALIDATION_FAILED",
        hresult=0x80200053,
        context="REMOTE_FILE",
        message=f"file {file.index} was found invalid by the owner; resume fetches it again",
        at=wall,
        file_index=file.index,
        remote_name=file.remote_name,
        local_name=file.local_name,
    )
