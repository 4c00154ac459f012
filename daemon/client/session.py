"""One run of `bitsctl`: which service, which form of output, and how a failure ends.

Owns the exit codes of api.md §5 and the only place where an error of the service becomes text. Every verb runs inside
`Session.run`, so none of them can end in a traceback because the service said no.
"""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import typer
from pydantic import BaseModel

from daemon.client.client import Client
from daemon.client.errors import (
    AccessDenied,
    ClientError,
    EventsGone,
    InvalidArgument,
    InvalidState,
    NotFound,
    ServiceUnavailable,
    TimedOut,
)
from daemon.client.output import clean

DONE, FAILED, USAGE, NO_JOB, DENIED, WRONG_STATE, UNREACHABLE, TIMED_OUT = range(8)
INTERRUPTED, BROKEN_PIPE = 130, 141

_EXIT_CODES: tuple[tuple[type[ClientError], int], ...] = (
    (InvalidArgument, USAGE),
    (NotFound, NO_JOB),
    (AccessDenied, DENIED),
    (InvalidState, WRONG_STATE),
    (ServiceUnavailable, UNREACHABLE),
    (TimedOut, TIMED_OUT),
)


@dataclass(frozen=True, slots=True)
class Session:
    """What the global options said."""

    socket_path: str | None
    is_json: bool

    def run(self, work: Callable[[Client], Awaitable[int]]) -> None:
        """Run a verb against the service and leave with its exit code."""
        try:
            code = asyncio.run(self._with_client(work))
            print(end="", flush=True)
        except ClientError as error:
            self.report(error)
            code = exit_code(error)
        except asyncio.CancelledError:
            code = INTERRUPTED
        except OSError as error:  # the service's are translated: this one is about our own output or directory
            code = _give_up_output(error)
        if code:
            raise typer.Exit(code)

    async def _with_client(self, work: Callable[[Client], Awaitable[int]]) -> int:
        async with Client(self.socket_path) as client:
            return await work(client)

    def emit(self, document: BaseModel | Mapping[str, Any]) -> None:
        """One document of the API on one line of stdout: what the service sent, nothing added."""
        if isinstance(document, BaseModel):
            document = document.model_dump(mode="json", exclude_unset=True)
        print(json.dumps(document))

    def say(self, text: str) -> None:
        """A line for a person, on stderr; none with --json."""
        if not self.is_json:
            print(text, file=sys.stderr, flush=True)

    def report(self, error: ClientError) -> None:
        """The error on stderr: as the problem document, or as one or two lines for a person."""
        if self.is_json:
            print(json.dumps(error.problem), file=sys.stderr)
            return
        print(f"bitsctl: {clean(error.detail)}{_facts(error)}", file=sys.stderr)
        if hint := _hint(error):
            print(f"  {hint}", file=sys.stderr)


def _give_up_output(error: OSError) -> int:
    """What is still buffered goes nowhere; a reader that left (`| head`) is no error to speak of."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    if isinstance(error, BrokenPipeError):
        return BROKEN_PIPE
    print(f"bitsctl: {error}", file=sys.stderr)
    return FAILED


def exit_code(error: ClientError) -> int:
    """The exit code that api.md §5 gives this kind of failure."""
    return next((code for kind, code in _EXIT_CODES if isinstance(error, kind)), FAILED)


def usage_error(detail: str) -> InvalidArgument:
    """A mistake in the command line that only this side can see."""
    return InvalidArgument.of("E_INVALIDARG", "0x80070057", 400, "Invalid argument", detail)


def _facts(error: ClientError) -> str:
    """Members of the problem that its sentence does not mention already, and the code to search for."""
    members = ((name, str(error.problem.get(name) or "")) for name in ("state", "field", "limit", "path"))
    told = [f"{name} {value}" for name, value in members if value and value not in error.detail]
    code = [] if error.code in error.detail or error.code in _SELF_EXPLAINING else [error.code]
    return f" ({clean(', '.join(told + code))})" if told or code else ""


def _hint(error: ClientError) -> str | None:
    """What to do about it, where the message does not say so."""
    if error.problem.get("candidates"):
        return "candidates: " + ", ".join(map(clean, error.problem["candidates"]))
    if isinstance(error, EventsGone) and error.oldest is not None:
        return f"ask for what is left with --after {error.oldest}"
    return _HINTS.get(error.code)


_SELF_EXPLAINING = frozenset({"SERVICE_UNREACHABLE", "TIMED_OUT", "BAD_REPLY", "E_INVALIDARG"})
_HINTS = {
    "BG_E_NOT_FOUND": "`bitsctl list` shows the jobs you can name; a finished job is found by its full id only",
    "E_ACCESSDENIED": "only the owner of a job or an administrator may do this",
    "BG_E_EMPTY": "give the job a file first: bitsctl add JOB URL",
    "REVISION_CONFLICT": "somebody changed the job in between: look with `bitsctl show JOB` and try again",
    "BG_E_TOO_MANY_JOBS_PER_USER": "finish or remove some with `bitsctl complete`, `bitsctl cancel` or `bitsctl reset`",
}
