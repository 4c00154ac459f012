"""What holds for every test of the suite."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from blockbuster import BlockBuster

from jobqueue.store import Store
from tests.stores import MemoryKind, SqliteKind, StoreKind

HERE = Path(__file__).parent
REAL_PROCESSES = (HERE / "acceptance", HERE / "benchmarks")
"""Tests of the service in its own process: nothing of it runs on their loop."""

# The command line may block: it serves one person. The service and its parts may not, ever.
_guard = BlockBuster(["daemon", "jobqueue", "transfer"], excluded_modules=["daemon.client"])


def pytest_configure() -> None:
    # pytest-asyncio asks for "the current loop" before its first test; unless told that there is none, Python makes one
    # that nobody closes, and with warnings as errors the whole run fails at its end (depending on the order of tests).
    asyncio.set_event_loop(None)


@pytest.fixture(autouse=True)
def no_blocking_calls(request: pytest.FixtureRequest) -> Iterator[None]:
    """A blocking call on the event loop is an error wherever it comes from."""
    if any(directory in request.path.parents for directory in REAL_PROCESSES):
        yield
        return
    _guard.activate()
    try:
        yield
    finally:
        _guard.deactivate()


@pytest.fixture(params=["sqlite", "memory"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> StoreKind:
    """Both stores, one after the other: what holds for one holds for its twin."""
    return SqliteKind(tmp_path) if request.param == "sqlite" else MemoryKind()


@pytest_asyncio.fixture
async def store(stores: StoreKind) -> AsyncIterator[Store]:
    """An open store of either kind."""
    opened = await stores.open()
    yield opened
    await opened.close()
