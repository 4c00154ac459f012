"""Jobs: create, list, show, set, and the calls that change their state."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from posixpath import dirname

from aiohttp import web

from daemon.access import Access, guard, uid_of
from daemon.api.call import Call, Reply, encoded
from daemon.api.names import check_destinations, to_file
from daemon.api.problem import field_error
from daemon.api.properties import property_values
from daemon.api.remote_names import parse_remote_name
from daemon.api.stream import KEEP_ALIVE
from daemon.documents import Document
from daemon.events import check_kept
from daemon.schema import (
    CreateJob,
    FileToAdd,
    JobProperties,
    JobQuery,
    OneJobQuery,
    ReplacePrefix,
    WaitQuery,
)
from daemon.schema import (
    Job as JobDocument,
)
from jobqueue.calls import NewJob
from jobqueue.errors import EventsTruncatedError, RefusedError
from jobqueue.job import File, Job, Owner, State
from jobqueue.secrets import Credential
from jobqueue.transaction import EventQuery, IdempotentRequest, Transaction
from jobqueue.transaction import JobQuery as RowQuery

PAGE = 500
"""Jobs whose documents are made at a time: a long list needs no memory to speak of."""
MAX_KEY = 255
FEW = 16
"""Files in one directory that are looked at in no time."""
WAITED = 100
"""Events of a job that a wait passes over at a time."""


async def create(call: Call) -> Reply:
    """POST /v1/jobs."""
    body = call.body(CreateJob)
    new = new_job(call.caller.owner, body)
    await _check_destinations(call, new.owner, new.files)
    job = await call.backend.queue.create(new, _idempotency(call))
    return Reply(call.backend.documents.job(job, call.caller), 201, {"Location": f"/v1/jobs/{job.id}"})


def new_job(owner: Owner, body: CreateJob) -> NewJob:
    """As the queue takes it; the file system is not asked yet. Raises RefusedError."""
    files, credentials = parsed_files(body.files or ())
    return NewJob(owner, property_values(body), files, body.resume, credentials)


def parsed_files(wanted: Sequence[FileToAdd]) -> tuple[Sequence[File], Sequence[Credential]]:
    """The files as the queue takes them, and the credentials that their URLs carried. Raises RefusedError."""
    parsed = [to_file(file, number) for number, file in enumerate(wanted)]
    return [file for file, _ in parsed], [credential for _, credentials in parsed for credential in credentials]


async def checked_files(
    call: Call, owner: Owner, wanted: Sequence[FileToAdd]
) -> tuple[Sequence[File], Sequence[Credential]]:
    """`parsed_files`, their directories seen with the owner's rights. Raises RefusedError."""
    files, credentials = parsed_files(wanted)
    await _check_destinations(call, owner, files)
    return files, credentials


async def _check_destinations(call: Call, owner: Owner, files: Sequence[File]) -> None:
    def look() -> None:
        check_destinations(files, set())

    folders = [*{dirname(file.local_name) for file in files}]
    if len(folders) == 1 and len(files) <= FEW:
        await call.shortly_as_owner(owner, folders[0], look)
    elif files:
        await call.as_owner(owner, look)


def check_may_log_in(call: Call, job: Job, credentials: Sequence[Credential]) -> None:
    """Raise RefusedError when somebody else than the owner brings credentials along (§6.1)."""
    if credentials:
        guard(call.caller, Access.OWNER)(job)


