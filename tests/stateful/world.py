"""What the clients of a queue know of it: a pure model, and the search for an order that explains what they saw.

An operation is one step, alone in time; Complete and Cancel are two, and what happens between them is others' business.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import inf

from jobqueue.job import Owner, Priority
from tests.builders import ROOT

FINAL = {"ACKNOWLEDGED", "CANCELLED"}
JOBS_PER_USER, FILES_PER_JOB = 5, 4


class RefusedError(Exception):
    """The answer is an error's code, and nothing is changed."""


@dataclass(frozen=True)
class FileView:
    """A file as a client sees it."""

    local: str
    remote: str
    done: bool = False
    completed: bool = False
    validated: bool | None = None


@dataclass(frozen=True)
class JobView:
    """A job as its owner knows it; between two steps nothing waits to be started: there is a slot for every job."""

    owner: Owner
    files: tuple[FileView, ...]
    description: str = ""
    priority: Priority = Priority.NORMAL
    state: str = "SUSPENDED"
    resumed: bool = False
    credential: str | None = field(default=None)
    """The user it logs in as."""
    intent: str | None = None

    @property
    def is_whole(self) -> bool:
        return bool(self.files) and all(file.done for file in self.files)

    def with_file(self, index: int, **values: object) -> "JobView":
        files = list(self.files)
        files[index] = replace(files[index], **values)  # type: ignore[arg-type]  # fields of FileView
        return replace(self, files=tuple(files))


@dataclass(frozen=True)
class Operation:
    """What one client asks for. `match`: the revision it insists on."""

    verb: str
    caller: Owner
    name: str
    match: int | None = None
    index: int = 0
    value: object = None
    job: JobView | None = None
    """What is to be created."""
    key: str | None = None


@dataclass(frozen=True)
class Call:
    """An operation that was sent. `answer` None = it never came. The moments are any growing numbers."""

    operation: Operation
    answer: str | None
    sent: float
    answered: float = inf


