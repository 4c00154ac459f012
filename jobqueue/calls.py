"""What the calls of an owner (§2.2) do to a job: each is one function over one change, which is committed by the queue.

Takes a guard with each call, so that the permission is judged on the very row that is changed. Refuses to touch files:
Complete and Cancel only put on record here that they have begun (finish.py goes on).
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from posixpath import dirname, join

from jobqueue import edit, retry
from jobqueue.change import Change, Guard
from jobqueue.errors import EmptyJobError, IdempotencyConflictError, PendingError, RefusedError
from jobqueue.ids import temporary_name
from jobqueue.job import File, Intent, Job, JobError, Owner, Timers
from jobqueue.secrets import Credential, JobSecrets
from jobqueue.states import Trigger, check
from jobqueue.transaction import IdempotentRequest

ROOT = 0


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to be created; the index and temporary name of its files are given here."""

    owner: Owner
    properties: Mapping[str, object]
    files: Sequence[File] = ()
    resume: bool = False
    credentials: Sequence[Credential] = field(default=(), repr=False)
    """Those that came in the URLs of its files."""


def create(change: Change, limits: edit.Limits, new: NewJob, request: IdempotentRequest | None = None) -> Job:
    """A SUSPENDED job, or QUEUED with `resume`. The same `request` again gives the job it made before.

    Raises RefusedError (limits, properties, ranges), EmptyJobError, IdempotencyConflictError.
    """
    if request is not None and (made := change.tx.idempotent_job(request)) is not None:
        if made[0] != request.fingerprint:
            raise IdempotencyConflictError("the Idempotency-Key was used for another request before")
        return change.tx.job(made[1])
    _check_job_limits(change, limits, new.owner)
    properties = edit.new_properties(new.properties)
    timers = Timers(activity_at=change.now)
    job = Job(change.ids.next(change.now), new.owner, properties, change.wall, change.wall, timers=timers)
    job = change.emit(job, "JOB_CREATED")
    job, files = _with_files(change, limits, job, new.files, is_exempt=new.owner.uid == ROOT)
    if new.resume:
        job = change.changed(job, _resumed(change, job), by_owner=True)
    job = change.insert(job)
    for file in files:
        change.tx.put_file(job.id, file)
    change.add_credentials(job, new.credentials)
    if request is not None:
        change.tx.remember_request(request, job.id)
    return job


def set_properties(change: Change, limits: edit.Limits, job_id: str, guard: Guard, values: Mapping[str, object]) -> Job:
    """Raises RefusedError, InvalidStateError. A transient error is judged anew by the new timeouts at once."""
    before = _guarded(change, job_id, guard)
    job = edit.set_properties(change.advance(before, Trigger.EDIT), values)
    if values.get("dynamic_content"):
        edit.check_files(job, change.tx.files(job_id), limits, is_exempt=True)
    verdict = retry.due(job, change.policy)
    if verdict is not None and verdict[1] is Trigger.GIVE_UP and verdict[0] <= change.now:
        job = change.advance(job, Trigger.GIVE_UP)
    return change.save(before, job, by_owner=True)


def add_files(
    change: Change,
    limits: edit.Limits,
    job_id: str,
    guard: Guard,
    files: Sequence[File],
    *,
    credentials: Sequence[Credential] = (),
    is_exempt: bool = False,
) -> Sequence[File]:
    """Append all of them or none; returns them as added. `is_exempt` from the limits (the caller is root).

    `credentials` came in their URLs. Raises RefusedError, InvalidStateError.
    """
    job = _guarded(change, job_id, guard)
    change.advance(job, Trigger.EDIT)
    after, added = _with_files(change, limits, job, files, is_exempt=is_exempt)
    for file in added:
        change.tx.put_file(job_id, file)
    change.save(job, after, by_owner=True)
    change.add_credentials(job, credentials)
    return added


def suspend(change: Change, job_id: str, guard: Guard) -> Job:
    """SUSPENDED; progress is kept. Raises InvalidStateError."""
    job = _guarded(change, job_id, guard)
    return change.save(job, change.advance(job, Trigger.SUSPEND), by_owner=True)


def resume(change: Change, job_id: str, guard: Guard) -> Job:
    """QUEUED, or unchanged when active. Raises InvalidStateError, EmptyJobError."""
    job = _guarded(change, job_id, guard)
    return change.save(job, _resumed(change, job), by_owner=True)


def begin(change: Change, job_id: str, guard: Guard, intent: Intent) -> Job:
    """Complete or Cancel is on record: nothing else may change the job from now on. Raises InvalidStateError."""
    job = _guarded(change, job_id, guard)
    check(job, Trigger.COMPLETE if intent == "COMPLETE" else Trigger.CANCEL)
    job = replace(job, intent=intent)
    change.keep(job)
    return job


