"""Why a transfer ended without its file. Families: the origin's fault, the network's, ours (a local file).

Every message says what could not be done, to what, and what was seen instead; never a header value or a query string.
"""

import errno
import os
from urllib.parse import urlsplit


def shown(url: str) -> str:
    """The part of a URL that may be shown: no userinfo, no query, no fragment."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "an address that cannot be parsed"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


class TransferError(Exception):
    """Root of the package. `moved`: bytes of this attempt landed in the part file before it failed.

    `others`: how the file's other URLs failed after this.
    """

    moved = False
    others: tuple["TransferError", ...] = ()


class OriginError(TransferError):
    """The server answered, and the answer is the problem."""


class HttpStatusError(OriginError):
    """The server answered with `status`; `retry_after` in seconds if it said so (RFC 9110 §10.2.3)."""

    def __init__(self, message: str, status: int, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


class BadReplyError(OriginError):
    """The reply breaks HTTP or does not answer what was asked."""


class GarbledReplyError(OriginError):
    """What came back is not HTTP at all, or its head cannot be parsed."""


class RangeUnsupportedError(OriginError):
    """Ranges were asked for and the server sends whole files only."""


class InvalidRangeError(OriginError):
    """A requested range lies outside the remote file."""


class LoginPageError(OriginError):
    """Something between us and the server answered with a page of its own (a captive portal)."""


class RemoteChangedError(OriginError):
    """The remote file keeps changing while it is fetched."""


class RedirectRefusedError(OriginError):
    """A redirect the policy forbids: `status` of the redirect, `target` it led to."""

    def __init__(self, message: str, status: int, target: str) -> None:
        super().__init__(message)
        self.status = status
        self.target = target


class UnexpectedSizeError(OriginError):
    """The remote file does not have the expected size."""


class DigestMismatchError(OriginError):
    """The bytes received do not have the expected digest."""


class TooLargeError(OriginError):
    """The file is larger than the job's maximum download size."""


class NetworkError(TransferError):
    """No answer, or the connection went away."""


class NameNotResolvedError(NetworkError):
    """The host name has no address (for now)."""


class ConnectFailedError(NetworkError):
    """No connection: refused, unreachable or timed out."""


class TlsFailedError(NetworkError):
    """No secure connection. `kind`: the flaw of the server's certificate (CERT_CN_INVALID, CERT_DATE_INVALID,
    UNKNOWN_CA, CERT_WRONG_USAGE), CLIENT_CERT_NEEDED when the server wants one of ours, or "" for everything else.
    """

    def __init__(self, message: str, kind: str = "") -> None:
        super().__init__(message)
        self.kind = kind


class ConnectionLostError(NetworkError):
    """The connection closed before the reply was complete."""


class StalledError(NetworkError):
    """The server went silent for longer than the stall timeout."""


class InvalidProxyError(TransferError):
    """The job's own proxy settings cannot be used."""


class LocalFileError(TransferError):
    """A local file operation failed: `errno` and `path` of it."""

    def __init__(self, message: str, errno: int, path: str) -> None:
        super().__init__(message)
        self.errno = errno
        self.path = path

    @classmethod
    def of(cls, verb: str, path: str, error: OSError) -> "LocalFileError":
        """`cannot <verb> <path>: <reason> (ENOSPC)` from an OSError."""
        number = error.errno or 0
        name = errno.errorcode.get(number, str(number))
        return cls(f"cannot {verb} {path}: {os.strerror(number)} ({name})", number, path)
