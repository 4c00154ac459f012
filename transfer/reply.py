"""Judges a reply by its head: does its body continue what is on disk, or must the file start over, or is it an error?

A pure decision over what was asked and what was answered (RFC 9110 §13-15; spec/service.md §3.4, §5.1, §5.2, §5.7).
Refuses to read bodies and to touch files.
"""

import re
from dataclasses import dataclass
from typing import NoReturn

from transfer.dates import parse_http_date
from transfer.errors import BadReplyError, HttpStatusError, InvalidRangeError, RangeUnsupportedError, shown
from transfer.request import Validators
from transfer.segments import Span
from transfer.source import Ask, Head

CONTENT_RANGE = re.compile(r"bytes\s+(\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", re.ASCII | re.IGNORECASE)
NUMBER = re.compile(r"\d{1,18}", re.ASCII)
LONGEST_WAIT = 10 * 366 * 86_400
"""A Retry-After beyond this many seconds is nonsense and is not honoured."""


@dataclass(frozen=True, slots=True)
class Continue:
    """Take the body: its first byte is remote byte `start`, it has `length` bytes (None = until it ends)."""

    start: int
    length: int | None
    validators: Validators


@dataclass(frozen=True, slots=True)
class Restart:
    """Nothing of this reply or of the part file is of use: ask for the file from its start."""

    reason: str


def judge(ask: Ask, head: Head) -> Continue | Restart:
    """The verdict on `head` as the answer to `ask`.

    Raises BadReplyError, RangeUnsupportedError, InvalidRangeError or HttpStatusError.
    """
    if head.status in {200, 206}:
        _require_plain(ask, head)
    if head.status == 200:
        return _whole(ask, head)
    if head.status == 206:
        return _partial(ask, head)
    if head.status == 416 and ask.is_piece:
        raise InvalidRangeError(f"cannot fetch {shown(ask.url)}: a requested range lies outside the remote file")
    if head.status in {412, 416} and ask.span is not None:
        return Restart(f"the server answered {head.status}")
    if head.status in {204, 205, 304}:
        _refuse(ask, f"the server answered {head.status} to a plain request for the file")
    raise HttpStatusError(
        f"cannot fetch {shown(ask.url)}: the server answered {head.status}",
        head.status,
        parse_retry_after(head),
    )


def parse_retry_after(head: Head) -> int | None:
    """Seconds to wait by Retry-After (RFC 9110 §10.2.3); a past date is 0, nonsense is None."""
    text = head.get("retry-after")
    if text is None:
        return None
    if NUMBER.fullmatch(text):
        seconds = float(text)
    elif (moment := parse_http_date(text)) is not None:
        seconds = max(0.0, moment - head.received)
    else:
        return None
    return int(seconds) if seconds <= LONGEST_WAIT else None


def _require_plain(ask: Ask, head: Head) -> None:
    encoding = (head.get("content-encoding") or "identity").lower()
    if encoding not in {"", "identity"}:
        _refuse(ask, "the body has a content encoding although none was asked for")


def _whole(ask: Ask, head: Head) -> Continue | Restart:
    length = _content_length(head)
    seen = Validators(head.get("etag"), head.get("last-modified"), length)
    if ask.is_piece and is_changed(ask.validators, seen):
        return Restart("the file changed on the server")
    if ask.is_piece and not _is_all_of_it(ask.span, length):
        raise RangeUnsupportedError(f"cannot fetch ranges of {shown(ask.url)}: the server sends whole files only")
    return Continue(0, length, seen)


def _is_all_of_it(span: Span | None, length: int | None) -> bool:
    return span is not None and span.start == 0 and (span.end is None or span.end == length)


def _partial(ask: Ask, head: Head) -> Continue | Restart:
    if ask.span is None:
        _refuse(ask, "the server sent a part of the file although the whole was asked for")
    flaw = None
    found = CONTENT_RANGE.fullmatch(head.get("content-range") or "")
    if (head.get("content-type") or "").lower().startswith("multipart/byteranges"):
        flaw = "the server answered one range with a multipart body"
    elif found is None:
        flaw = "the server sent a part of the file without saying which"
    else:
        first, last = int(found[1]), int(found[2])
        total = None if found[3] == "*" else int(found[3])
        flaw = _flaw(ask.span, head, first, last, total)
        seen = Validators(head.get("etag"), head.get("last-modified"), total)
        if flaw is None and not is_changed(ask.validators, seen):
            return Continue(first, last + 1 - first, seen)
    if flaw is not None and ask.is_piece:
        _refuse(ask, flaw)
    return Restart(flaw or "the file changed on the server")


def _flaw(span: Span, head: Head, first: int, last: int, total: int | None) -> str | None:
    """What is wrong with a Content-Range as the answer to `span`."""
    if first != span.start:
        return "the server sent another part of the file than was asked for"
    if last < first or (total is not None and last >= total) or (span.end is not None and last >= span.end):
        return "the part of the file that the server sent ends in the wrong place"
    if span.end is None and total is None:
        return "the server does not say how long the file is"
    length = _content_length(head)
    if length is not None and length != last + 1 - first:
        return "the length of the reply contradicts its range"
    return None


def is_changed(known: Validators, seen: Validators) -> bool:
    """The reply with `seen` may be of another version than `known`, or no longer proves to be of the same."""
    if known.size is not None and seen.size is not None and known.size != seen.size:
        return True
    if known.etag is not None and seen.etag != known.etag:
        return True
    if known.last_modified is None or seen.last_modified == known.last_modified:
        return False
    # A 206 to If-Range need not repeat Last-Modified (RFC 9110 §15.3.7); the same strong ETag then is proof enough.
    return seen.last_modified is not None or known.strong != known.etag


def _content_length(head: Head) -> int | None:
    text = head.get("content-length")
    if text is None or head.get("transfer-encoding") is not None or not NUMBER.fullmatch(text):
        return None
    return int(text)


def _refuse(ask: Ask, why: str) -> NoReturn:
    raise BadReplyError(f"cannot fetch {shown(ask.url)}: {why}")
