"""The typed client of the service: one method per route of api.md §2, wire models in and out.

Owns paths, query names and which model an answer is. Refuses to retry and to print: see `patience` and the verbs for
these. Every method raises `ClientError`. Times are in seconds, sizes in bytes.
"""

from collections.abc import AsyncIterator, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypedDict, TypeVar, Unpack
from urllib.parse import quote

from pydantic import BaseModel, ValidationError

from daemon.client.errors import BadReply
from daemon.client.socket import find_socket
from daemon.schema import (
    BatchItem,
    BatchResult,
    BatchResults,
    CreateJob,
    Diagnosis,
    Event,
    EventList,
    File,
    FileList,
    FileToAdd,
    Job,
    JobList,
    JobPrefixResult,
    JobResult,
    Service,
)

if TYPE_CHECKING:
    from daemon.client.transport import Transport

Model = TypeVar("Model", bound=BaseModel)
PAGE = 1000
LONGEST_CHECK = 3600.0
"""Seconds that a self-check may take: it may read all that was ever fetched."""
SCHEMES = ("basic", "digest")
"""How a server or proxy may ask for credentials."""


class JobFilter(TypedDict, total=False):
    """Which jobs, and how much of each; see `Client.jobs`."""

    state: Iterable[str] | None
    name: str | None
    owner: str | None
    all_users: bool
    fields: Iterable[str] | None
    limit: int | None
    changed_since: int | None
    include_files: bool


