"""Which of a file's URLs is asked next when one fails: a pure list of turns, no I/O.

Each URL has one turn in an attempt; bytes that turned out wrong are worth a second one even of the only URL.
"""

from collections.abc import Iterable, Sequence

from transfer.errors import DigestMismatchError, TransferError, UnexpectedSizeError

WRONG_BYTES = (DigestMismatchError, UnexpectedSizeError)
"""The server's answer is complete and not the expected file: what came of it is thrown away."""


class Failover:
    """Turns of `urls`, the one that the bytes on disk came from first."""

    def __init__(self, urls: Sequence[str], first: str | None = None) -> None:
        self._failures: list[TransferError] = []
        self._left = list(dict.fromkeys(urls))
        if first in self._left:
            self._left.remove(first)
            self._left.insert(0, first)
        self._is_alone = len(self._left) == 1
        self.url = self._left.pop(0)
        """Whose turn it is."""

    def add(self, urls: Iterable[str]) -> None:
        """More places for the same bytes, after those that are known."""
        known = {self.url, *self._left}
        fresh = [url for url in urls if url not in known]
        self._left += fresh
        self._is_alone = self._is_alone and not fresh

    def next(self, error: TransferError) -> None:
        """`url` failed by `error`: go on to the next. Raises the first failure, with all others, when there is none."""
        self._failures.append(error)
        if self._is_alone and len(self._failures) == 1 and isinstance(error, WRONG_BYTES):
            return
        if not self._left:
            first, *others = self._failures
            first.others = tuple(others)
            raise first
        self.url = self._left.pop(0)
