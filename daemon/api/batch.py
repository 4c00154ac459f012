"""Many calls in one: POST /v1/batch. Each is checked, judged and answered as it would be alone, in one commit.

What has to be asked of the file system is asked before that commit, once for every owner; what Complete and Cancel do
to files is done after it, for several jobs at a time.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from aiohttp import web
from pydantic import ValidationError

from daemon.access import Access, guard
from daemon.api.call import Call, encoded
from daemon.api.jobs import new_job, parsed_files
from daemon.api.names import check_destinations
from daemon.api.problem import document, document_of, field_error, refusal_of
from daemon.documents import Document
from daemon.schema import AddFiles, Batch, BatchItem, CreateJob
from jobqueue import calls
from jobqueue.batch import Done, Step, carry_out
from jobqueue.change import Change, Guard
from jobqueue.errors import JobQueueError, NotCarriedOutError, NotFoundError, RefusedError
from jobqueue.job import File, Intent, Job, Owner
from jobqueue.transaction import Transaction

log = logging.getLogger(__name__)

SLICE = 32
"""Items that are read or answered before other clients have their turn."""
ENDS = 16
"""Jobs whose files are published or removed at a time."""
INTENTS: Mapping[str, Intent] = {"complete": "COMPLETE", "cancel": "CANCEL"}


@dataclass(frozen=True, slots=True)
class _Added:
    job_id: str
    files: Sequence[File]


Result = Job | _Added
Answer = tuple[int, Document]
"""Status and document."""


@dataclass(frozen=True, slots=True)
class _Target:
    """The job with this id, or the one that the item at `place` creates."""

    job_id: str
    place: int | None = None

    @property
    def is_new(self) -> bool:
        return self.place is not None

    def of(self, done: Done[Result]) -> str:
        """Its id. Raises NotCarriedOutError when there is no such job."""
        if self.place is None:
            return self.job_id
        job = done[self.place]
        if isinstance(job, Job):
            return job.id
        raise NotCarriedOutError(f"item {self.place} of the batch, which this one is about, created no job")


@dataclass(slots=True)
class _Item:
    """`step` carries it out; `files` are those whose directories `owner` must be able to use (None = nobody's)."""

    step: Step[Result]
    owner: Owner | None = None
    files: Sequence[File] = ()


async def several(call: Call) -> web.Response:
    """POST /v1/batch: calls that are carried out in order, in one commit; see docs/api.md."""
    body = call.body(Batch)
    for header in ("Idempotency-Key", "If-Match"):
        if header in call.request.headers:
            raise field_error(header, f"a batch takes no {header}, which is about one job")
    owners = await call.backend.queue.read(partial(_owners, call, body.items))
    items = [_item(call, owners, body.items, number) async for number in _slowly(body.items)]
    await _check_destinations(call, items)
    done = await carry_out(call.backend.queue, [item.step for item in items], is_atomic=body.atomic)
    ends = await _carry_out_ends(call, body.items, done)
    results = []
    async for number in _slowly(done):
        status, shown = ends.get(number) or _answer(call, body.items[number].op, done[number])
        results.append(b'{"status":%d,"body":%b}' % (status, encoded(shown)))
    return web.Response(body=b'{"results":[%b]}' % b",".join(results), content_type="application/json")


async def _slowly(items: Sequence[object]) -> AsyncIterator[int]:
    """The numbers of the items, with a pause for other clients now and then."""
    for number in range(len(items)):
        if number % SLICE == SLICE - 1:
            await asyncio.sleep(0)
        yield number


def _owners(call: Call, items: Sequence[BatchItem], tx: Transaction) -> dict[str, Owner]:
    """Of the jobs that get files, if the caller may give them any; what is wrong with others is told in their turn."""
    may, owners = guard(call.caller, call.access), {}
    for job_id in {item.id or "" for item in items if item.op == "add"}:
        try:
            job = tx.job(job_id)
            may(job)
        except (NotFoundError, RefusedError):
            continue
        owners[job_id] = job.owner
    return owners


def _item(call: Call, owners: Mapping[str, Owner], items: Sequence[BatchItem], number: int) -> _Item:
    item = items[number]
    try:
        if item.op == "create":
            return _creating(call, CreateJob.model_validate(item.body))
        target = _target(items, number)
        if item.op == "add":
            owner = call.caller.owner if target.is_new else owners.get(target.job_id)
            return _adding(call, AddFiles.model_validate(item.body), target, owner)
    except ValidationError as error:
        return _Item(_refusing(refusal_of(error)))
    except JobQueueError as refusal:
        return _Item(_refusing(refusal))
    return _Item(_changing(item.op, target, guard(call.caller, call.access)))


def _creating(call: Call, body: CreateJob) -> _Item:
    limits, new = call.backend.queue.limits, new_job(call.caller.owner, body)
    return _Item(lambda change, _: calls.create(change, limits, new), new.owner, new.files)


def _changing(operation: str, target: _Target, may: Guard) -> Step[Result]:
    match operation:
        case "resume":
            return lambda change, done: calls.resume(change, target.of(done), may)
        case "suspend":
            return lambda change, done: calls.suspend(change, target.of(done), may)
        case _:
            intent = INTENTS[operation]
            return lambda change, done: calls.begin(change, target.of(done), may, intent)


def _adding(call: Call, body: AddFiles, target: _Target, owner: Owner | None) -> _Item:
    files, credentials = parsed_files(body.files)
    # whoever brings credentials along must be the owner (§6.1)
    may = guard(call.caller, Access.OWNER if credentials else call.access)
    limits, is_exempt = call.backend.queue.limits, call.caller.is_admin

    def step(change: Change, done: Done[Result]) -> Result:
        job_id = target.of(done)
        added = calls.add_files(change, limits, job_id, may, files, credentials=credentials, is_exempt=is_exempt)
        return _Added(job_id, added)

    return _Item(step, owner, files)


def _refusing(refusal: JobQueueError) -> Step[Result]:
    def step(_: Change, __: Done[Result]) -> Result:
        raise refusal

    return step


def _target(items: Sequence[BatchItem], number: int) -> _Target:
    """The job that an item is about. Raises RefusedError."""
    job_id = items[number].id or ""
    if not job_id.startswith("#"):
        return _Target(job_id)
    digits = job_id[1:]
    place = int(digits) if digits.isdecimal() and len(digits) <= len(str(number)) else number
    if place >= number or items[place].op != "create":
        raise field_error("id", "# and a number stand for an item before this one that creates a job")
    return _Target(job_id, place)


async def _check_destinations(call: Call, items: Sequence[_Item]) -> None:
    """Items whose files cannot be where they are to be are refused when their turn comes."""
    for owner in {item.owner for item in items if item.owner is not None and item.files}:
        own = [item for item in items if item.owner == owner and item.files]
        for item, refusal in zip(own, await call.as_owner(owner, partial(_refusals, own)), strict=True):
            if refusal is not None:
                item.step = _refusing(refusal)


def _refusals(items: Sequence[_Item]) -> list[RefusedError | None]:
    found: list[RefusedError | None] = []
    seen: set[str] = set()
    for item in items:
        try:
            check_destinations(item.files, seen)
        except RefusedError as refusal:
            found.append(refusal)
        else:
            found.append(None)
    return found


async def _carry_out_ends(call: Call, items: Sequence[BatchItem], done: Done[Result]) -> dict[int, Answer]:
    """Complete and Cancel are on record as begun: do them. Whoever fails here fails alone."""
    answers: dict[int, Answer] = {}
    room = asyncio.Semaphore(ENDS)

    async def carry_out_end(number: int, job: Job) -> None:
        async with room:
            answers[number] = await _ended(call, job)

    async with asyncio.TaskGroup() as group:
        for number, (item, job) in enumerate(zip(items, done, strict=True)):
            if item.op in INTENTS and isinstance(job, Job):
                group.create_task(carry_out_end(number, job))
    return answers


async def _ended(call: Call, job: Job) -> Answer:
    try:
        ended, result = await call.backend.finisher.carry_out(job)
    except JobQueueError as error:
        return _refused(document_of(error))
    except Exception:
        # a bug with one job must not keep others, whose ends have begun too, from theirs
        log.exception("cannot finish to %s job %s", (job.intent or "").lower(), job.id)
        return _refused(document("E_FAIL", "an internal error of the service; its log says more"))
    return 200, call.backend.documents.job(ended, call.caller) | {"result": result}


def _answer(call: Call, operation: str, done: Result | JobQueueError) -> Answer:
    """As the call alone would have been answered."""
    documents = call.backend.documents
    match done:
        case JobQueueError():
            return _refused(document_of(done))
        case _Added(job_id, files):
            return 201, {"files": [documents.file(job_id, file) for file in files]}
        case Job():
            shown = documents.job(done, call.caller)
            return (201, shown) if operation == "create" else (200, shown | {"result": "S_OK"})


def _refused(problem: Document) -> Answer:
    return problem["status"], problem
