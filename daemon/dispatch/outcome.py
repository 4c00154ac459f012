"""What a failed transfer means for its job: code, context, and whether it is worth another try (§3.4, §3.5)."""

import errno
from http import HTTPStatus

from jobqueue.errors import HRESULTS, LocalFileFailedError, RefusedError
from jobqueue.job import Failed, File, Job, JobError
from transfer import errors

HTTP_BASE = 0x80190000
LOCAL_BASE = HRESULTS["E_LOCAL_FILE"]

_RULES: dict[type[errors.TransferError], tuple[str, str, bool]] = {
    errors.BadReplyError: ("BG_E_INVALID_SERVER_RESPONSE", "REMOTE_FILE", False),
    errors.GarbledReplyError: ("ERROR_WINHTTP_INVALID_SERVER_RESPONSE", "GENERAL_TRANSPORT", True),
    errors.RangeUnsupportedError: ("BG_E_INSUFFICIENT_RANGE_SUPPORT", "REMOTE_FILE", False),
    errors.InvalidRangeError: ("BG_E_INVALID_RANGE", "REMOTE_FILE", False),
    errors.RemoteChangedError: ("BG_E_REMOTE_FILE_CHANGED", "REMOTE_FILE", True),
    errors.UnexpectedSizeError: ("BG_E_VALIDATION_FAILED", "REMOTE_FILE", False),
    errors.DigestMismatchError: ("BG_E_VALIDATION_FAILED", "REMOTE_FILE", False),
    errors.TooLargeError: ("BG_E_MAX_DOWNLOAD_SIZE_LIMIT_REACHED", "REMOTE_FILE", False),
    errors.NameNotResolvedError: ("ERROR_WINHTTP_NAME_NOT_RESOLVED", "GENERAL_TRANSPORT", True),
    errors.ConnectFailedError: ("BG_E_CONNECT_FAILURE", "GENERAL_TRANSPORT", True),
    errors.TlsFailedError: ("ERROR_WINHTTP_SECURE_FAILURE", "GENERAL_TRANSPORT", False),
    errors.ConnectionLostError: ("BG_E_CONNECTION_CLOSED", "GENERAL_TRANSPORT", True),
    errors.InvalidProxyError: ("BG_E_INVALID_PROXY_INFO", "GENERAL_TRANSPORT", False),
    errors.StalledError: ("ERROR_WINHTTP_TIMEOUT", "GENERAL_TRANSPORT", True),
}


def failed(job: Job, file: File, error: errors.TransferError, *, has_moved: bool) -> Failed:
    """The outcome of a job whose `file` failed so; with a custom method every failure is final (§5.6)."""
    retry_after = None
    http_status = None
    match error:
        case errors.HttpStatusError(status=status):
            code, hresult, context = f"BG_E_HTTP_ERROR_{status}", HTTP_BASE + status, "REMOTE_FILE"
            transient, http_status, retry_after = is_transient_status(status), status, error.retry_after
        case errors.RedirectRefusedError(status=status):
            code, hresult, context = f"BG_E_HTTP_ERROR_{status}", HTTP_BASE + status, "REMOTE_FILE"
            transient, http_status = False, status
        case errors.LocalFileError():
            code, hresult = local_code(error)
            context, transient = "LOCAL_FILE", False
        case _:
            code, context, transient = _RULES[type(error)]
            hresult = HRESULTS[code]
    problem = JobError(
        code=code,
        hresult=hresult,
        context=context,
        message=str(error),
        file_index=file.index,
        remote_name=file.remote_name,
        local_name=file.local_name,
        http_status=http_status,
    )
    return Failed(
        problem,
        transient=transient and job.properties.http_method == "GET",
        moved=has_moved or error.moved,
        retry_after=retry_after,
    )


def is_transient_status(status: int) -> bool:
    """The classes of §3.4; 425 and 429 are transient (docs/api.md, decisions)."""
    match status:
        case 408 | 409 | 425 | 429:
            return True
        case 501 | 505:
            return False
        case 300 | 301 | 302 | 303 | 304 | 305 | 307:
            return False
        case _:
            return not HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR


def local_code(error: errors.LocalFileError) -> tuple[str, int]:
    """Code and HRESULT of a local file error: access denied is its own, the rest carry their errno."""
    if error.errno in {errno.EACCES, errno.EPERM}:
        return "E_ACCESSDENIED", HRESULTS["E_ACCESSDENIED"]
    return "E_LOCAL_FILE", LOCAL_BASE + error.errno


def refused(error: errors.LocalFileError) -> LocalFileFailedError | RefusedError:
    """A local file error as the refusal of an owner's call."""
    name = errno.errorcode.get(error.errno, str(error.errno))
    if local_code(error)[0] == "E_ACCESSDENIED":
        return RefusedError("E_ACCESSDENIED", str(error), errno=name, path=error.path)
    return LocalFileFailedError(str(error), errno=name, path=error.path, hresult=f"0x{LOCAL_BASE + error.errno:08X}")
