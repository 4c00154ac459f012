"""What comes in: bodies and queries of the API, with the limits that need no state (spec/service.md §1).

Refuses unknown fields. What a refusal means on the wire (its BG_* code) is the error type of the validation error when
that is the name of a service code.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from daemon.schema.documents import Priority

MAX_NAME, MAX_DESCRIPTION, MAX_URL, MAX_HEADERS, MAX_PROXY, MAX_PATH = 256, 1024, 2200, 16384, 4000, 4096
MAX_PEM = 65_536
MAX_ITEMS = 1000
"""Calls in a batch."""

NotifyFlag = Literal["JOB_TRANSFERRED", "JOB_ERROR", "DISABLE", "JOB_MODIFICATION", "FILE_TRANSFERRED"]
ProxyUsage = Literal["PRECONFIG", "NO_PROXY", "OVERRIDE", "AUTODETECT"]
CostPolicy = Literal["ALWAYS", "NOT_ROAMING", "NO_SURCHARGE", "STANDARD", "UNRESTRICTED"]
SecurityFlag = Literal[
    "SSL_IGNORE_CERT_CN_INVALID",
    "SSL_IGNORE_CERT_DATE_INVALID",
    "SSL_IGNORE_UNKNOWN_CA",
    "SSL_IGNORE_CERT_WRONG_USAGE",
    "REDIRECT_ALLOW_SILENT",
    "REDIRECT_ALLOW_REPORT",
    "REDIRECT_DISALLOW",
    "REDIRECT_ALLOW_HTTPS_TO_HTTP",
]


def _short(limit: int) -> AfterValidator:
    def check(text: str) -> str:
        if len(text) > limit:
            raise PydanticCustomError("BG_E_STRING_TOO_LONG", "at most {limit} characters", {"limit": limit})
        return text

    return AfterValidator(check)


def _no_duplicates(names: Sequence[str]) -> Sequence[str]:
    if len(set(names)) != len(names):
        raise PydanticCustomError("E_INVALIDARG", "a name is given twice")
    return names


DisplayName = Annotated[str, Field(min_length=1, max_length=MAX_NAME)]
Seconds = Annotated[int, Field(ge=0, le=2**31 - 1)]
Size = Annotated[int, Field(ge=0, le=2**63 - 1)]


class Request(BaseModel):
    """Base of everything that comes in: strict types, and an unknown field is an error that names it."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Query(BaseModel):
    """Base of query strings: everything is text there, so numbers are read from it; unknown names are errors too."""

    model_config = ConfigDict(extra="forbid")


class Range(Request):
    """A piece of the remote file. `length` in bytes, null or absent = to the end of the file."""

    offset: int
    length: int | None = None


class FileToAdd(Request):
    """A file for a job (§1.3). `mirrors`: more URLs of the same bytes. `make_dirs`: create missing directories.

    `resume_unvalidated`: go on after an interruption although the server gives no validator, if size and an overlap
    agree.
    """

    remote_name: str
    local_name: str
    ranges: Annotated[list[Range], Field(fail_fast=True)] | None = None
    expected_size: Size | None = None
    digest: dict[str, str] | None = None
    mirrors: Annotated[list[str], Field(fail_fast=True)] | None = None
    make_dirs: bool = False
    resume_unvalidated: bool = False


class Notify(Request):
    """Whom to tell, and of what (§7). `minimum_interval_ms` is in milliseconds."""

    flags: Annotated[list[NotifyFlag], AfterValidator(_no_duplicates)] | None = None
    command: Annotated[list[str], Field(min_length=1)] | None = None
    minimum_interval_ms: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None


class Proxy(Request):
    """Proxy settings (§5.10); `list` and `bypass` only with OVERRIDE."""

    usage: ProxyUsage | None = None
    list: str | None = None
    bypass: str | None = None