@dataclass
class World:
    """Everything that clients and the disk know; jobs by their display names, files by their local names."""

    jobs: dict[str, JobView] = field(default_factory=dict)
    revisions: dict[str, int] = field(default_factory=dict)
    """As read last; a change adds one, also where the service adds more."""
    requests: dict[tuple[int, str], str] = field(default_factory=dict)
    """Key of a user -> the job made with it."""
    locked: frozenset[str] = frozenset()
    lost: frozenset[str] = frozenset()
    unremovable: frozenset[str] = frozenset()
    published: frozenset[tuple[int, str]] = frozenset()
    discarded: frozenset[tuple[int, str]] = frozenset()
    leftovers: frozenset[tuple[int, str]] = frozenset()

    def copy(self) -> "World":
        return replace(self, jobs=dict(self.jobs), revisions=dict(self.revisions), requests=dict(self.requests))

    def live(self, uid: int | None = None) -> dict[str, JobView]:
        """Jobs that a listing shows this user."""
        return {name: job for name, job in self.jobs.items() if job.state not in FINAL and uid in {None, job.owner.uid}}

    def begin(self, operation: Operation) -> str | None:
        """Do its first step; the answer, or None when there is a second step before it."""
        try:
            return self._begin(operation)
        except RefusedError as refusal:
            return str(refusal)

    def _begin(self, operation: Operation) -> str | None:
        if operation.verb == "create":
            return self._create(operation)
        if operation.verb in {"attempt fails", "all is there"}:
            self._happen(operation)
            return "done"
        job = self._permitted(operation)
        if operation.verb in {"complete", "cancel"}:
            self.jobs[operation.name] = replace(job, intent=operation.verb.upper())
            return None
        after, answer = getattr(self, f"_{operation.verb}")(operation, job)
        is_secret = operation.verb in {"put_credential", "remove_credential"}
        self.save(operation.name, after, is_news=is_secret or (operation.verb == "prefix" and answer != "0"))
        return str(answer)

    def save(self, name: str, after: JobView, *, is_news: bool = False) -> None:
        before = self.jobs[name]
        self.jobs[name] = after = started(after, is_late=True)
        if is_news or replace(before, credential=None) != replace(after, credential=None):
            self.revisions[name] = self.revisions.get(name, 1) + 1

    def _happen(self, operation: Operation) -> None:
        """What is not a client's doing."""
        job = self.jobs.get(operation.name)
        expected, state = ("TRANSFERRING", "ERROR") if operation.verb == "attempt fails" else ("QUEUED", "TRANSFERRED")
        if job is not None and job.state == expected and job.intent is None:
            self.save(operation.name, replace(job, state=state))

    def _permitted(self, operation: Operation) -> JobView:
        job = self.jobs.get(operation.name)
        if job is None:
            raise RefusedError("BG_E_NOT_FOUND")
        is_owner, is_admin = job.owner.uid == operation.caller.uid, operation.caller.uid == 0
        needs = {"take": is_admin, "put_credential": is_owner, "remove_credential": is_owner}
        if not needs.get(operation.verb, is_owner or is_admin):
            raise RefusedError("E_ACCESSDENIED")
        if operation.match is not None and operation.match != self.revisions.get(operation.name, 1):
            raise RefusedError("REVISION_CONFLICT")
        if operation.verb == "resume" and not job.files and job.state not in FINAL:
            raise RefusedError("BG_E_EMPTY")  # whatever is being done to it
        if job.state in FINAL or job.intent is not None:
            raise RefusedError("BG_E_INVALID_STATE")
        return job

    def _create(self, operation: Operation) -> str:
        uid, job = operation.caller.uid, operation.job
        assert job is not None
        known = self.requests.get((uid, operation.key)) if operation.key else None
        if known is not None:
            if known != operation.name:
                raise RefusedError("IDEMPOTENCY_CONFLICT")
            return f"job {known}"
        if uid and len(self.live(uid)) >= JOBS_PER_USER:
            raise RefusedError("BG_E_TOO_MANY_JOBS_PER_USER")
        if uid and len(job.files) > FILES_PER_JOB:
            raise RefusedError("BG_E_TOO_MANY_FILES_IN_JOB")
        if operation.value and not job.files:
            raise RefusedError("BG_E_EMPTY")
        self.jobs[operation.name] = resumed(job) if operation.value else job
        if operation.key:
            self.requests[uid, operation.key] = operation.name
        return f"job {operation.name}"

    def _resume(self, operation: Operation, job: JobView) -> tuple[JobView, str]:
        return resumed(job), "done"

    def _suspend(self, operation: Operation, job: JobView) -> tuple[JobView, str]:
        return replace(job, state="SUSPENDED"), "done"

    def _describe(self, operation: Operation, job: JobView) -> tuple[JobView, str]:
        return replace(job, description=str(operation.value)), "done"

    def _prioritise(self, operation: Operation, job: JobView) -> tuple[JobView, str]:
        assert isinstance(operation.value, Priority)
        return replace(job, priority=operation.value), "done"

    def _limit(self, operation: Operation, job: JobView) -> tuple[JobView, str]:
        """Set a property that is read-only once the job was resumed, together with one that is not."""
        if job.resumed:
            raise RefusedError("BG_E_READ_ONLY_PROPERTY_AFTER_RESUME")
        return replace(job, description=str(operation.value)), "done"

    def _take(self, operation: Operation, job: JobView) -> tuple[JobView, str]:
        return replace(job, owner=operation.caller, credential=None), "done"

    def _put_credential(self, operation: Operation, job: JobView) -> tuple[JobView, str]:
        return replace(job, credential=str(operation.value)), "done"

    def _remove_credential(self, operation: Operation, job: JobView) -> tuple[JobView, str]:
        if job.credential is None:
            raise RefusedError("CREDENTIALS_NOT_FOUND")
        return replace(job, credential=None), "done"

    def _add(self, operation: Operation, job: JobView) -> tuple[JobView, str]:
        files = operation.value
        assert isinstance(files, tuple)
        if operation.caller.uid and len(job.files) + len(files) > FILES_PER_JOB:
            raise RefusedError("BG_E_TOO_MANY_FILES_IN_JOB")
        return replace(job, files=job.files + files), f"from {len(job.files)}"

    def _move(self, operation: Operation, job: JobView) -> tuple[JobView, str]:
        self._file(operation, job)
        return job.with_file(operation.index, remote=operation.value), "done"

    def _prefix(self, operation: Operation, job: JobView) -> tuple[JobView, str]:
        assert isinstance(operation.value, tuple)
        (old, new), count = operation.value, 0
        for index, file in enumerate(job.files):
            if file.remote.startswith(old):
                job, count = job.with_file(index, remote=new + file.remote[len(old) :]), count + 1
        return job, str(count)

    def _validate(self, operation: Operation, job: JobView) -> tuple[JobView, str]:
        if not self._file(operation, job).done:
            raise RefusedError("E_PENDING")
        if operation.value:
            return job.with_file(operation.index, validated=True), "done"
        emptied = job.with_file(operation.index, done=False, completed=False, validated=False)
        return replace(emptied, state="ERROR"), "done"

    @staticmethod
    def _file(operation: Operation, job: JobView) -> FileView:
        if operation.index >= len(job.files):
            raise RefusedError("BG_E_FILE_NOT_FOUND")
        return job.files[operation.index]

    def end(self, operation: Operation) -> str:
        """The second step of Complete and Cancel."""
        name = operation.name
        assert self.jobs[name].intent is not None
        job = self.jobs[name] = replace(self.jobs[name], intent=None)
        if operation.verb == "complete":
            for index, file in enumerate(job.files):
                if not file.done or file.completed:
                    continue
                if file.local in self.lost:
                    emptied = job.with_file(index, done=False, validated=None)
                    self.save(name, replace(emptied, state="ERROR"))
                    return "E_LOCAL_FILE"
                if file.local in self.locked:
                    self.save(name, replace(job, state="TRANSFERRED"))
                    return "E_LOCAL_FILE"
                self.published |= {(job.owner.uid, file.local)}
                job = job.with_file(index, completed=True, validated=True)
        gone = [file for file in job.files if not (file.done if operation.verb == "complete" else file.completed)]
        names = {(job.owner.uid, file.local) for file in gone}
        left = {(uid, local) for uid, local in names if local in self.unremovable}
        self.leftovers |= left
        self.discarded |= names - left
        self.save(
            name, replace(job, state="CANCELLED" if operation.verb == "cancel" else "ACKNOWLEDGED", credential=None)
        )
        if left:
            return "BG_S_UNABLE_TO_DELETE_FILES"
        return "S_OK" if operation.verb == "cancel" or job.is_whole else "BG_S_PARTIAL_COMPLETE"


