"""The newest events in memory, each made into its bytes once, whoever sends them. Reads and wakes nobody."""

import json
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from daemon.documents import Document
from daemon.documents import event as event_document
from jobqueue.job import EVERYBODY, Event
from jobqueue.transaction import EventQuery

SIZE = 2000
"""Events in memory; about half a KiB each. Who is further behind reads the store."""


@dataclass(frozen=True, slots=True)
class Line:
    """An event as it is sent; `frame` is its Server-Sent Event."""

    seq: int
    type: str
    job_id: str
    owner_uid: int
    frame: bytes

    @property
    def document(self) -> bytes:
        """Its JSON alone."""
        return self.frame.partition(b"\ndata: ")[2][:-2]


def line_of(event: Event) -> Line:
    """The event in its bytes."""
    return Line(event.seq, event.type, event.job_id, event.owner_uid, frame(event_document(event), event.seq))


def frame(document: Document, seq: int | None = None) -> bytes:
    """A Server-Sent Event; without a number it is no place to resume from."""
    head = "" if seq is None else f"id: {seq}\n"
    return f"{head}event: {document['type']}\ndata: {json.dumps(document, separators=(',', ':'))}\n\n".encode()


def is_wanted(line: Line, wanted: EventQuery) -> bool:
    """As the store answers the query, whatever its `after` and `limit`."""
    return (
        (wanted.owner_uid is None or line.owner_uid in {wanted.owner_uid, EVERYBODY})
        and (wanted.job_id is None or line.job_id == wanted.job_id)
        and (wanted.types is None or line.type in wanted.types)
    )


class Window:
    """Every event after number `start` up to `head`; nothing before the first `reset`."""

    def __init__(self) -> None:
        self._lines: list[Line] = []
        self.start = self.head = 0
        self.is_blank = True

    def blank(self) -> None:
        """Let go of everything: nobody looks."""
        self._lines = []
        self.start = self.head = 0
        self.is_blank = True

    def reset(self, head: int) -> None:
        """Begin after this number."""
        self._lines = []
        self.start = self.head = head
        self.is_blank = False

    def extend(self, lines: Sequence[Line], head: int) -> None:
        """What happened after `head`, and the number up to which that is all."""
        self._lines += lines
        self.head = head
        if len(self._lines) >= 2 * SIZE:
            self.start = self._lines[-SIZE - 1].seq
            del self._lines[:-SIZE]

    def has(self, seq: int) -> bool:
        """Everything after this number that was read is in here."""
        return not self.is_blank and seq >= self.start

    def after(self, seq: int) -> Iterator[Line]:
        """What came after this number, oldest first."""
        return islice(self._lines, bisect_right(self._lines, seq, key=lambda line: line.seq), None)