class JobProperties(Request):
    """Every settable property of a job. Absent = unchanged, null = back to the default (RFC 7396)."""

    display_name: DisplayName | None = None
    description: Annotated[str, _short(MAX_DESCRIPTION)] | None = None
    priority: Priority | None = None
    minimum_retry_delay: Seconds | None = None
    no_progress_timeout: Seconds | None = None
    maximum_download_time: Seconds | None = None
    notify: Notify | None = None
    proxy: Proxy | None = None
    custom_headers: Annotated[str, _short(MAX_HEADERS - 1)] | None = None
    custom_headers_write_only: bool | None = None
    security_flags: Annotated[list[SecurityFlag], AfterValidator(_no_duplicates)] | None = None
    cost_policy: CostPolicy | None = None
    http_method: Annotated[str, Field(pattern=r"^[A-Z]{1,32}$")] | None = None
    dynamic_content: bool | None = None
    maximum_download_size: Annotated[int, Field(le=2**63 - 1)] | None = None


class CreateJob(JobProperties):
    """POST /v1/jobs. `resume`: start it at once."""

    display_name: DisplayName
    files: Annotated[list[FileToAdd], Field(fail_fast=True)] | None = None
    resume: bool = False


class AddFiles(Request):
    """POST /v1/jobs/{id}/files: all of them or none."""

    files: Annotated[list[FileToAdd], Field(min_length=1, fail_fast=True)]


class FilePatch(Request):
    """PATCH of one file: a new URL, or the owner's verdict on the finished bytes (§5.9)."""

    remote_name: str | None = None
    validated: bool | None = None


class CredentialBody(Request):
    """PUT credentials: write-only (§1.2)."""

    user: Annotated[str, Field(repr=False)]
    password: Annotated[str, Field(repr=False)]


class CertificateBody(Request):
    """PUT client-certificate: PEM texts, the chain with the client's own certificate first; write-only."""

    certificate: Annotated[str, Field(max_length=MAX_PEM, repr=False)]
    private_key: Annotated[str, Field(max_length=MAX_PEM, repr=False)]


class ReplacePrefix(Request):
    """POST replace-remote-prefix: case-sensitive, at the start of each remote name (§5.3)."""

    old: Annotated[str, Field(min_length=1)]
    new: Annotated[str, Field(min_length=1)]


BatchOperation = Literal["create", "add", "resume", "suspend", "complete", "cancel"]


class BatchItem(Request):
    """One call of a batch. `id`: of the job, or `#N` for the job that item N (from 0) of the same batch creates.

    `body` as the call would have it: CreateJob for create, AddFiles for add; the others have none.
    """

    op: BatchOperation
    id: str | None = None
    body: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _has_its_members(self) -> Self:
        for name, has_it in (("id", self.op != "create"), ("body", self.op in {"create", "add"})):
            if (getattr(self, name) is not None) != has_it:
                words = {"op": self.op, "has": "needs" if has_it else "takes no", "name": name}
                raise PydanticCustomError("E_INVALIDARG", "{op} {has} {name}", words)
        return self


class Batch(Request):
    """POST /v1/batch: calls that are carried out in order, in one commit. `atomic`: all of them or none."""

    items: Annotated[list[BatchItem], Field(min_length=1, max_length=MAX_ITEMS, fail_fast=True)]
    atomic: bool = False


class Examine(Request):
    """POST doctor: `fix` mends what can be mended."""

    fix: bool = False


class JobQuery(Query):
    """Query of GET /v1/jobs. `state` and `fields` are comma-separated; `name` is a glob."""

    state: str | None = None
    name: str | None = None
    owner: str | None = None
    all_users: bool = False
    fields: str | None = None
    limit: Annotated[int, Field(ge=1, le=100_000)] | None = None
    cursor: str | None = None
    changed_since: Annotated[int, Field(ge=0)] | None = None
    include: Literal["files"] | None = None


class OneJobQuery(Query):
    """Query of GET /v1/jobs/{id}."""

    include: Literal["files"] | None = None


class WaitQuery(Query):
    """Query of GET /v1/jobs/{id}/wait: comma-separated states; `timeout` in seconds."""

    until: str
    timeout: Annotated[float, Field(ge=0, le=86_400)] = 60.0


class EventQuery(Query):
    """Query of GET /v1/events. `wait` in seconds (long poll); absent `after` = from the oldest kept."""

    after: Annotated[int, Field(ge=0)] | None = None
    job: str | None = None
    types: str | None = None
    wait: Annotated[float, Field(ge=0, le=3600)] = 0.0
    limit: Annotated[int, Field(ge=1, le=10_000)] = 1000
    all_users: bool = False
