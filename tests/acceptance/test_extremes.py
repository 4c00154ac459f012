"""Replies of absurd size: the right verdict, and the service needs no more memory for them than for any other."""

import gzip
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.acceptance.corpus import ENVIRONMENT
from tests.origin import Origin
from tests.process import Bitsd

GIB = 2**30
MOST_GROWTH = 40.0
"""MiB of memory over what an idle service needs."""


@pytest_asyncio.fixture
async def bitsd(tmp_path: Path) -> AsyncIterator[Bitsd]:
    async with Bitsd(tmp_path, **ENVIRONMENT) as service:
        yield service


@pytest_asyncio.fixture
async def origin() -> AsyncIterator[Origin]:
    async with Origin() as server:
        yield server


def peak(bitsd: Bitsd) -> float:
    """The most MiB that the process ever needed."""
    status = Path(f"/proc/{bitsd.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


async def fetch(bitsd: Bitsd, url: str, *states: str, seconds: float = 60) -> tuple[dict[str, Any], float]:
    """The job when it is in one of the states, and by how much the service has grown since."""
    before = peak(bitsd)
    job = await bitsd.create(url, priority="FOREGROUND", minimum_retry_delay=1)
    job = await bitsd.wait(job, *states, seconds=seconds)
    return job, peak(bitsd) - before


@pytest.mark.timeout(300)
async def test_a_file_of_five_gib_that_breaks_off_near_its_end(bitsd: Bitsd, origin: Origin) -> None:
    size = 5 * GIB
    script = origin.file("/large", size=size, drop_after=size - 1_000_000)
    job, growth = await fetch(bitsd, origin.url("/large"), "TRANSFERRED", "ERROR", seconds=240)
    assert job["progress"]["bytes_transferred"] == size, job["error"]
    await bitsd.act(job, "complete")
    path = bitsd.downloads / "large"
    try:
        assert path.stat().st_size == size
        with path.open("rb") as file:
            for start in (0, 2 * GIB - 1000, 4 * GIB - 1000, size - 1_001_000, size - 2000):
                file.seek(start)
                assert file.read(2000) == script.content.read(start, start + 2000)
    finally:
        path.unlink()  # old temporary directories are kept for a while
    assert origin.ranges("/large")[0] is None
    assert (origin.ranges("/large")[1] or "").startswith(f"bytes={size - 1_000_000}")
    assert growth < MOST_GROWTH


async def test_two_hundred_redirects_end_at_the_eleventh(bitsd: Bitsd, origin: Origin) -> None:
    origin.file("/far", size=10, hops=200)
    job, growth = await fetch(bitsd, origin.url("/far"), "ERROR", "TRANSFERRED")
    assert job["error"]["code"] == "BG_E_HTTP_ERROR_302"
    assert len(origin.requests) == 11
    assert growth < MOST_GROWTH


@pytest.mark.parametrize("option", ["filler_fields", "filler_line"])
async def test_a_hundred_megabytes_of_head(bitsd: Bitsd, origin: Origin, option: str) -> None:
    origin.file("/head", **{"size": 10, option: 100_000_000})
    job, growth = await fetch(bitsd, origin.url("/head"), "TRANSIENT_ERROR", "ERROR", "TRANSFERRED")
    assert job["state"] == "TRANSIENT_ERROR"
    assert job["error"]["code"] == "ERROR_WINHTTP_INVALID_SERVER_RESPONSE"
    assert growth < MOST_GROWTH


async def test_a_gzip_bomb_is_not_even_read(bitsd: Bitsd, origin: Origin) -> None:
    tenth = gzip.compress(bytes(GIB // 10), compresslevel=1)
    origin.file("/bomb", body=tenth * 100, headers={"Content-Encoding": "gzip"})  # members in a row are one stream
    job, growth = await fetch(bitsd, origin.url("/bomb"), "ERROR", "TRANSFERRED", "TRANSIENT_ERROR")
    assert job["error"]["code"] == "BG_E_INVALID_SERVER_RESPONSE"
    assert job["state"] == "ERROR"
    assert job["progress"]["bytes_transferred"] == 0
    assert growth < MOST_GROWTH
