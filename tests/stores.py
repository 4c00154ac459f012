"""The two stores as tests use them: open, close and open again, or lose them as a killed process does."""

import shutil
from pathlib import Path
from typing import Protocol

from daemon.keys import KeySeal
from jobqueue.memory import MemoryStore
from jobqueue.store import SqliteStore, Store, open_store


class StoreKind(Protocol):
    """One kind of store and the place where its data is."""

    async def open(self) -> Store:
        """Open it with everything that was committed before."""
        ...

    async def crash(self, store: Store) -> None:
        """Lose an open store: the next `open` finds what a process killed at this moment leaves."""
        ...


class SqliteKind:
    """A database file in a directory of the test."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._life = 0

    @property
    def path(self) -> Path:
        return self._directory / f"life-{self._life}" / "queue.db"

    async def open(self) -> SqliteStore:
        self.path.parent.mkdir(exist_ok=True)
        return await open_store(str(self.path), KeySeal(bytes(32)))

    async def crash(self, store: Store) -> None:
        dead = self.path
        self._life += 1
        self.path.parent.mkdir()
        # before the close below can tidy up; the mark first, which is never ahead of the rest
        for name in ("queue.db.mark", "queue.db", "queue.db-wal"):
            if (dead.parent / name).exists():
                shutil.copy(dead.parent / name, self.path.parent / name)
        await store.close()


class MemoryKind:
    """The twin: its data is the object itself, which therefore outlives its closing here."""

    def __init__(self) -> None:
        self._store = MemoryStore()

    async def open(self) -> MemoryStore:
        return self._store

    async def crash(self, store: Store) -> None:
        await store.close()
