"""What is known of servers for a while, and how many connections there are and may be. Pure; `now` in seconds."""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
from urllib.parse import urlsplit

MEMORY = 600.0
"""Seconds."""
MOST_HOSTS = 1000


@dataclass(slots=True)
class Room:
    """Connections that may be open together; `limit` 0 = any number. Those that are waited for count too."""

    limit: int = 0
    used: int = 0

    @property
    def left(self) -> float:
        """How many more there may be; below zero, somebody waits."""
        return self.limit - self.used if self.limit else inf

    @contextmanager
    def taken(self) -> Iterator[None]:
        """One more for the block's duration."""
        self.used += 1
        try:
            yield
        finally:
            self.used -= 1


class Hosts:
    """By origin: how many connections were best for one file, and the room there is for all of them."""

    def __init__(self, limit: int = 0) -> None:
        self._limit = limit
        self._rooms: dict[str, Room] = {}
        self._best: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def room(self, url: str) -> Room:
        """Of the server of `url`."""
        return self._rooms.get(_origin(url)) or Room(self._limit)

    @contextmanager
    def connection(self, url: str) -> Iterator[None]:
        """There is one more to the server of `url`, or will be."""
        origin = _origin(url)
        room = self._rooms.setdefault(origin, Room(self._limit))
        try:
            with room.taken():
                yield
        finally:
            if not room.used:
                self._rooms.pop(origin, None)

    def best(self, url: str, now: float) -> int | None:
        """How many connections were best lately; None = not known."""
        at, count = self._best.get(_origin(url), (0.0, 0))
        return count if count and now - at < MEMORY else None

    def learn(self, url: str, count: int, now: float) -> None:
        """So many were best."""
        origin = _origin(url)
        self._best[origin] = (now, count)
        self._best.move_to_end(origin)
        if len(self._best) > MOST_HOSTS:
            self._best.popitem(last=False)


def _origin(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
