"""The service on a machine that loses power: what was acknowledged is there, and nothing is there twice or by half."""

from pathlib import Path

import pytest

from tests.origin import Origin
from tests.powercut import campaign
from tests.powercut.machine import Drive, Machine

CUTS = 20
SEED = 4


async def test_power_cuts_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    figures = await campaign.run(tmp_path, cuts=CUTS, seed=SEED)
    print(figures.table())  # noqa: T201 - the figures are what one wants to see (pytest -s, or when it fails)
    assert not figures.findings, figures.table()
    assert figures.jobs > CUTS // 2
    assert figures.completed
    assert figures.twice
    assert max(figures.twice) <= campaign.SYNC_BATCH


async def test_the_first_job_of_a_new_machine_survives(tmp_path: Path) -> None:
    async with Origin() as origin, Drive(tmp_path) as drive:
        machine = Machine(tmp_path, drive)
        machine.downloads.mkdir()
        async with machine:
            job = await machine.create(origin.url("/a"), resume=False)
            await machine.lose_power(0, "strict")
            await machine.start()
            assert (await machine.job(job))["state"] == "SUSPENDED"


@pytest.mark.parametrize("size", [0, 100_000])
async def test_what_is_transferred_can_be_completed_after_a_power_cut(tmp_path: Path, size: int) -> None:
    async with Origin() as origin, Drive(tmp_path) as drive:
        file = origin.file("/a", size=size)
        machine = Machine(tmp_path, drive, **campaign.SETTINGS)
        machine.state.mkdir(mode=0o700)
        campaign.install(machine)
        async with machine:
            job = await machine.wait(await machine.create(origin.url("/a")), "TRANSFERRED")
            await machine.lose_power(0, "strict")
            await machine.start()
            await machine.act(job, "complete")
            await machine.lose_power(0, "strict")
            await machine.start()
            assert Path(machine.target("/a")).read_bytes() == file.content.read()


async def test_a_disk_that_does_not_sync_names_is_noticed(tmp_path: Path) -> None:
    figures = await campaign.run(tmp_path, cuts=5, seed=SEED, deaf=["fsyncdir"])
    assert figures.findings