async def listing(call: Call) -> web.StreamResponse:
    """GET /v1/jobs: streamed, so that ten thousand jobs take no more memory than a few hundred."""
    query = call.query(JobQuery)
    wanted, fields = _row_query(call, query), _fields(query)

    def snapshot(tx: Transaction) -> tuple[Sequence[int], list[str], int, int]:
        if wanted.changed_since is not None:
            check_kept(tx, wanted.changed_since)
        seen = tx.job_rows(wanted, None if query.limit is None else query.limit + 1)
        gone = [] if wanted.changed_since is None else list(tx.removed_since(wanted.changed_since, wanted.owner_uid))
        return seen, gone, tx.last_seq(), tx.last_row()

    rows, removed, seq, last_row = await call.backend.queue.read(snapshot)
    cursor = None
    if query.limit is not None and len(rows) > query.limit:
        rows = rows[: query.limit]
        cursor = f"{rows[-1]}-{last_row if wanted.up_to_row is None else wanted.up_to_row}"
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(call.request)
    await response.write(b'{"jobs":[')
    separator = b""
    async for page in _pages(call, rows, fields, owner_uid=wanted.owner_uid, include_files=query.include == "files"):
        await response.write(separator + b",".join(page))
        separator = b","
    end: Document = {"next_cursor": cursor, "seq": seq}
    if query.changed_since is not None:
        end["removed"] = removed
    await response.write(b"]," + encoded(end)[1:])
    await response.write_eof()
    return response


async def show(call: Call) -> Reply:
    """GET /v1/jobs/{id}."""
    job = await call.job()
    document = call.backend.documents.job(job, call.caller)
    if call.query(OneJobQuery).include == "files":
        files = await call.backend.queue.read(lambda tx: tx.files(job.id))
        document["files"] = [call.backend.documents.file(job.id, file) for file in files]
    return Reply(document, headers={"ETag": f'"{job.revision}"'})


async def change(call: Call) -> Reply:
    """PATCH /v1/jobs/{id}."""
    body = call.body(JobProperties)
    await call.job()
    if "custom_headers" in body.model_fields_set:
        guard(call.caller, Access.OWNER)(await call.job())  # not even the administrator's to set (§6.1)
    job = await call.backend.queue.set_properties(call.job_id, call.guard, property_values(body))
    return Reply(call.backend.documents.job(job, call.caller))


async def suspend(call: Call) -> Reply:
    """POST suspend."""
    return _changed(call, await call.backend.queue.suspend(call.job_id, call.guard), "S_OK")


async def resume(call: Call) -> Reply:
    """POST resume."""
    return _changed(call, await call.backend.queue.resume(call.job_id, call.guard), "S_OK")


async def complete(call: Call) -> Reply:
    """POST complete."""
    return _changed(call, *await call.backend.finisher.complete(call.job_id, call.guard))


async def cancel(call: Call) -> Reply:
    """POST cancel."""
    return _changed(call, *await call.backend.finisher.cancel(call.job_id, call.guard))


async def take_ownership(call: Call) -> Reply:
    """POST take-ownership."""
    job = await call.backend.queue.take_ownership(call.job_id, call.guard, call.caller.owner)
    return _changed(call, job, "S_OK")


async def replace_remote_prefix(call: Call) -> Reply:
    """POST replace-remote-prefix."""
    body = call.body(ReplacePrefix)
    present = await call.job()

    def parse(url: str) -> tuple[str, Sequence[Credential]]:
        remote_name, credentials = parse_remote_name(url, "new")
        check_may_log_in(call, present, credentials)
        return remote_name, credentials

    job, count = await call.backend.queue.replace_remote_prefix(call.job_id, call.guard, body.old, body.new, parse)
    return Reply(call.backend.documents.job(job, call.caller) | {"changed": count})


async def wait(call: Call) -> Reply:
    """GET wait: answers when the job is in one of the states, at the timeout, or when nothing more can happen."""
    query = call.query(WaitQuery)
    until = _states(query.until, "until")
    loop, log, rows = asyncio.get_running_loop(), call.backend.events, call.backend.queue
    deadline = loop.time() + query.timeout
    seq = await rows.read(lambda tx: tx.last_seq())
    with log.follow(EventQuery(seq, WAITED, job_id=call.job_id), seq) as follower:
        while True:
            job = await call.job()
            left = deadline - loop.time()
            if job.state in until or job.state.is_final or left <= 0 or call.backend.is_stopping:
                return Reply(call.backend.documents.job(job, call.caller))
            await follower.wait(min(left, KEEP_ALIVE))
            if call.request.transport is None:
                raise ConnectionResetError("the client is gone")
            try:
                await follower.take(WAITED)
            except EventsTruncatedError:
                follower.stop_at(await rows.read(lambda tx: tx.last_seq()))


