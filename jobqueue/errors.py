"""The service's own error codes and the exceptions that carry them (spec/service.md §10).

Owns the numbers. An exception of this package means: the call was refused and nothing was changed.
"""

HRESULTS: dict[str, int] = {
    "S_OK": 0x00000000,
    "BG_S_PARTIAL_COMPLETE": 0x00200017,
    "BG_S_UNABLE_TO_DELETE_FILES": 0x0020001A,
    "BG_E_NOT_FOUND": 0x80200001,
    "BG_E_INVALID_STATE": 0x80200002,
    "BG_E_EMPTY": 0x80200003,
    "BG_E_DESTINATION_LOCKED": 0x8020000D,
    "BG_E_NETWORK_DISCONNECTED": 0x80200010,
    "BG_E_INSUFFICIENT_RANGE_SUPPORT": 0x80200013,
    "BG_E_PROXY_LIST_TOO_LARGE": 0x80200018,
    "BG_E_PROXY_BYPASS_LIST_TOO_LARGE": 0x80200019,
    "BG_E_INVALID_SERVER_RESPONSE": 0x8020001B,
    "BG_E_STRING_TOO_LONG": 0x80200021,
    "BG_E_USERNAME_TOO_LARGE": 0x80200025,
    "BG_E_PASSWORD_TOO_LARGE": 0x80200026,
    "BG_E_INVALID_AUTH_TARGET": 0x80200027,
    "BG_E_INVALID_AUTH_SCHEME": 0x80200028,
    "BG_E_FILE_NOT_FOUND": 0x80200029,
    "BG_E_INVALID_RANGE": 0x8020002B,
    "BG_E_OVERLAPPING_RANGES": 0x8020002C,
    "BG_E_CONNECT_FAILURE": 0x8020002D,
    "BG_E_CONNECTION_CLOSED": 0x8020002E,
    "BG_E_BLOCKED_BY_POLICY": 0x8020003E,
    "BG_E_INVALID_PROXY_INFO": 0x8020003F,
    "BG_E_INVALID_HASH_ALGORITHM": 0x80200041,
    "BG_E_TOO_MANY_JOBS_PER_USER": 0x80200049,
    "BG_E_TOO_MANY_JOBS_PER_MACHINE": 0x80200050,
    "BG_E_TOO_MANY_FILES_IN_JOB": 0x80200051,
    "BG_E_TOO_MANY_RANGES_IN_FILE": 0x80200052,
    "BG_E_VALIDATION_FAILED": 0x80200053,
    "BG_E_MAXDOWNLOAD_TIMEOUT": 0x80200054,
    "BG_E_READ_ONLY_PROPERTY": 0x80200058,
    "BG_E_READ_ONLY_PROPERTY_AFTER_RESUME": 0x80200062,
    "BG_E_MAX_DOWNLOAD_SIZE_INVALID_VALUE": 0x80200063,
    "BG_E_MAX_DOWNLOAD_SIZE_LIMIT_REACHED": 0x80200064,
    "BG_E_NOT_SUPPORTED_WITH_CUSTOM_HTTP_METHOD": 0x80200071,
    "BG_E_UNSUPPORTED_JOB_CONFIGURATION": 0x80200072,
    "BG_E_REMOTE_FILE_CHANGED": 0x80200073,
    "E_ACCESSDENIED": 0x80070005,
    "E_INVALIDARG": 0x80070057,
    "E_NOTIMPL": 0x80004001,
    "E_FAIL": 0x80004005,
    "E_PENDING": 0x8000000A,
    "E_LOCAL_FILE": 0xC0D00000,
    "ERROR_WINHTTP_TIMEOUT": 0x80072EE2,
    "ERROR_WINHTTP_NAME_NOT_RESOLVED": 0x80072EE7,
    "ERROR_WINHTTP_SECURE_CERT_DATE_INVALID": 0x80072F05,
    "ERROR_WINHTTP_SECURE_CERT_CN_INVALID": 0x80072F06,
    "ERROR_WINHTTP_CLIENT_AUTH_CERT_NEEDED": 0x80072F0C,
    "ERROR_WINHTTP_SECURE_INVALID_CA": 0x80072F0D,
    "ERROR_WINHTTP_INVALID_SERVER_RESPONSE": 0x80072F78,
    "ERROR_WINHTTP_SECURE_FAILURE": 0x80072F8F,
    "ERROR_WINHTTP_SECURE_CERT_WRONG_USAGE": 0x80072F93,
    # bitsd's own: the emulated service has no such calls
    "REVISION_CONFLICT": 0xA0D00001,
    "IDEMPOTENCY_CONFLICT": 0xA0D00002,
    "STORE_FULL": 0xA0D00003,
    "STORE_FAILED": 0xA0D00004,
    "EVENTS_TRUNCATED": 0xA0D00005,
    "SERVICE_UNAVAILABLE": 0xA0D00006,
    "CONTENT_GONE": 0xA0D00007,
    "CREDENTIALS_NOT_FOUND": 0xA0D00008,
    "SECRETS_LOST": 0xA0D00009,
    "NOT_CARRIED_OUT": 0xA0D0000A,
}


class JobQueueError(Exception):
    """Root: a refused call. `code` is a name of HRESULTS, `facts` are members of the problem document."""

    code = "E_FAIL"

    def __init__(self, message: str, **facts: object) -> None:
        super().__init__(message)
        self.facts = facts

    @property
    def hresult(self) -> int:
        """The number that belongs to the code."""
        return HRESULTS[self.code]


class NotFoundError(JobQueueError):
    """No such job."""

    code = "BG_E_NOT_FOUND"


class FileNotInJobError(JobQueueError):
    """The job has no file of that index."""

    code = "BG_E_FILE_NOT_FOUND"


class InvalidStateError(JobQueueError):
    """The operation is not legal in the job's state (§2.2)."""

    code = "BG_E_INVALID_STATE"


class EmptyJobError(JobQueueError):
    """Resume of a job without files."""

    code = "BG_E_EMPTY"


class PendingError(JobQueueError):
    """The file is not finished yet."""

    code = "E_PENDING"


class RevisionConflictError(JobQueueError):
    """If-Match named another revision than the job has."""

    code = "REVISION_CONFLICT"


class IdempotencyConflictError(JobQueueError):
    """The Idempotency-Key was used for another request."""

    code = "IDEMPOTENCY_CONFLICT"


class NotCarriedOutError(JobQueueError):
    """An item of a batch for which another one is needed that failed."""

    code = "NOT_CARRIED_OUT"


class EventsTruncatedError(JobQueueError):
    """Events after the asked-for number are no longer kept; `oldest` is."""

    code = "EVENTS_TRUNCATED"


class StoreFullError(JobQueueError):
    """No space for the queue: the change was not recorded."""

    code = "STORE_FULL"


class StoreFailedError(JobQueueError):
    """The store could not be read or written: the change was not recorded."""

    code = "STORE_FAILED"


class StoreDamagedError(StoreFailedError):
    """What is in the store cannot be read any more: a new start mends it."""


class LocalFileFailedError(JobQueueError):
    """A local file operation of Complete failed; `errno` (name) and `path` say which."""

    code = "E_LOCAL_FILE"


class RefusedError(JobQueueError):
    """Any other refusal; the code is given: a property, limit or argument code."""

    def __init__(self, code: str, message: str, **facts: object) -> None:
        super().__init__(message, **facts)
        self.code = code
