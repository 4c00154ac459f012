"""Clients of the service: the library (`Client` and its errors) and the command line (`bitsctl`, in `cli`).

Knows the wire models of `daemon.schema` and nothing else of the project, so it works against any running bitsd.
"""

from daemon.client.client import Client
from daemon.client.errors import (
    AccessDenied,
    BadReply,
    ClientError,
    ContentGone,
    EventsGone,
    IdempotencyConflict,
    InvalidArgument,
    InvalidState,
    LocalFileError,
    NotFound,
    RevisionConflict,
    ServiceUnavailable,
    ServiceUnreachable,
    StorageFull,
    TimedOut,
    TooMany,
)
from daemon.client.socket import find_socket

__all__ = [
    "AccessDenied",
    "BadReply",
    "Client",
    "ClientError",
    "ContentGone",
    "EventsGone",
    "IdempotencyConflict",
    "InvalidArgument",
    "InvalidState",
    "LocalFileError",
    "NotFound",
    "RevisionConflict",
    "ServiceUnavailable",
    "ServiceUnreachable",
    "StorageFull",
    "TimedOut",
    "TooMany",
    "find_socket",
]
