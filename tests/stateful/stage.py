"""One service after the other over the same store and the same disk, and what clients ask of it, as the API asks it."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any, TypeVar

import looptime

from daemon.access import Access, Caller, guard
from daemon.api.call import check_revision
from jobqueue.calls import NewJob
from jobqueue.change import Guard
from jobqueue.edit import Limits
from jobqueue.errors import JobQueueError, LocalFileFailedError
from jobqueue.finish import NotPublishedError
from jobqueue.job import Event, File, Job, JobError, Owner
from jobqueue.order import Slots
from jobqueue.secrets import Credential, JobSecrets
from jobqueue.transaction import EventQuery, IdempotentRequest, Leftover, Transaction
from jobqueue.vault import Vault
from tests.builders import POLICY, a_file
from tests.queue_stage import FakeFiles, PowerLostError, Stage, settle, wired
from tests.stateful.world import FILES_PER_JOB, JOBS_PER_USER, Call, FileView, JobView, Operation
from tests.stores import StoreKind

T = TypeVar("T")
LIMITS = Limits(JOBS_PER_USER, 0, FILES_PER_JOB, 0)
PATIENT = replace(POLICY, inactivity_timeout=0, maximum_download_time=10**9)
ACCESS = {"take": Access.ADMIN, "put_credential": Access.OWNER, "remove_credential": Access.OWNER}


def looptime_loop() -> asyncio.AbstractEventLoop:
    """A loop whose time passes at once."""
    loop = looptime.new_event_loop()
    loop.setup_looptime(_enabled=True)
    return loop


@dataclass
class Disk(FakeFiles):
    """The local files of all lives of the service, and with whose rights they were touched."""

    lost: frozenset[str] = frozenset()
    """Local names of files whose temporary file is gone."""
    named: set[tuple[int, str]] = field(default_factory=set)
    removed: set[tuple[int, str]] = field(default_factory=set)

    async def publish(self, owner: Owner, file: File) -> None:
        await self.gate.wait()
        if file.local_name in self.lost | self.stuck:
            error = JobError("E_LOCAL_FILE", 0, "LOCAL_FILE", "is gone", file_index=file.index)
            problem = LocalFileFailedError("cannot rename", path=file.local_name)
            raise NotPublishedError(problem, error if file.local_name in self.lost else None)
        self.named.add((owner.uid, file.local_name))

    async def discard(self, owner: Owner, paths: Sequence[str]) -> Sequence[str]:
        left = await super().discard(owner, paths)
        self.removed |= {(owner.uid, path) for path in paths if path not in left}
        return left


@dataclass(frozen=True)
class Record:
    """All there is of one job."""

    job: Job
    files: tuple[File, ...]
    secrets: JobSecrets

    @property
    def view(self) -> JobView:
        """As its owner sees it."""
        files = (
            FileView(file.local_name, file.remote_name, file.transferred, file.completed, file.validated)
            for file in self.files
        )
        users = [credential.user for credential in self.secrets.credentials]
        properties, job = self.job.properties, self.job
        return JobView(
            job.owner,
            tuple(files),
            properties.description,
            properties.priority,
            job.state,
            job.resumed,
            users[0] if users else None,
            job.intent,
        )


@dataclass(frozen=True)
class Snapshot:
    """All there is in the store."""

    records: dict[str, Record]
    events: list[Event]
    floor: int
    leftovers: list[Leftover]


@dataclass
class Sent:
    """An operation under way."""

    operation: Operation
    task: "asyncio.Task[str]"
    sent: float
    answered: float = inf

    def note(self, moments: Iterator[int]) -> Callable[[object], None]:
        """Notes when it was answered."""

        def noted(_: object) -> None:
            self.answered = next(moments)

        return noted

    def call(self) -> Call:
        """What came of it so far."""
        is_answered = self.task.done() and not self.task.cancelled()
        return Call(self.operation, self.task.result() if is_answered else None, self.sent, self.answered)


class Lives:
    """The service, ended and begun again; `run` lets no fake time pass unless the work itself sleeps."""

    def __init__(self, kind: StoreKind) -> None:
        self.disk = Disk()
        self._kind = kind
        self._runner = asyncio.Runner(loop_factory=looptime_loop)
        self._moments = itertools.count()
        self._sent: list[Sent] = []

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)

    def end(self) -> None:
        """The last one, in whatever state a failed test left it."""
        self._runner.close()  # cancels what is left
        with asyncio.Runner() as runner:
            runner.run(self._store.close())

    @property
    def now(self) -> float:
        return self.stage.queue.clock.now()

    async def open(self) -> None:
        self._store = await self._kind.open()
        self.stage: Stage = await wired(
            self._store, slots=Slots(0, 100, 300.0), policy=PATIENT, limits=LIMITS, files=self.disk
        )
        self._serving = asyncio.ensure_future(self.stage.scheduler.serve())
        await settle()

    async def stop(self) -> None:
        """As by SIGTERM: calls that were not answered are cut off, what they began goes on at the next start."""
        self.stage.scheduler.stop()
        await settle()
        await self._cut_off()
        self.disk.gate.set()
        await self._serving
        await self._store.close()

    async def crash(self) -> None:
        """As by SIGKILL: nothing reaches the store any more."""
        self.stage.store.refuses, self.stage.store.spared = PowerLostError(0), 0
        await self._kind.crash(self._store)
        self._serving.cancel()
        await asyncio.wait({self._serving})
        await self._cut_off()
        self.disk.gate.set()

    async def _cut_off(self) -> None:
        waiting = {sent.task for sent in self._sent if not sent.task.done()}
        for task in waiting:
            task.cancel()
        if waiting:
            await asyncio.wait(waiting)

    def send(self, operations: Sequence[Operation]) -> list[Sent]:
        """All at once."""
        self._sent = [sent for sent in self._sent if not sent.task.done()]
        new = []
        for operation in operations:
            sent = Sent(operation, asyncio.ensure_future(self.answer(operation)), next(self._moments))
            sent.task.add_done_callback(sent.note(self._moments))
            new.append(sent)
        self._sent += new
        return new

    async def answer(self, operation: Operation) -> str:
        """What the client is told."""
        try:
            return await self._answer(operation)
        except JobQueueError as error:
            return error.code

    async def _answer(self, operation: Operation) -> str:
        if operation.verb == "create":
            return await self._create(operation)
        job_id, may = self.ids[operation.name], _guard(operation)
        if operation.verb == "complete":
            return (await self.stage.finisher.complete(job_id, may))[1]
        if operation.verb == "cancel":
            return (await self.stage.finisher.cancel(job_id, may))[1]
        result = await self._edit(operation, job_id, may)
        match operation.verb:
            case "add":
                return f"from {result[0].index}"
            case "prefix":
                return str(result[1])
            case _:
                return "done"

    def _edit(self, operation: Operation, job_id: str, may: Guard) -> Awaitable[Any]:
        queue, vault, index = self.stage.queue, Vault(self.stage.queue), operation.index
        value: Any = operation.value
        calls: dict[str, Callable[[], Awaitable[Any]]] = {
            "suspend": lambda: queue.suspend(job_id, may),
            "resume": lambda: queue.resume(job_id, may),
            "describe": lambda: queue.set_properties(job_id, may, {"description": value}),
            "prioritise": lambda: queue.set_properties(job_id, may, {"priority": value}),
            "limit": lambda: queue.set_properties(job_id, may, {"description": value, "maximum_download_size": 10**9}),
            "take": lambda: queue.take_ownership(job_id, may, operation.caller),
            "add": lambda: queue.add_files(job_id, may, [*map(_file, value)], is_exempt=operation.caller.uid == 0),
            "move": lambda: queue.set_remote_name(job_id, index, may, value),
            "prefix": lambda: queue.replace_remote_prefix(job_id, may, value[0], value[1], _as_it_is),
            "validate": lambda: queue.validate(job_id, index, may, is_valid=value),
            "put_credential": lambda: vault.put_credential(job_id, may, _credential(value)),
            "remove_credential": lambda: vault.remove_credential(job_id, may, "SERVER", "BASIC"),
        }
        return calls[operation.verb]()

    async def _create(self, operation: Operation) -> str:
        assert operation.job is not None
        uid, job = operation.caller.uid, operation.job
        request = IdempotentRequest(uid, operation.key, operation.name) if operation.key else None
        files = [_file(file) for file in job.files]
        credentials = [_credential(job.credential)] if job.credential else []
        new = NewJob(operation.caller, {"display_name": operation.name}, files, bool(operation.value), credentials)
        made = await self.stage.queue.create(new, request)
        return f"job {made.properties.display_name}"

    async def look(self) -> Snapshot:
        """At everything, in one moment."""

        def work(tx: Transaction) -> Snapshot:
            records = {
                job.properties.display_name: Record(job, tuple(tx.files(job.id)), tx.secrets(job.id))
                for job in tx.every_job()
            }
            return Snapshot(records, list(tx.events(EventQuery(0, 10_000))), tx.events_floor(), list(tx.leftovers()))

        await settle()
        seen = asyncio.ensure_future(self.stage.queue.read(work))
        await settle()
        self.ids: dict[str, str] = getattr(self, "ids", {}) | {
            name: record.job.id for name, record in seen.result().records.items()
        }
        return seen.result()


def _guard(operation: Operation) -> Guard:
    """As daemon.api makes it of a call."""
    caller = Caller(operation.caller.uid, operation.caller.gid, 1)
    may = guard(caller, ACCESS.get(operation.verb, Access.OWNER_OR_ADMIN))

    def check(job: Job) -> None:
        may(job)
        check_revision(job, None if operation.match is None else f'"{operation.match}"')

    return check


def _file(view: FileView) -> File:
    return a_file(local_name=view.local, remote_name=view.remote)


def _as_it_is(url: str) -> tuple[str, Sequence[Credential]]:
    return url, ()


def _credential(user: str) -> Credential:
    return Credential("SERVER", "BASIC", user, "secret")
