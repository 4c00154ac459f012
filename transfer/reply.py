"""Judges a reply by its head: does its body continue what is on disk, or must the file start over, or is it an error?

A pure decision over what was asked and what was answered (RFC 9110 §13-15; spec/service.md §3.4, §5.1, §5.2, §5.7).
Refuses to read bodies and to touch files. Which errors are worth another try is daemon/dispatch/outcome.py.
"""

import re
from dataclasses import dataclass

from transfer.dates import parse_http_date
from transfer.errors import (
    BadReplyError,
    HttpStatusError,
    InvalidRangeError,
    LoginPageError,
    RangeUnsupportedError,
    shown,
)
from transfer.request import Validators
from transfer.segments import Span
from transfer.source import Ask, Head
from transfer.version import content_length, is_changed, is_proven, is_whole_number, validators_of

CONTENT_RANGE = re.compile(r"bytes[ \t]+(\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", re.ASCII | re.IGNORECASE)
UNSATISFIED = re.compile(r"bytes[ \t]+\*/(\d{1,18})", re.ASCII | re.IGNORECASE)
LONGEST_WAIT = 10 * 366 * 86_400
"""A Retry-After beyond this many seconds is nonsense and is not honoured."""
LOGIN_PAGE = frozenset({"text/html", "application/xhtml+xml"})


@dataclass(frozen=True, slots=True)
class Continue:
    """The body goes on from what is on disk; its first `skip` bytes are there already.

    `length`: bytes the body has, None = until it ends.
    """

    length: int | None
    validators: Validators
    skip: int = 0


@dataclass(frozen=True, slots=True)
class Fresh:
    """The body is the whole file from its start; what is on disk is void."""

    length: int | None
    validators: Validators


@dataclass(frozen=True, slots=True)
class Complete:
    """Every byte of the remote file is on disk already."""

    validators: Validators


@dataclass(frozen=True, slots=True)
class Restart:
    """Nothing of this reply or of the part file is of use: ask for the file from its start."""

    reason: str


Verdict = Continue | Fresh | Complete | Restart


def judge(ask: Ask, head: Head) -> Verdict:
    """The verdict on `head` as the answer to `ask`.

    Raises BadReplyError, GarbledReplyError, RangeUnsupportedError, InvalidRangeError, LoginPageError, HttpStatusError.
    """
    if head.status in {200, 206}:
        _require_plain(ask, head)
    match head.status:
        case 200:
            return _whole(ask, head)
        case 206:
            return _partial(ask, head)
        case 416 if ask.is_piece:
            raise InvalidRangeError(f"cannot fetch {shown(ask.url)}: a requested range lies outside the remote file")
        case 416 if ask.span is not None:
            return _unsatisfied(ask, ask.span, head)
        case 412 if ask.span is not None:
            return Restart("the server answered 412")
        case 204 | 205 | 304:
            raise _bad(ask, f"the server answered {head.status} to a plain request for the file")
        case status:
            message = f"cannot fetch {shown(ask.url)}: the server answered {status}"
            raise HttpStatusError(message, status, parse_retry_after(head))


def parse_retry_after(head: Head) -> int | None:
    """Seconds to wait by Retry-After (RFC 9110 §10.2.3); a past date is 0, nonsense is None."""
    text = head.get("retry-after")
    if text is None:
        return None
    if is_whole_number(text):
        seconds = float(text)
    elif (moment := parse_http_date(text)) is not None:
        said = parse_http_date(head.get("date") or "")
        seconds = max(0.0, moment - (head.received if said is None else said))  # by one clock: the server's own
    else:
        return None
    return int(seconds) if seconds <= LONGEST_WAIT else None


def _require_plain(ask: Ask, head: Head) -> None:
    encodings = ",".join(head.get_all("content-encoding")).lower().split(",")
    if {encoding.strip() for encoding in encodings} - {"", "identity"}:
        raise _bad(ask, "the body has a content encoding although none was asked for")


def _whole(ask: Ask, head: Head) -> Verdict:
    """200: the whole file, whatever was asked."""
    length = content_length(head)
    seen = validators_of(head, length)
    known = ask.validators
    if seen.media_type in LOGIN_PAGE and known.media_type not in {None, *LOGIN_PAGE} and not is_proven(known, seen):
        raise LoginPageError(f"cannot fetch {shown(ask.url)}: a web page came instead of the file (a login page?)")
    if ask.is_piece:
        if is_changed(known, seen):
            return Restart("the file changed on the server")
        if not _is_all_of_it(ask.span, length):
            raise RangeUnsupportedError(f"cannot fetch ranges of {shown(ask.url)}: the server sends whole files only")
        return Continue(length, seen)
    if ask.span is not None and is_proven(known, seen):
        return Continue(length, seen, skip=ask.span.start)
    return Fresh(length, seen)


def _is_all_of_it(span: Span | None, length: int | None) -> bool:
    return span is not None and span.start == 0 and (span.end is None or span.end == length)


def _partial(ask: Ask, head: Head) -> Verdict:
    """206: only of use if it is exactly the part that was asked for, of the version that is on disk."""
    if ask.span is None:
        raise _bad(ask, "the server sent a part of the file although the whole was asked for")
    flaw = None
    found = CONTENT_RANGE.fullmatch(head.get("content-range") or "")
    if (head.get("content-type") or "").lower().startswith("multipart/byteranges"):
        flaw = "the server answered one range with a multipart body"
    elif found is None or len(head.get_all("content-range")) > 1:
        flaw = "the server sent a part of the file without saying which"
    else:
        first, last = int(found[1]), int(found[2])
        total = None if found[3] == "*" else int(found[3])
        flaw = _flaw(ask.span, head, first, last, total)
        if flaw is None:
            seen = validators_of(head, total)
            if is_changed(ask.validators, seen):
                return Restart("the file changed on the server")
            return Continue(last + 1 - first, seen)
    if ask.is_piece:
        raise _bad(ask, flaw)
    return Restart(flaw)


def _flaw(span: Span, head: Head, first: int, last: int, total: int | None) -> str | None:
    """What is wrong with a Content-Range as the answer to `span`."""
    if first != span.start:
        return "the server sent another part of the file than was asked for"
    if last < first or (total is not None and last >= total) or (span.end is not None and last >= span.end):
        return "the part of the file that the server sent ends in the wrong place"
    if span.end is None and total is None:
        return "the server does not say how long the file is"
    length = content_length(head)
    if length is not None and length != last + 1 - first:
        return "the length of the reply contradicts its range"
    return None


def _unsatisfied(ask: Ask, span: Span, head: Head) -> Verdict:
    """416 to the rest of a file: there is no rest, or there is another file now."""
    found = UNSATISFIED.fullmatch(head.get("content-range") or "")
    seen = validators_of(head, None if found is None else int(found[1]))
    if ask.validators.size is None and seen.size == span.start and seen.etag and is_proven(ask.validators, seen):
        return Complete(seen)
    return Restart("the server answered 416")


def _bad(ask: Ask, why: str) -> BadReplyError:
    return BadReplyError(f"cannot fetch {shown(ask.url)}: {why}")
