"""The records of the queue: Job, File, Event and the values in them. Frozen; a change makes a new record.

Units: durations in seconds; sizes in bytes; `created`, `modified`, `at` are wall-clock seconds since the epoch;
everything in `Timers` is service time (seconds on a clock that never jumps and only runs while the service does).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Literal


class State(StrEnum):
    """BG_JOB_STATE (§0.1, §2.1). CONNECTING exists in the enumeration and is never reported (docs/api.md)."""

    QUEUED = "QUEUED"
    CONNECTING = "CONNECTING"
    TRANSFERRING = "TRANSFERRING"
    SUSPENDED = "SUSPENDED"
    ERROR = "ERROR"
    TRANSIENT_ERROR = "TRANSIENT_ERROR"
    TRANSFERRED = "TRANSFERRED"
    ACKNOWLEDGED = "ACKNOWLEDGED"
    CANCELLED = "CANCELLED"

    @property
    def is_final(self) -> bool:
        """Nothing can happen to the job any more."""
        return self in {State.ACKNOWLEDGED, State.CANCELLED}


class Priority(StrEnum):
    """BG_JOB_PRIORITY, highest first."""

    FOREGROUND = "FOREGROUND"
    HIGH = "HIGH"
    NORMAL = "NORMAL"
    LOW = "LOW"

    @property
    def level(self) -> int:
        """0 = highest (the enumeration's own numbers)."""
        return _LEVELS[self]


_LEVELS = {priority: level for level, priority in enumerate(Priority)}

Intent = Literal["COMPLETE", "CANCEL"]


@dataclass(frozen=True, slots=True)
class Owner:
    """The account a job belongs to."""

    uid: int
    gid: int
    user: str


@dataclass(frozen=True, slots=True)
class Properties:
    """What the owner may set (§1.2). None in a duration = the service's default for the job."""

    display_name: str
    description: str = ""
    priority: Priority = Priority.NORMAL
    minimum_retry_delay: int | None = None
    no_progress_timeout: int | None = None
    maximum_download_time: int | None = None
    notify_flags: tuple[str, ...] = ("JOB_TRANSFERRED", "JOB_ERROR")
    notify_command: tuple[str, ...] | None = None
    notify_interval_ms: int = 500
    proxy_usage: str = "PRECONFIG"
    proxy_list: str | None = None
    proxy_bypass: str | None = None
    custom_headers: str | None = field(default=None, repr=False)
    custom_headers_write_only: bool = False
    client_certificate: Mapping[str, str] | None = None
    """What may be shown of it; the certificate itself is one of the job's secrets."""
    security_flags: tuple[str, ...] = ()
    cost_policy: str = "ALWAYS"
    http_method: str = "GET"
    dynamic_content: bool = False
    maximum_download_size: int | None = None


@dataclass(frozen=True, slots=True)
class JobError:
    """Why a job is in ERROR or TRANSIENT_ERROR (§1.4)."""

    code: str
    hresult: int
    context: str
    message: str
    at: float = 0.0
    """Stamped when it is recorded."""
    file_index: int | None = None
    remote_name: str | None = None
    local_name: str | None = None
    http_status: int | None = None


@dataclass(frozen=True, slots=True)
class Timers:
    """Moments in service time (module docstring); None = not running."""

    turn: float = 0.0
    """Place in the queue of its level: the moment it got in line. A pre-empted job keeps it."""
    queued_at: float | None = None
    failed_at: float | None = None
    retry_after: int | None = None
    jitter: float = 0.0
    """0..1: how much of the jitter the present retry delay gets."""
    no_progress_since: float | None = None
    active_since: float | None = None
    active_time: float = 0.0
    activity_at: float = 0.0
    final_at: float | None = None


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over the files of a job, kept with it so that a listing reads no file."""

    files: int = 0
    files_transferred: int = 0
    bytes_known: int = 0
    sizes_unknown: int = 0
    bytes_transferred: int = 0

    @property
    def bytes_total(self) -> int | None:
        """None until every file's size is known; 0 for a job without files."""
        return None if self.sizes_unknown else self.bytes_known

    @property
    def is_transferred(self) -> bool:
        """There are files, and all of them are in their temporary files."""
        return 0 < self.files == self.files_transferred

    def changed(self, old: "File | None", new: "File") -> "Totals":
        """The sums after file `old` (None = not there yet) became `new`."""
        before = _counts(old) if old else (0, 0, 0, 0, 0)
        sums = (self.files, self.files_transferred, self.bytes_known, self.sizes_unknown, self.bytes_transferred)
        return Totals(*(total - was + now for total, was, now in zip(sums, before, _counts(new), strict=True)))


@dataclass(frozen=True, slots=True)
class File:
    """One file of a job (§1.3). `size`: of the local file to be, None = unknown; `offset`: bytes synced to disk."""

    index: int
    remote_name: str
    local_name: str
    temporary_name: str
    ranges: tuple[tuple[int, int | None], ...] = ()
    expected_size: int | None = None
    digest: Mapping[str, str] = field(default_factory=dict)
    mirrors: tuple[str, ...] = ()
    make_dirs: bool = False
    resume_unvalidated: bool = False
    """Go on after an interruption although the server gives no validator, if size and an overlap agree."""
    size: int | None = None
    offset: int = 0
    inode: int | None = None
    checksum: int | None = None
    """CRC-32C of the first `offset` bytes."""
    pieces: tuple[tuple[int, int, int], ...] = ()
    """What is synced beyond: start, end and CRC-32C of each, in order, with gaps before and between."""
    etag: str | None = None
    last_modified: str | None = None
    is_date_weak: bool = False
    """`last_modified` cannot tell this version from the next (RFC 9110 §8.8.2.2)."""
    remote_size: int | None = None
    media_type: str | None = None
    served_digest: Mapping[str, str] = field(default_factory=dict)
    """Digests of the whole remote file as its server gave them."""
    fetched_from: str | None = None
    """Which of the file's URLs the bytes in the temporary file came from."""
    generation: int = 0
    """Grows when what was fetched is void, and before the first byte that comes instead: no reader may mix them."""
    mtime: int | None = None
    """Of the temporary file when these bytes were synced (st_mtime_ns)."""
    response_headers: str | None = None
    transferred: bool = False
    completed: bool = False
    validated: bool | None = None

    @property
    def landed(self) -> int:
        """All bytes that are synced to disk."""
        return self.offset + sum(end - start for start, end, _ in self.pieces)

    def moved(self, remote_name: str) -> "File":
        """The same file at another URL: what is here goes on there if it proves to be the same (§5.3)."""
        if remote_name == self.remote_name:
            return self
        origin = remote_name if self.fetched_from == self.remote_name else self.fetched_from
        return replace(self, remote_name=remote_name, fetched_from=origin, media_type=None)

    def emptied(self) -> "File":
        """The same file with nothing fetched of it: the next attempt starts from zero."""
        nothing = replace(self, offset=0, inode=None, checksum=None, mtime=None, transferred=False, completed=False)
        return replace(
            nothing,
            pieces=(),
            generation=self.generation + 1,
            validated=None,
            etag=None,
            last_modified=None,
            is_date_weak=False,
            remote_size=None,
            media_type=None,
            served_digest={},
            fetched_from=None,
        )


def _counts(file: File) -> tuple[int, int, int, int, int]:
    return (1, int(file.transferred), file.size or 0, int(file.size is None), file.landed)


@dataclass(frozen=True, slots=True)
class Job:
    """A job as the store has it. Only `states.advance` assigns `state`, and only `change` the revision."""

    id: str
    owner: Owner
    properties: Properties
    created: float
    modified: float
    state: State = State.SUSPENDED
    revision: int = 1
    row: int = 0
    """Order of creation; given by the store."""
    changed_seq: int = 0
    """The number of the last event about this job."""
    resumed: bool = False
    """Resume was called at least once: some properties are read-only then (§1.2)."""
    intent: Intent | None = None
    """Complete or Cancel has begun and must be finished, also after a restart."""
    yielded: bool = False
    """In QUEUED because its time slice ended."""
    transfer_completed: float | None = None
    error: JobError | None = None
    error_count: int = 0
    timers: Timers = Timers()
    totals: Totals = Totals()


EVERYBODY = -1
"""The `owner_uid` of an event about the whole service, whose `job_id` is empty."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a job; numbered and stored with the change that caused it."""

    type: str
    job_id: str
    owner_uid: int
    time: float
    """Wall clock."""
    at: float = 0.0
    """Service time, for the retention."""
    data: Mapping[str, object] = field(default_factory=dict)
    seq: int = 0


@dataclass(frozen=True, slots=True)
class Finished:
    """Outcome of an attempt: every file is in its temporary file."""


@dataclass(frozen=True, slots=True)
class Yielded:
    """Outcome of an attempt that was stopped before its end, with its bytes kept."""

    is_slice_end: bool = False


@dataclass(frozen=True, slots=True)
class Failed:
    """Outcome of an attempt: `moved` = bytes had arrived in it; `retry_after` in seconds as the server asked."""

    error: JobError
    transient: bool
    moved: bool = False
    retry_after: int | None = None


Outcome = Finished | Yielded | Failed