def take_ownership(change: Change, job_id: str, guard: Guard, owner: Owner) -> Job:
    """The job becomes `owner`'s; its secrets and its command do not go with it (§6.2). Raises InvalidStateError."""
    before = _guarded(change, job_id, guard)
    job = change.advance(before, Trigger.EDIT)
    stripped = replace(
        job.properties,
        custom_headers=None,
        custom_headers_write_only=False,
        client_certificate=None,
        notify_command=None,
    )
    change.tx.put_secrets(job.id, JobSecrets())
    return change.save(before, replace(job, owner=owner, properties=stripped), by_owner=True)


def set_remote_name(
    change: Change, job_id: str, index: int, guard: Guard, remote_name: str, *, credentials: Sequence[Credential]
) -> File:
    """A new URL for one file; bytes already here are kept if the new place has the same file (§5.3)."""
    job = _guarded(change, job_id, guard)
    change.advance(job, Trigger.EDIT)
    old = change.tx.file(job_id, index)
    new = old.moved(remote_name)
    change.put_credentials(job, credentials)
    has_news = new != old or bool(credentials)
    change.save(job, change.put_file(job, old, new), by_owner=True, has_new_files=has_news)
    return new


def replace_remote_prefix(
    change: Change,
    job_id: str,
    guard: Guard,
    names: tuple[str, str],
    parse: Callable[[str], tuple[str, Sequence[Credential]]],
) -> tuple[Job, int]:
    """Exchange the first of `names` for the second at the start of every remote name (§5.3).

    `parse` takes the credentials out of a URL and raises on a bad one.
    """
    old, new = names
    job = _guarded(change, job_id, guard)
    change.advance(job, Trigger.EDIT)
    matching = [file for file in change.tx.files(job_id) if file.remote_name.startswith(old)]
    after = job
    for file in matching:
        remote_name, credentials = parse(new + file.remote_name[len(old) :])
        change.put_credentials(job, credentials)
        after = change.put_file(after, file, file.moved(remote_name))
    return change.save(job, after, by_owner=True, has_new_files=bool(matching)), len(matching)


def validate(change: Change, job_id: str, index: int, guard: Guard, *, is_valid: bool) -> File:
    """The owner's verdict on a finished file; False makes the job ERROR and the file start anew (§5.9).

    Raises PendingError while the file is not finished, InvalidStateError.
    """
    job = _guarded(change, job_id, guard)
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


def _guarded(change: Change, job_id: str, guard: Guard) -> Job:
    job = change.tx.job(job_id)
    guard(job)
    return job


def _resumed(change: Change, job: Job) -> Job:
    if job.totals.files == 0 and not job.state.is_final:
        raise EmptyJobError(f"cannot resume job {job.id}: it has no files; add one first", state=job.state)
    return change.advance(job, Trigger.RESUME)


def _with_files(
    change: Change, limits: edit.Limits, job: Job, files: Sequence[File], *, is_exempt: bool
) -> tuple[Job, Sequence[File]]:
    """The job with their sums, and the files as they are to be stored."""
    edit.check_files(job, files, limits, is_exempt=is_exempt)
    added = []
    totals = job.totals
    names = _temporary_names(change, len(files))
    for index, (file, name) in enumerate(zip(files, names, strict=True), totals.files):
        temporary = join(dirname(file.local_name), name)
        lengths = [length for _, length in file.ranges]
        size = None if not lengths or None in lengths else sum(length or 0 for length in lengths)
        added.append(replace(file, index=index, temporary_name=temporary, size=size))
        totals = totals.changed(None, added[-1])
    return replace(job, totals=totals), added


def _check_job_limits(change: Change, limits: edit.Limits, owner: Owner) -> None:
    if owner.uid == ROOT:
        return
    for code, limit, whose, uid in (
        ("BG_E_TOO_MANY_JOBS_PER_USER", limits.jobs_per_user, f"user {owner.user}", owner.uid),
        ("BG_E_TOO_MANY_JOBS_PER_MACHINE", limits.jobs_per_machine, "this machine", None),
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


def _temporary_names(change: Change, count: int) -> list[str]:
    """Names that no file of this queue has: two in one directory would be one file for two."""
    if not count:
        return []
    known = change.tx.meta("temporary") or f"0 {secrets.token_hex(16)}"
    number, key = known.split()
    numbers = range(int(number), int(number) + count)
    change.tx.set_meta("temporary", f"{numbers.stop} {key}")
    return [temporary_name(each, bytes.fromhex(key)) for each in numbers]
