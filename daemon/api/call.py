"""One call of the API: who calls, what for, and the parts of the service a handler may use."""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from aiohttp import web
from pydantic import BaseModel

from daemon.access import Access, Caller, guard
from daemon.config import Config
from daemon.doctor import Doctor
from daemon.documents import Documents
from daemon.events import EventLog
from daemon.identity import Executors
from jobqueue.errors import RevisionConflictError
from jobqueue.finish import Finisher
from jobqueue.job import Job, Owner
from jobqueue.queue import JobQueue
from jobqueue.vault import Vault

M = TypeVar("M", bound=BaseModel)
_encode = json.JSONEncoder(separators=(",", ":")).encode
T = TypeVar("T")


@dataclass(slots=True)
class Backend:
    """What the API serves; made once by the composition root. `config` may be replaced while running."""

    queue: JobQueue
    vault: Vault
    finisher: Finisher
    documents: Documents
    events: EventLog
    executors: Executors
    doctor: Doctor
    config: Config
    instance_id: str
    started_at: float
    """By the wall clock, for people."""
    running_since: float
    """The same moment in service time."""
    is_stopping: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """What a handler answers: a JSON document with a status, or nothing but the status."""

    document: Mapping[str, Any] | None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    def response(self) -> web.Response:
        """As aiohttp wants it."""
        if self.document is None:
            return web.Response(status=self.status, headers=self.headers)
        return web.Response(
            body=encoded(self.document), status=self.status, headers=self.headers, content_type="application/json"
        )


@dataclass(frozen=True, slots=True)
class Call:
    """Handed to a handler. Body and query are validated by the models of the route."""

    backend: Backend
    caller: Caller
    access: Access
    request: web.Request
    parsed_body: BaseModel | None
    parsed_query: BaseModel | None

    @property
    def guard(self) -> Callable[[Job], None]:
        """The route's access rule and If-Match, to be judged on the job itself."""
        may = guard(self.caller, self.access)
        match = self.request.headers.get("If-Match")

        def check(job: Job) -> None:
            may(job)
            check_revision(job, match)

        return check

    @property
    def job_id(self) -> str:
        """The job the path names."""
        return self.request.match_info["id"]

    @property
    def index(self) -> int:
        """The file the path names (the route takes digits only); what no list can have is clamped."""
        return min(int(self.request.match_info["index"]), 2**31)

    def body(self, model: type[M]) -> M:
        """The body as the route's model."""
        assert isinstance(self.parsed_body, model)  # noqa: S101 - the table and its handler belong together
        return self.parsed_body

    def query(self, model: type[M]) -> M:
        """The query as the route's model."""
        assert isinstance(self.parsed_query, model)  # noqa: S101 - as above
        return self.parsed_query

    async def job(self) -> Job:
        """The job the path names, if the caller may see it. Raises NotFoundError, RefusedError."""
        job = await self.backend.queue.job(self.job_id)
        self.guard(job)
        return job

    async def as_owner(self, owner: Owner, work: Callable[[], T]) -> T:
        """Run blocking `work`, which may take its time, with the owner's rights."""
        return await asyncio.get_running_loop().run_in_executor(self.backend.executors.of(owner), work)

    async def shortly_as_owner(self, owner: Owner, place: str, work: Callable[[], T]) -> T:
        """As `as_owner`, in a turn shared with other calls: for a look at a file or two in the directory `place`."""
        return await asyncio.shield(self.backend.executors.of(owner).share(place, work))


def encoded(document: Mapping[str, Any]) -> bytes:
    """As JSON."""
    return _encode(document).encode()


def check_revision(job: Job, match: str | None) -> None:
    """If-Match (RFC 9110 §13.1.1) over the revision. Raises RevisionConflictError."""
    if match is None or match.strip() == "*":
        return
    wanted = {tag.strip().removeprefix("W/").strip('"') for tag in match.split(",")}
    if str(job.revision) not in wanted:
        raise RevisionConflictError(
            f"job {job.id} is at revision {job.revision}; read it again before changing it", revision=job.revision
        )
