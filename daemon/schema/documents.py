"""What goes out: the documents of the API (docs/api.md). Owns shapes only; a newer service may add fields."""

from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

Priority = Literal["FOREGROUND", "HIGH", "NORMAL", "LOW"]


EventType = Literal[
    "JOB_CREATED",
    "JOB_STATE",
    "JOB_MODIFIED",
    "FILE_TRANSFERRED",
    "JOB_TRANSFERRED",
    "JOB_ERROR",
    "JOB_REMOVED",
    "STATE_LOST",
]


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


class Document(BaseModel):
    """Base of everything that goes out. A client ignores fields that a newer service adds."""

    model_config = ConfigDict(extra="ignore")


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


class ClientCertificate(Document):
    """What may be seen of a client certificate: its subject (RFC 4514), SHA-1 in hex and end of validity."""

    subject: str
    sha1: str
    not_after: str


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
    resume_unvalidated: bool
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
    client_certificate: ClientCertificate | None
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
    """A stored event; JOB_STATE has `from` and `to`, FILE_TRANSFERRED has `file_index`.

    STATE_LOST is about the whole service: it has `reason`, `kept` and `jobs_lost`, and no `job_id`.
    """

    model_config = ConfigDict(extra="allow")

    seq: int
    time: str
    type: str
    job_id: str | None


class EventList(Document):
    """Events after the asked-for SEQ; `seq` is the one to ask from next."""

    events: list[Event]
    seq: int


class Service(Document):
    """GET /v1: who answers. `instance_id` is new at every start; `uptime` in seconds.

    `state_lost`: part of the queue was lost, not longer ago than the history is kept. `store`: whether changes can be
    recorded.
    """

    name: str
    version: str
    api: str
    instance_id: str
    started_at: str
    uptime: int
    features: list[str]
    limits: dict[str, int]
    state_lost: bool
    store: str = "ok"


class BatchResult(Document):
    """What came of one item of a batch: the status and the document that the call alone would have had."""

    status: int
    body: dict[str, Any]


class BatchResults(Document):
    """One for each item, in order."""

    results: list[BatchResult]


class Finding(Document):
    """Something that is not as it should be. `mend`: what `fix` does about it, null = only a person can."""

    code: str
    message: str
    mend: str | None
    is_mended: bool
    path: str | None
    job_id: str | None
    file_index: int | None


class Diagnosis(Document):
    """What a self-check found; empty = all is well."""

    findings: list[Finding]


class Problem(Document):
    """RFC 9457 document with the service's stable `code` and what helps to act on it."""

    model_config = ConfigDict(extra="allow")

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str
    hresult: str
