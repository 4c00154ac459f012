"""The store, watched: whether it takes changes at the moment, said once when that changes."""

import logging
from collections.abc import Callable
from typing import TypeVar

from jobqueue.errors import StoreFailedError, StoreFullError
from jobqueue.store import Store
from jobqueue.transaction import Transaction

log = logging.getLogger(__name__)

T = TypeVar("T")
ROOM = 1 << 16
"""Bytes that a store has room for when it is not full."""


class WatchedStore:
    """Reads and writes as the Store in it does."""

    def __init__(self, store: Store) -> None:
        self.trouble: StoreFullError | StoreFailedError | None = None
        """Why it could not take a change; over when `prove` finds that it can."""
        self._store = store
        self._watchers: list[Callable[[], None]] = []

    def watch(self, told: Callable[[], None]) -> None:
        """Call `told` whenever `trouble` begins, changes or is over."""
        self._watchers.append(told)

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """Raises StoreFullError, StoreFailedError."""
        try:
            return await self._store.write(work)
        except (StoreFullError, StoreFailedError) as error:
            self._note(error)
            raise

    async def read(self, work: Callable[[Transaction], T]) -> T:
        """Raises StoreFailedError."""
        try:
            return await self._store.read(work)
        except StoreFailedError as error:
            self._note(error)
            raise

    async def prove(self) -> None:
        """See whether the trouble is over: whether there is room for more than the smallest change.

        Raises StoreFullError, StoreFailedError.
        """
        for room in ("x" * ROOM, ""):
            await self.write(lambda tx, room=room: tx.set_meta("room", room))  # type: ignore[misc]
        self._note(None)

    def _note(self, error: StoreFullError | StoreFailedError | None) -> None:
        if type(error) is type(self.trouble):
            return
        self.trouble = error
        if error is None:
            log.info("the queue's store takes changes again")
        else:
            log.error("%s; until it can, every change is refused and transfers go on without being recorded", error)
        for told in self._watchers:
            told()