def resumed(job: JobView) -> JobView:
    """With a slot for every job it runs at once; only a job that has everything waits for the scheduler to see that."""
    return job if job.state == "TRANSFERRING" else started(replace(job, state="QUEUED", resumed=True), is_late=True)


def started(job: JobView, *, is_late: bool = False) -> JobView:
    """What becomes of a QUEUED job; `is_late`: not before the scheduler has looked."""
    if job.state != "QUEUED" or (job.is_whole and is_late):
        return job
    return replace(job, state="TRANSFERRED" if job.is_whole else "TRANSFERRING")


def explanation(world: World, calls: Sequence[Call], is_true: Callable[[World], bool]) -> World | None:
    """The world after some order of these calls that agrees with every answer and with what `is_true` sees.

    What was answered before another was sent comes before it. A call without an answer happened whole or not at all.
    """
    resumes = {call.operation.name for call in calls if call.operation.verb == "resume"}
    seen = [Call(Operation("all is there", ROOT, name), None, 0) for name in resumes]  # by the scheduler, at any time
    return _search(world, [(call, False) for call in (*calls, *seen)], is_true)


def _search(world: World, pending: list[tuple[Call, bool]], is_true: Callable[[World], bool]) -> World | None:
    if all(call.answer is None and not is_begun for call, is_begun in pending) and is_true(world):
        return world
    for place, (call, is_begun) in enumerate(pending):
        if any(other.answered < call.sent for other, _ in pending):
            continue
        after = world.copy()
        answer = after.end(call.operation) if is_begun else after.begin(call.operation)
        rest = pending[:place] + pending[place + 1 :]
        if answer is None:
            rest.append((call, True))
        elif call.answer not in {None, answer}:
            continue
        found = _search(after, rest, is_true)
        if found is not None:
            return found
    return None
