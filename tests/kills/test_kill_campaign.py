"""The service is killed at many moments: what was acknowledged is there, and nothing is there twice or by half."""

import asyncio
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

from tests.kills import campaign, scenario
from tests.kills.fetches import CountingOrigin, Served, sent_again
from tests.kills.moments import KINDS, SIDES, Moments, count
from tests.kills.service import Nursery, Service
from tests.origin_content import Content

KILLS = 70
POINTS = 80
SEED = 4
RATE = 8 << 20
CHECKPOINT_INTERVAL = 2
GATHERED = 1 << 20
SIZE = 5 * CHECKPOINT_INTERVAL * RATE // 2


async def test_kills_at_any_moment_lose_nothing_and_leave_nothing(tmp_path: Path) -> None:
    figures = await campaign.run(tmp_path, kills=KILLS, seed=SEED)
    print(figures.table())  # noqa: T201 - the figures are what one wants to see (pytest -s, or when it fails)
    assert not figures.findings, figures.table()
    assert figures.kills.total() >= KILLS
    assert figures.completed
    assert figures.cancelled
    assert figures.again_by_kills
    assert max(figures.again_by_kills) <= campaign.MOST_AGAIN
    assert figures.again_per_transfer <= campaign.SYNC_BATCH
    await asyncio.to_thread(shutil.rmtree, tmp_path)  # some hundred MiB that are of use only when it failed


async def test_kills_before_and_after_each_sync_rename_and_commit_lose_nothing(tmp_path: Path) -> None:
    days = await scenario.run(tmp_path, seed=SEED, most=POINTS)
    print(days.table())  # noqa: T201
    assert not days.findings, days.table()
    assert {f"{side} {kind}" for side in SIDES for kind in KINDS if kind != "truncate"} <= days.reached.keys()


async def test_a_kill_costs_at_most_two_seconds_of_a_transfer(tmp_path: Path) -> None:
    """By one connection, with the settings that everybody has."""
    alone = {"BITSD_TRANSFER__CONNECTIONS_PER_FILE": "1"}
    async with CountingOrigin() as origin, Nursery() as nursery, Service(tmp_path, nursery, **alone) as service:
        await _killed_twice(origin, service, rate=RATE)
        again = sent_again(origin.fetches, {"/large": Served("/large", Content(0, SIZE))})
    assert [one.is_by_kill for one in again] == [True, True]
    assert max(one.size for one in again) <= CHECKPOINT_INTERVAL * RATE + GATHERED + campaign.ON_THE_WAY


async def test_a_kill_costs_no_more_when_a_file_comes_over_several_connections(tmp_path: Path) -> None:
    batch = 2 << 20
    several = {"BITSD_TRANSFER__CONNECTIONS_PER_FILE": "4", "BITSD_TRANSFER__SPLIT_SIZE": "0", "SYNC_SIZE": str(batch)}
    async with CountingOrigin() as origin, Nursery() as nursery, Service(tmp_path, nursery, **several) as service:
        await _killed_twice(origin, service, rate=RATE // 4)
        again = sum(fetch.sent for fetch in origin.fetches) - SIZE
        beyond = len(origin.fetches) * campaign.ON_THE_WAY  # what was sent when a connection had brought its part
    assert len(origin.fetches) >= 3 * 4
    assert again <= 2 * (2 * batch + GATHERED) + beyond


async def _killed_twice(origin: CountingOrigin, service: Service, *, rate: int) -> None:
    file = origin.file("/large", size=SIZE, rate=rate)
    job = await service.create(origin.url("/large"))
    for share in (2, 3):
        landed = SIZE * share // 4
        await service.until(job, lambda seen, landed=landed: seen["progress"]["bytes_transferred"] >= landed)  # type: ignore[misc]
        await service.kill()
        assert origin.cut()
        await service.start()
    await service.wait(job, "TRANSFERRED")
    await service.act(job, "complete")
    assert Path(service.target("/large")).read_bytes() == file.content.read()


@pytest.mark.parametrize("crash_at", ["commit:before:2", "rename:after:1"])
async def test_the_launcher_kills_itself_where_it_is_told_to(tmp_path: Path, crash_at: str) -> None:
    log = tmp_path / "moments"
    service = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.kills.launcher", "--socket", str(tmp_path / "s"), "--state-dir", str(tmp_path)),
        env=os.environ | {"CRASH_AT": crash_at, "MOMENTS_LOG": str(log)},
    )
    assert await service.wait() == -signal.SIGKILL
    kind, _, number = crash_at.split(":")
    assert count(log)[kind] == int(number)
    assert log.read_text().split()[-1] == kind


def test_the_launcher_changes_nothing_unless_it_is_told_to() -> None:
    assert Moments.of({}) is None
