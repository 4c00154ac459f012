"""What a failed transfer means for its job: code, context, and whether it is worth another try (§3.4, §3.5)."""

import errno
from dataclasses import dataclass
from http import HTTPStatus

from jobqueue.errors import HRESULTS, LocalFileFailedError, RefusedError
from jobqueue.job import Failed, File, Job, JobError
from transfer import errors

HTTP_BASE = 0x80190000
LOCAL_BASE = HRESULTS["E_LOCAL_FILE"]

SHORTAGES = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN}
"""The machine has no descriptor, memory or thread to spare now: nothing is wrong with the file."""

_RULES: dict[type[errors.TransferError], tuple[str, str, bool]] = {
    errors.BadReplyError: ("BG_E_INVALID_SERVER_RESPONSE", "REMOTE_FILE", False),
    errors.GarbledReplyError: ("ERROR_WINHTTP_INVALID_SERVER_RESPONSE", "GENERAL_TRANSPORT", True),
    errors.RangeUnsupportedError: ("BG_E_INSUFFICIENT_RANGE_SUPPORT", "REMOTE_FILE", False),
    errors.InvalidRangeError: ("BG_E_INVALID_RANGE", "REMOTE_FILE", False),
    errors.LoginPageError: ("BG_E_INVALID_SERVER_RESPONSE", "REMOTE_FILE", True),
    errors.RemoteChangedError: ("BG_E_REMOTE_FILE_CHANGED", "REMOTE_FILE", True),
    errors.UnexpectedSizeError: ("BG_E_VALIDATION_FAILED", "REMOTE_FILE", False),
    errors.DigestMismatchError: ("BG_E_VALIDATION_FAILED", "REMOTE_FILE", False),
    errors.TooLargeError: ("BG_E_MAX_DOWNLOAD_SIZE_LIMIT_REACHED", "REMOTE_FILE", False),
    errors.NameNotResolvedError: ("ERROR_WINHTTP_NAME_NOT_RESOLVED", "GENERAL_TRANSPORT", True),
    errors.ConnectFailedError: ("BG_E_CONNECT_FAILURE", "GENERAL_TRANSPORT", True),
    errors.ConnectionLostError: ("BG_E_CONNECTION_CLOSED", "GENERAL_TRANSPORT", True),
    errors.InvalidProxyError: ("BG_E_INVALID_PROXY_INFO", "GENERAL_TRANSPORT", False),
    errors.StalledError: ("ERROR_WINHTTP_TIMEOUT", "GENERAL_TRANSPORT", True),
}
_TLS = {
    "CERT_CN_INVALID": "ERROR_WINHTTP_SECURE_CERT_CN_INVALID",
    "CERT_DATE_INVALID": "ERROR_WINHTTP_SECURE_CERT_DATE_INVALID",
    "UNKNOWN_CA": "ERROR_WINHTTP_SECURE_INVALID_CA",
    "CERT_WRONG_USAGE": "ERROR_WINHTTP_SECURE_CERT_WRONG_USAGE",
    "CLIENT_CERT_NEEDED": "ERROR_WINHTTP_CLIENT_AUTH_CERT_NEEDED",
    "": "ERROR_WINHTTP_SECURE_FAILURE",
}
"""By the kind of a TlsFailedError: all final."""


@dataclass(frozen=True, slots=True)
class _Verdict:
    code: str
    hresult: int
    context: str
    is_transient: bool
    http_status: int | None = None
    retry_after: int | None = None


def failed(job: Job, file: File, error: errors.TransferError, *, has_moved: bool) -> Failed:
    """The outcome of a job whose `file` failed so; with a custom method every failure is final (§5.6).

    When several servers failed, one of them being worth another try makes it so for the job.
    """
    told, verdict = error, _verdict(error)
    for other in error.others:
        if not verdict.is_transient and _verdict(other).is_transient:
            told, verdict = other, _verdict(other)
    return Failed(
        _problem(file, told, verdict),
        transient=verdict.is_transient and job.properties.http_method == "GET",
        moved=has_moved or error.moved,
        retry_after=verdict.retry_after,
    )


def lost(file: File, error: errors.LocalFileError) -> JobError | None:
    """The error of a finished file whose temporary file is gone or was changed by somebody else; None = it is there."""
    is_lost = error.path == file.temporary_name and error.errno in {errno.ENOENT, errno.ESTALE}
    return _problem(file, error, _verdict(error)) if is_lost else None


def _problem(file: File, error: errors.TransferError, verdict: _Verdict) -> JobError:
    return JobError(
        code=verdict.code,
        hresult=verdict.hresult,
        context=verdict.context,
        message=str(error),
        file_index=file.index,
        remote_name=file.remote_name,
        local_name=file.local_name,
        http_status=verdict.http_status,
    )


def _verdict(error: errors.TransferError) -> _Verdict:
    match error:
        case errors.HttpStatusError(status=status, retry_after=retry_after):
            code, hresult = f"BG_E_HTTP_ERROR_{status}", HTTP_BASE + status
            return _Verdict(code, hresult, "REMOTE_FILE", is_transient_status(status), status, retry_after)
        case errors.RedirectRefusedError(status=status):
            code, hresult = f"BG_E_HTTP_ERROR_{status}", HTTP_BASE + status
            return _Verdict(code, hresult, "REMOTE_FILE", is_transient=False, http_status=status)
        case errors.TlsFailedError(kind=kind):
            return _Verdict(_TLS[kind], HRESULTS[_TLS[kind]], "GENERAL_TRANSPORT", is_transient=False)
        case errors.LocalFileError():
            code, hresult = local_code(error)
            return _Verdict(code, hresult, "LOCAL_FILE", is_transient=error.errno in SHORTAGES)
        case _:
            code, context, is_transient = _RULES[type(error)]
            return _Verdict(code, HRESULTS[code], context, is_transient)


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