def _changed(call: Call, job: Job, result: str) -> Reply:
    return Reply(call.backend.documents.job(job, call.caller) | {"result": result})


def _idempotency(call: Call) -> IdempotentRequest | None:
    key = call.request.headers.get("Idempotency-Key")
    if key is None:
        return None
    if not (0 < len(key) <= MAX_KEY and key.isascii() and key.isprintable()):
        raise field_error("Idempotency-Key", f"an Idempotency-Key has 1 to {MAX_KEY} printable ASCII characters")
    body = call.body(CreateJob).model_dump_json(exclude_unset=True)
    return IdempotentRequest(call.caller.uid, key, hashlib.sha256(body.encode()).hexdigest())


def _row_query(call: Call, query: JobQuery) -> RowQuery:
    owner_uid: int | None = call.caller.uid
    if query.all_users or query.owner is not None:
        wanted = None if query.owner is None else uid_of(query.owner)
        if query.owner is not None and wanted is None:
            raise field_error("owner", f"there is no user {query.owner}")
        if not call.caller.is_admin and wanted != call.caller.uid:
            raise RefusedError("E_ACCESSDENIED", "only the administrator may list the jobs of other users")
        owner_uid = wanted
    after, up_to = _cursor(query.cursor)
    states = None if query.state is None else tuple(_states(query.state, "state"))
    since = None if query.changed_since is None else min(query.changed_since, 2**62)
    return RowQuery(owner_uid, states, query.name, since, after, up_to)


def _cursor(text: str | None) -> tuple[int, int | None]:
    if text is None:
        return 0, None
    after, _, up_to = text.partition("-")
    if not (after.isdecimal() and up_to.isdecimal() and len(text) <= 40):
        raise field_error("cursor", "this is not a cursor of a listing")
    return min(int(after), 2**62), min(int(up_to), 2**62)


def _states(text: str, field: str) -> list[State]:
    names = [name.strip().upper() for name in text.split(",")]
    for name in names:
        if name not in State.__members__:
            raise field_error(field, f"there is no state {name}")
    return [State(name) for name in names]


def _fields(query: JobQuery) -> frozenset[str] | None:
    if query.fields is None:
        return None
    names = frozenset(name.strip() for name in query.fields.split(","))
    for name in sorted(names - set(JobDocument.model_fields)):
        raise field_error("fields", f"a job has no field {name}")
    return names


async def _pages(
    call: Call, rows: Sequence[int], fields: frozenset[str] | None, *, owner_uid: int | None, include_files: bool
) -> AsyncIterator[list[bytes]]:
    """The documents of the jobs, as JSON, some hundreds at a time; of those that are still `owner_uid`'s."""
    documents = call.backend.documents
    include_files = include_files or "files" in (fields or ())
    for start in range(0, len(rows), PAGE):
        page = rows[start : start + PAGE]

        def read(tx: Transaction, page: Sequence[int] = page) -> list[tuple[Job, Sequence[File]]]:
            own = [job for job in tx.jobs(page) if owner_uid in {None, job.owner.uid}]
            return [(job, tx.files(job.id) if include_files else ()) for job in own]

        texts = []
        for job, files in await call.backend.queue.read(read):
            document = documents.job(job, call.caller)
            if include_files:
                document["files"] = [documents.file(job.id, file) for file in files]
            if fields is not None:
                document = {name: value for name, value in document.items() if name in fields}
            texts.append(encoded(document))
        if texts:
            yield texts
