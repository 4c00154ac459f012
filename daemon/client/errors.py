# ruff: noqa: N818 - named after what happened, as the service names it
"""What can go wrong between a client and the service, as exceptions that carry the service's own code.

Owns the map from a problem document (api.md §1) to a class, and the two failures the client makes itself: the service
cannot be reached, and the caller's patience ended. Knows nothing of HTTP libraries or of what is printed.
"""

from collections.abc import Mapping
from typing import Any, Self


class ClientError(Exception):
    """Root of all. `problem` is the document as it came, unknown members included."""

    def __init__(self, problem: Mapping[str, Any]) -> None:
        self.problem = dict(problem)
        self.code = str(problem.get("code", "E_FAIL"))
        self.hresult = str(problem.get("hresult", "0x80004005"))
        self.status = int(problem.get("status", 500))
        self.detail = str(problem.get("detail") or problem.get("title") or self.code)
        super().__init__(f"{self.detail} ({self.code})")

    @classmethod
    def of(cls, code: str, hresult: str, status: int, title: str, detail: str, **more: object) -> Self:
        """An error that this side found, in the form the service would have given it."""
        head = {"type": "about:blank", "title": title, "status": status, "detail": detail}
        return cls({**head, "code": code, "hresult": hresult, **more})


class InvalidArgument(ClientError):
    """The request itself is wrong (400): a field, a value, a range, a path. `problem["field"]` names it when known."""


class AccessDenied(ClientError):
    """The job belongs to somebody else, or only an administrator may do this (403)."""


class NotFound(ClientError):
    """No such job or file, or it has left the history (404)."""


class InvalidState(ClientError):
    """Not possible in the job's present state (409). `problem["state"]` says which state that is."""


class RevisionConflict(InvalidState):
    """If-Match named a revision that is no longer the job's (409)."""


class IdempotencyConflict(InvalidState):
    """The Idempotency-Key was used before with another request (409)."""


class LocalFileError(ClientError):
    """A file could not be put under its name at Complete (409). `problem` has `errno` and `path`."""


class EventsGone(ClientError):
    """The events asked for have been dropped (410). `oldest` is the number to ask from, if it was told."""

    @property
    def oldest(self) -> int | None:
        value = self.problem.get("oldest")
        return value if isinstance(value, int) else None


class ContentGone(ClientError):
    """The bytes of a file went away (410), or changed while they were read: what came so far is not the file."""

    @classmethod
    def broken(cls) -> Self:
        detail = "the file broke off: it is being fetched anew, its job went away, or the service stopped"
        return cls.of("CONTENT_GONE", "0xA0D00007", 410, "Content gone", detail)


class TooMany(ClientError):
    """A limit on jobs, files or ranges is reached (429). `problem["limit"]` is the limit."""


class StorageFull(ClientError):
    """The service has no space for its queue (507)."""


class ServiceUnavailable(ClientError):
    """The service is there and does not take requests: it is starting or stopping (503)."""


class ServiceUnreachable(ServiceUnavailable):
    """Nobody answers on the socket, or the connection broke. A change under way may or may not have happened."""

    @classmethod
    def at(cls, path: str, reason: str) -> Self:
        return cls.of(
            "SERVICE_UNREACHABLE",
            "0x800706BA",
            503,
            "Service unreachable",
            f"cannot reach bitsd at {path}: {reason}",
            path=path,
        )


class TimedOut(ClientError):
    """What was waited for did not happen in the time given."""

    @classmethod
    def after(cls, seconds: float, detail: str) -> Self:
        return cls.of("TIMED_OUT", "0x800705B4", 504, "Timed out", detail, timeout=seconds)


class BadReply(ClientError):
    """What came back is not what this API says: another program or another version sits on the socket."""

    @classmethod
    def because(cls, path: str, reason: str) -> Self:
        detail = f"cannot understand what answers at {path}: {reason}"
        return cls.of("BAD_REPLY", "0x8000FFFF", 502, "Not a reply of bitsd", detail, path=path)


_BY_CODE: dict[str, type[ClientError]] = {
    "REVISION_CONFLICT": RevisionConflict,
    "IDEMPOTENCY_CONFLICT": IdempotencyConflict,
    "E_LOCAL_FILE": LocalFileError,
    "CONTENT_GONE": ContentGone,
}
_BY_STATUS: dict[int, type[ClientError]] = {
    400: InvalidArgument,
    403: AccessDenied,
    404: NotFound,
    409: InvalidState,
    410: EventsGone,
    413: InvalidArgument,
    416: InvalidArgument,
    422: InvalidArgument,
    429: TooMany,
    503: ServiceUnavailable,
    507: StorageFull,
}


def from_problem(problem: Mapping[str, Any]) -> ClientError:
    """The exception for a problem document: by its code where that says more, else by its HTTP status."""
    code, status = str(problem.get("code")), int(problem.get("status", 500))
    kind = _BY_CODE.get(code) or _BY_STATUS.get(status, ClientError)
    return kind(problem)