class Client:
    """`async with Client() as client:`; without a path the socket is found as `bitsctl` finds it."""

    def __init__(self, socket_path: str | None = None) -> None:
        self.socket_path = find_socket(socket_path)
        self._transport: Transport | None = None

    async def __aenter__(self) -> Self:
        from daemon.client.transport import Transport  # noqa: PLC0415 - aiohttp costs 0.3 s that --help need not pay

        self._transport = Transport(self.socket_path)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.close()

    async def service(self) -> Service:
        """Who answers, since when, with which limits."""
        return self._as(Service, await self._open.request("GET", "/v1"))

    async def openapi(self) -> dict[str, Any]:
        """The OpenAPI 3.1 document of the service."""
        document = await self._open.request("GET", "/v1/openapi.json")
        if not isinstance(document, dict):
            raise BadReply.because(self.socket_path, "not an OpenAPI document")
        return document

    async def create_job(
        self, job: CreateJob | None = None, *, idempotency_key: str | None = None, **properties: object
    ) -> Job:
        """Create a job from a model, from properties, or from both; with a key, doing it twice makes one job."""
        body = {**(job.model_dump(mode="json", exclude_unset=True) if job else {}), **_members(properties)}
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else None
        return self._as(Job, await self._open.request("POST", "/v1/jobs", body=body, headers=headers))

    async def jobs(
        self,
        *,
        state: Iterable[str] | None = None,
        name: str | None = None,
        owner: str | None = None,
        all_users: bool = False,
        fields: Iterable[str] | None = None,
        limit: int | None = None,
        cursor: str | None = None,
        changed_since: int | None = None,
        include_files: bool = False,
    ) -> JobList:
        """One page of jobs not in a final state. The jobs stay plain dicts: there may be many thousands."""
        query = {
            "state": _joined(state),
            "name": name,
            "owner": owner,
            "all_users": all_users,
            "fields": _joined(fields),
            "limit": limit,
            "cursor": cursor,
            "changed_since": changed_since,
            "include": "files" if include_files else None,
        }
        return self._as(JobList, await self._open.request("GET", "/v1/jobs", query=query))

    async def all_jobs(self, **filters: Unpack[JobFilter]) -> AsyncIterator[dict[str, Any]]:
        """Every job that `jobs(**filters)` would give, page after page."""
        filters.setdefault("limit", PAGE)
        cursor: str | None = None
        while True:
            page = await self.jobs(**filters, cursor=cursor)
            for job in page.jobs:
                yield job
            cursor = page.next_cursor
            if cursor is None:
                return

    async def job(self, job_id: str, *, include_files: bool = False) -> Job:
        """One job, a final one too for as long as the history keeps it."""
        query = {"include": "files"} if include_files else None
        return self._as(Job, await self._open.request("GET", _job(job_id), query=query))

    async def set(self, job_id: str, *, if_match: int | None = None, **properties: object) -> Job:
        """Change properties; None resets one. With `if_match` only if that is still the job's revision."""
        headers = {"If-Match": str(if_match)} if if_match is not None else None
        return self._as(
            Job, await self._open.request("PATCH", _job(job_id), body=_members(properties), headers=headers)
        )

    async def files(self, job_id: str) -> FileList:
        return self._as(FileList, await self._open.request("GET", _job(job_id, "files")))

    async def add_files(self, job_id: str, files: Iterable[FileToAdd | Mapping[str, Any]]) -> FileList:
        """Add files, all or none; the added ones come back."""
        body = {"files": [_plain(file) for file in files]}
        return self._as(FileList, await self._open.request("POST", _job(job_id, "files"), body=body))

    async def file(self, job_id: str, index: int) -> File:
        return self._as(File, await self._open.request("GET", _job(job_id, f"files/{index}")))

    async def patch_file(self, job_id: str, index: int, **fields: object) -> File:
        """Set `remote_name` or `validated` of one file."""
        return self._as(File, await self._open.request("PATCH", _job(job_id, f"files/{index}"), body=_members(fields)))

    async def content(self, job_id: str, index: int, start: int = 0) -> AsyncIterator[bytes]:
        """The file's bytes from `start` on, Complete or not, as they land; waits for those that are still to come.

        Raises ContentGone when they go away or begin anew: what came so far is not the file then.
        """
        headers = {"Range": f"bytes={start}-"} if start else None
        async for piece in self._open.pieces(_job(job_id, f"files/{index}/content"), headers=headers):
            yield piece

    async def replace_remote_prefix(self, job_id: str, old: str, new: str) -> JobPrefixResult:
        body = {"old": old, "new": new}
        return self._as(
            JobPrefixResult, await self._open.request("POST", _job(job_id, "replace-remote-prefix"), body=body)
        )

    async def suspend(self, job_id: str) -> JobResult:
        return await self._change(job_id, "suspend")

    async def resume(self, job_id: str) -> JobResult:
        return await self._change(job_id, "resume")

    async def complete(self, job_id: str) -> JobResult:
        """Put what is finished under its local names and end the job; see `result` for a partial end."""
        return await self._change(job_id, "complete")

    async def cancel(self, job_id: str) -> JobResult:
        """End the job and remove what it has fetched."""
        return await self._change(job_id, "cancel")

    async def batch(self, items: Iterable[BatchItem | Mapping[str, Any]], *, atomic: bool = False) -> list[BatchResult]:
        """Up to MAX_ITEMS calls in one commit; what came of each, in order: a `status` of 400 or more is a refusal.

        `atomic`: all of them or none. "#N" as an id stands for the job that item N creates.
        """
        body = {"items": [_plain(item) for item in items], "atomic": atomic}
        answer = await self._open.request("POST", "/v1/batch", body=body)
        return self._as(BatchResults, answer).results

    async def take_ownership(self, job_id: str) -> Job:
        """Become the owner; credentials, headers, certificate and command are dropped."""
        return self._as(Job, await self._open.request("POST", _job(job_id, "take-ownership")))

    async def set_credentials(self, job_id: str, target: str, scheme: str, user: str, password: str) -> None:
        """A user and password for the job's `target` (server, proxy), if it asks for them by `scheme` (basic, digest).

        In place of what was there. The service never gives them out again.
        """
        body = {"user": user, "password": password}
        await self._open.request("PUT", _credentials(job_id, target, scheme), body=body)

    async def remove_credentials(self, job_id: str, target: str, scheme: str) -> None:
        """Raises NotFound when there are none."""
        await self._open.request("DELETE", _credentials(job_id, target, scheme))

    async def set_client_certificate(self, job_id: str, certificate: str, private_key: str) -> None:
        """PEM texts: the certificate with its chain, and its key. `client_certificate` of the job then tells of it."""
        body = {"certificate": certificate, "private_key": private_key}
        await self._open.request("PUT", _job(job_id, "client-certificate"), body=body)

    async def remove_client_certificate(self, job_id: str) -> None:
        await self._open.request("DELETE", _job(job_id, "client-certificate"))

    async def wait(self, job_id: str, until: Iterable[str], timeout: float = 60.0) -> Job:  # noqa: ASYNC109 - the service's
        """The job when it reaches a state of `until`, or as it is when `timeout` ends."""
        query = {"until": _joined(until), "timeout": timeout}
        return self._as(Job, await self._open.request("GET", _job(job_id, "wait"), query=query, wait=timeout))

    async def examine(self, *, fix: bool = False) -> Diagnosis:
        """The self-check; `fix` mends what can be mended. Reads every temporary file that was left by a crash."""
        body = {"fix": fix}
        return self._as(Diagnosis, await self._open.request("POST", "/v1/doctor", body=body, wait=LONGEST_CHECK))

    async def events(
        self,
        *,
        after: int | None = None,
        job: str | None = None,
        types: Iterable[str] | None = None,
        wait: float = 0.0,
        all_users: bool = False,
    ) -> EventList:
        """Stored events after SEQ; with `wait` held back until there is one. Ask next from `seq` of the answer."""
        query = {"after": after, "job": job, "types": _joined(types), "wait": wait or None, "all_users": all_users}
        return self._as(EventList, await self._open.request("GET", "/v1/events", query=query, wait=wait))

    async def stream(
        self,
        *,
        after: int | None = None,
        job: str | None = None,
        types: Iterable[str] | None = None,
        all_users: bool = False,
    ) -> AsyncIterator[Event]:
        """Events as they happen, PROGRESS too. Ends when the service does; go on with `after=` the last `seq` seen."""
        query = {"job": job, "types": _joined(types), "all_users": all_users}
        headers = {"Last-Event-ID": str(after)} if after is not None else None
        async for document in self._open.stream("/v1/events", query=query, headers=headers):
            yield self._as(Event, document)

    async def _change(self, job_id: str, verb: str) -> JobResult:
        return self._as(JobResult, await self._open.request("POST", _job(job_id, verb)))

    @property
    def _open(self) -> "Transport":
        if self._transport is None:
            raise RuntimeError("the client is not open: use `async with Client() as client`")
        return self._transport

    def _as(self, model: type[Model], document: object) -> Model:
        try:
            return model.model_validate(document)
        except ValidationError as error:
            fields = ", ".join(".".join(map(str, item["loc"])) or "document" for item in error.errors()[:3])
            raise BadReply.because(self.socket_path, f"not a {model.__name__}: {fields}") from error


def _job(job_id: str, rest: str = "") -> str:
    path = f"/v1/jobs/{quote(job_id, safe='')}"
    return f"{path}/{rest}" if rest else path


def _credentials(job_id: str, target: str, scheme: str) -> str:
    return _job(job_id, f"credentials/{quote(target, safe='')}/{quote(scheme, safe='')}")


def _joined(names: Iterable[str] | None) -> str | None:
    return None if names is None else ",".join(names)


def _members(values: Mapping[str, object]) -> dict[str, object]:
    return {name: _plain(value) for name, value in values.items()}


def _plain(value: object) -> object:
    """What a model was given (unset fields stay unsent), through lists and dicts."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_unset=True)
    if isinstance(value, Mapping):
        return _members(value)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
