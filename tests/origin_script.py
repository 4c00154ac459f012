"""How one path of the lying origin behaves: every lie is an option of `Script`, and options combine.

Owns the options, which version of the file is present, and the request record. What a reply looks like is
tests/origin_reply.py, the socket side tests/origin.py.
"""

from dataclasses import dataclass, field
from typing import Literal

from tests.origin_auth import Auth
from tests.origin_content import Body, Content, Fixed, Spliced

__all__ = ["Content", "Request", "Script"]
NEW_SEED = 1_000_003
"""What the seed of a changed file differs by."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it was received; header names in lower case."""

    method: str
    path: str
    headers: dict[str, str]

    @property
    def range(self) -> str | None:
        return self.headers.get("range")

    @property
    def hop(self) -> int:
        """How far along a chain of redirects this request is."""
        number = self.path.rpartition("?hop=")[2]
        return int(number) if number.isdecimal() else 0


@dataclass(slots=True)
class Script:
    """What one path serves and how. Everything may be changed while the origin runs.

    Faults with a `_times` option happen that many times, then the path behaves; -1 = always. Values of header fields
    may contain {length} (of this reply's body), {size} (of the file), {base} (this server), {date+N} (in N seconds).
    """

    size: int = 0
    seed: int = 0
    body: bytes | None = None
    """These bytes instead of a pattern."""
    # What the head says
    etag: str | None = '"v1"'
    last_modified: str | None = "Wed, 01 Jan 2025 00:00:00 GMT"
    """`now` = the Date of the first reply, which makes it weak."""
    date: int | None = 0
    """Date is so many seconds ahead of the clock; None = no Date."""
    headers: dict[str, str] = field(default_factory=dict)
    """Further fields, or other values for the usual ones; an empty value leaves the field out."""
    more_fields: tuple[tuple[str, str], ...] = ()
    """Fields in addition to those, even of the same name."""
    digests: tuple[str, ...] = ()
    """Which of Repr-Digest, Content-Digest, Digest are sent."""
    digest_lies: int = 0
    """So many replies have wrong digests; -1 = all."""
    framing: Literal["length", "chunked", "close"] = "length"
    chunk_extension: bytes = b""
    trailers: bytes = b""
    bad_chunk_after: int | None = None
    """After so many bytes comes something that is no chunk size."""
    bad_chunk_times: int = 1
    http10: bool = False
    gzip: bool = False
    """The body is compressed and says so, although nobody asked."""
    # Before and around the head
    interim: tuple[int, ...] = ()
    """1xx replies in front of the real one."""
    interim_times: int = 1
    """The whole row of them so many times."""
    garbage_head: bytes = b""
    """This instead of a reply, and the connection closes."""
    garbage_times: int = -1
    filler_line: int = 0
    """One header line of so many bytes."""
    filler_fields: int = 0
    """So many bytes of header lines."""
    head_rate: float | None = None
    """Bytes of the head a second."""
    # Ranges
    no_range: bool = False
    """Every request gets the whole file with 200."""
    ignore_if_range: bool = False
    """A Range is served whatever If-Range says."""
    content_range: str | None = None
    """This Content-Range instead of the true one; empty = none at all."""
    range_shift: int = 0
    """A 206 starts this many bytes away from what was asked, and says so."""
    range_limit: int | None = None
    """A 206 brings at most so many bytes of what was asked."""
    range_status: int | None = None
    """Every Range is answered with this status, and no body."""
    multipart: bool = False
    """A 206 is multipart/byteranges."""
    unasked_part: int | None = None
    """A request without Range is answered with 206 and the first so many bytes."""
    part_headers: dict[str, str] = field(default_factory=dict)
    """Like `headers`, for replies to a Range only."""
    # Other answers
    status: int = 200
    """The whole file comes with this status."""
    statuses: list[int] = field(default_factory=list)
    """Answered in order, one a request and without a body, before the file is served."""
    gone_after: int | None = None
    """404 after so many requests."""
    retry_after: str | None = None
    redirect: str | None = None
    redirect_status: int = 302
    hops: int = 0
    """So many redirects of this path to itself (with a query) before the file is served."""
    portal_after: int | None = None
    """After so many requests somebody else answers: 200 with a page of HTML."""
    portal_times: int = 1
    portal_redirect: str | None = None
    """Somebody else answers with a redirect to his page instead."""
    auth: Auth | None = None
    rejects: tuple[str, ...] = ()
    """Requests with one of these header fields are answered with 400: it should not have come here."""
    # Broken bodies: positions count bytes of one reply's body
    drop_after: int | None = None
    """-1 = before the head."""
    drop_times: int = 1
    drop_by: Literal["close", "reset", "truncate"] = "close"
    """`truncate`: the TCP stream ends without the end of the TLS stream."""
    stall_after: int | None = None
    """-1 = before the head."""
    stall_times: int = 1
    short_by: int = 0
    """So many bytes less than the head promises, then the connection closes."""
    extra: bytes = b""
    """More than the head promises."""
    rate: int | None = None
    """Bytes a second."""
    # Versions
    change_after: int | None = None
    """After so many requests the file is another one: other bytes, other validators, `changed_size` bytes."""
    change_at: int | None = None
    """The first reply has the other one's bytes from this position on: it changed while it was being read."""
    change_every_time: bool = False
    """Every request sees another one."""
    change_keeps_validators: bool = False
    change_keeps_bytes: bool = False
    """The file only grows (or shrinks) to `changed_size`."""
    changed_size: int | None = None
    served: int = 0
    """Requests answered so far."""
    modified: str | None = None
    """What `now` came to."""

    @property
    def is_changed(self) -> bool:
        return self.change_every_time or (self.change_after is not None and self.served >= self.change_after)

    @property
    def original(self) -> Body:
        return Content(self.seed, self.size) if self.body is None else Fixed(self.body)

    @property
    def changed(self) -> Body:
        seed = self.seed + (0 if self.change_keeps_bytes else NEW_SEED) + (self.served if self.change_every_time else 0)
        return Content(seed, self.size if self.changed_size is None else self.changed_size)

    @property
    def content(self) -> Body:
        """The bytes of the present version."""
        if self.change_at is not None:
            return self.changed if self.served else Spliced(self.original, self.changed, self.change_at)
        return self.changed if self.is_changed else self.original

    @property
    def validators(self) -> tuple[str | None, str | None]:
        """ETag and Last-Modified of the present version."""
        last_modified = self.modified if self.last_modified == "now" else self.last_modified
        if not self.is_changed or self.change_keeps_validators:
            return self.etag, last_modified
        number = self.served if self.change_every_time else ""
        etag = None if self.etag is None else f'{self.etag[:-1]}-changed{number}"'
        return etag, None if last_modified is None else "Thu, 02 Jan 2025 00:00:00 GMT"

    def uses_up(self, name: str) -> bool:
        """One of the `_times` of that fault is due, and is gone now."""
        left: int = getattr(self, name)
        if left > 0:
            setattr(self, name, left - 1)
        return left != 0
