"""Temporary files of jobs that are over and could not be removed: on record, reported, tried again.

Each try is made with the rights of the job's last owner: at a start, and every hour while there are any.
"""

import logging
from collections.abc import Callable, Sequence
from math import inf
from typing import Protocol

from jobqueue.change import Change
from jobqueue.errors import StoreFailedError, StoreFullError
from jobqueue.job import Job, Owner
from jobqueue.queue import JobQueue
from jobqueue.transaction import Leftover

log = logging.getLogger(__name__)

TRY_AGAIN = 3600.0
"""Seconds between tries."""


class Discard(Protocol):
    """Removes temporary files with their owner's rights; may be repeated."""

    async def discard(self, owner: Owner, paths: Sequence[str]) -> Sequence[str]:
        """Remove the files for good; returns the paths that could not be removed."""
        ...


class Leftovers:
    """`on_news` is called when `next_try` came nearer."""

    def __init__(self, queue: JobQueue, files: Discard, on_news: Callable[[], None]) -> None:
        self.next_try = 0.0
        """Service time; inf = there are none."""
        self._queue = queue
        self._files = files
        self._on_news = on_news

    def note(self, change: Change, job: Job, paths: Sequence[str]) -> None:
        """Put on record what the job leaves behind, with the change that ends it."""
        if not paths:
            return
        log.warning("job %s: cannot delete temporary files: %s", job.id, ", ".join(paths))
        for path in paths:
            change.tx.put_leftover(Leftover(path, job.id, job.owner, change.wall))
        self.next_try = min(self.next_try, change.now + TRY_AGAIN)

    async def retry(self) -> None:
        """Try to remove all of them. One whose job is unknown is nobody's to remove without being asked."""
        self.next_try = inf
        try:
            found = await self._queue.read(lambda tx: tx.leftovers())
            await self.remove([leftover for leftover in found if leftover.owner is not None])
        except (StoreFullError, StoreFailedError) as error:
            log.error("cannot look after leftover temporary files, trying again: %s", error)
            self._later()
        except Exception:
            # what cannot be removed, for whatever reason, must not keep the service from running jobs
            log.exception("cannot remove leftover temporary files")
            self._later()

    async def remove(self, leftovers: Sequence[Leftover]) -> Sequence[Leftover]:
        """Try to remove these; returns those that stay on record."""
        paths: dict[Owner, list[str]] = {}
        for leftover in leftovers:
            if leftover.owner is not None:
                paths.setdefault(leftover.owner, []).append(leftover.path)
        left: set[str] = set()
        for owner, of_owner in paths.items():
            left.update(await self._files.discard(owner, of_owner))
        gone = [leftover for leftover in leftovers if leftover.owner is not None and leftover.path not in left]

        def forget(change: Change) -> None:
            for leftover in gone:
                change.tx.drop_leftover(leftover.path)

        if gone:
            await self._queue.change(forget)
        if left:
            self._later()
        return [leftover for leftover in leftovers if leftover not in gone]

    def _later(self) -> None:
        self.next_try = self._queue.clock.now() + TRY_AGAIN
        self._on_news()
