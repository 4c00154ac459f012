"""What goes over the wire: requests, replies, events, the problem document. Shared by the service and its clients.

Owns names, shapes and the limits that need no state (spec/service.md §1). Refuses unknown fields in requests; what a
refusal means on the wire (its BG_* code) is the error type of the validation error when that is a service code.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

MAX_NAME, MAX_DESCRIPTION, MAX_URL, MAX_HEADERS, MAX_PROXY, MAX_PATH = 256, 1024, 2200, 16384, 4000, 4096


class State(StrEnum):
    """BG_JOB_STATE (§2.1). CONNECTING is never reported."""

    QUEUED = "QUEUED"
    CONNECTING = "CONNECTING"
    TRANSFERRING = "TRANSFERRING"
    SUSPENDED = "SUSPENDED"
    ERROR = "ERROR"
    TRANSIENT_ERROR = "TRANSIENT_ERROR"
    TRANSFERRED = "TRANSFERRED"
    ACKNOWLEDGED = "ACKNOWLEDGED"
    CANCELLED = "CANCELLED"


FINAL_STATES = frozenset({State.ACKNOWLEDGED, State.CANCELLED})

Priority = Literal["FOREGROUND", "HIGH", "NORMAL", "LOW"]
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
EventType = Literal[
    "JOB_CREATED", "JOB_STATE", "JOB_MODIFIED", "FILE_TRANSFERRED", "JOB_TRANSFERRED", "JOB_ERROR", "JOB_REMOVED"
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


class Document(BaseModel):
    """Base of everything that goes out. A client ignores fields that a newer service adds."""

    model_config = ConfigDict(extra="ignore")


class Range(Request):
    """A piece of the remote file. `length` in bytes, null or absent = to the end of the file."""

    offset: int
    length: int | None = None


class FileToAdd(Request):
    """A file for a job (§1.3). `mirrors`: more URLs of the same bytes. `make_dirs`: create missing directories."""

    remote_name: str
    local_name: str
    ranges: list[Range] | None = None
    expected_size: Size | None = None
    digest: dict[str, str] | None = None
    mirrors: list[str] | None = None
    make_dirs: bool = False


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
    files: list[FileToAdd] | None = None
    resume: bool = False


class AddFiles(Request):
    """POST /v1/jobs/{id}/files: all of them or none."""

    files: Annotated[list[FileToAdd], Field(min_length=1)]


class FilePatch(Request):
    """PATCH of one file: a new URL, or the owner's verdict on the finished bytes (§5.9)."""

    remote_name: str | None = None
    validated: bool | None = None


class ReplacePrefix(Request):
    """POST replace-remote-prefix: case-sensitive, at the start of each remote name (§5.3)."""

    old: Annotated[str, Field(min_length=1)]
    new: Annotated[str, Field(min_length=1)]


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


class Owner(Document):
    """The account a job belongs to."""

    uid: int
    user: str


class JobProgress(Document):
    """BG_JOB_PROGRESS; `bytes_total` is null until every file's size is known."""

    bytes_total: int | None
    bytes_transferred: int
    files_total: int
    files_transferred: int


class JobTimes(Document):
    """RFC 3339, UTC."""

    created: str
    modified: str
    transfer_completed: str | None


class JobError(Document):
    """Why the job is in ERROR or TRANSIENT_ERROR (§1.4). `hresult` of an HTTP status is 0x80190000 + status."""

    code: str
    hresult: str
    context: str
    message: str
    file_index: int | None
    remote_name: str | None
    local_name: str | None
    http_status: int | None
    transient: bool
    at: str


class Waiting(Document):
    """Why a job in QUEUED or TRANSIENT_ERROR does not run now, and until when (null = not known)."""

    reason: str
    until: str | None
    detail: str


class NotifyDocument(Document):
    """Notification settings as they are."""

    flags: list[str]
    command: list[str] | None
    minimum_interval_ms: int


class ProxyDocument(Document):
    """Proxy settings as they are."""

    usage: str
    list: str | None
    bypass: str | None


class FileProgress(Document):
    """BG_FILE_PROGRESS; `completed` = available under its local name (only after Complete)."""

    bytes_total: int | None
    bytes_transferred: int
    completed: bool


class RangeDocument(Document):
    """A requested range; `length` null = to the end of the file."""

    offset: int
    length: int | None


class File(Document):
    """One file of a job; `transferred` = every byte is in the temporary file, on the disk."""

    index: int
    remote_name: str
    local_name: str
    temporary_name: str
    ranges: list[RangeDocument]
    progress: FileProgress
    transferred: bool
    expected_size: int | None
    digest: dict[str, str] | None
    mirrors: list[str]
    validated: bool | None
    response_headers: str | None


class Job(Document):
    """A job as a client sees it. `files` only when asked for with include=files."""

    id: str
    revision: int
    type: str
    display_name: str
    description: str
    owner: Owner
    priority: Priority
    state: State
    progress: JobProgress
    times: JobTimes
    error: JobError | None
    error_count: int
    waiting: Waiting | None
    minimum_retry_delay: int
    no_progress_timeout: int
    maximum_download_time: int
    notify: NotifyDocument
    proxy: ProxyDocument
    custom_headers: str | None
    custom_headers_write_only: bool
    security_flags: list[str]
    cost_policy: str
    http_method: str
    dynamic_content: bool
    maximum_download_size: int | None
    files: list[File] | None = None


class JobResult(Job):
    """A job after a state-changing call; `result` is S_OK, BG_S_PARTIAL_COMPLETE or BG_S_UNABLE_TO_DELETE_FILES."""

    result: str


class JobPrefixResult(Job):
    """A job after replace-remote-prefix; `changed` counts the files."""

    changed: int


class JobList(Document):
    """A page of jobs; with `fields`, each job has only those. `removed` only with changed_since."""

    jobs: list[dict[str, Any]]
    next_cursor: str | None
    seq: int
    removed: list[str] | None = None


class FileList(Document):
    """Files of a job, in order."""

    files: list[File]


class Event(Document):
    """A stored event; JOB_STATE has `from` and `to`, FILE_TRANSFERRED has `file_index`."""

    model_config = ConfigDict(extra="allow")

    seq: int
    time: str
    type: str
    job_id: str


class EventList(Document):
    """Events after the asked-for SEQ; `seq` is the one to ask from next."""

    events: list[Event]
    seq: int


class Service(Document):
    """GET /v1: who answers. `instance_id` is new at every start; `uptime` in seconds."""

    name: str
    version: str
    api: str
    instance_id: str
    started_at: str
    uptime: int
    features: list[str]
    limits: dict[str, int]
    state_lost: bool


class Problem(Document):
    """RFC 9457 document with the service's stable `code` and what helps to act on it."""

    model_config = ConfigDict(extra="allow")

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str
    hresult: str
