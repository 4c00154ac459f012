"""What a kill, a stop and a changed server do to a running download."""

import asyncio
import hashlib
import os
import re
import signal
from pathlib import Path

import pytest

from tests.nginx import Nginx, running_nginx
from tests.origin import Origin
from tests.process import Bitsd, Document

SIZE = 32 * 2**20
RATE = "limit_rate 5m;"
BATCH = 15 * 2**20
"""Bytes that come in the two seconds between two syncs, and while one is under way."""


async def bytes_landed(bitsd: Bitsd, job: Document, at_least: int) -> int:
    """Wait for live progress to pass a mark."""
    job = await bitsd.until(job, lambda seen: seen["progress"]["bytes_transferred"] >= at_least)
    return int(job["progress"]["bytes_transferred"])


def digest(path: str | Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_a_download_goes_on_where_a_kill_or_a_stop_left_it(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "big").write_bytes(os.urandom(SIZE))
    with running_nginx(tmp_path, tmp_path / "www", server=RATE) as nginx:
        bitsd = Bitsd(tmp_path, BITSD_TRANSFER__CONNECTIONS_PER_FILE="1")
        async with bitsd:
            job = await bitsd.create(nginx.url("big"))
            landed = await bytes_landed(bitsd, job, SIZE // 4)
            await bitsd.signal(number)
            temporary = bitsd.downloads / bitsd.leftovers()[0]
            kept = temporary.stat().st_size
            assert landed <= kept < SIZE
            begun = kept if number == signal.SIGTERM else 0  # what was synced last before a kill is on record only
            await bitsd.start()
            await bitsd.wait(job, "TRANSFERRED")
            moves = await bitsd.moves(job)
            assert moves == ["QUEUED", "TRANSFERRING", "QUEUED", "TRANSFERRING", "TRANSFERRED"]
            await bitsd.act(job, "complete")
        second = nginx.log()[-1]
        start = int(second.partition('"bytes=')[2].partition("-")[0] or 0)
        assert begun <= start <= kept
        assert kept - start <= BATCH
        assert (" 206 " in second) == (start > 0)
        assert digest(bitsd.target("big")) == digest(tmp_path / "www" / "big")
        assert bitsd.leftovers() == []


def asked(nginx: Nginx) -> list[tuple[int, int]]:
    """What each request asked for: start and end."""
    found = re.findall(r'"bytes=(\d+)-(\d*)"', "\n".join(nginx.log()))
    return [(int(first), int(last) + 1 if last else SIZE) for first, last in found]


@pytest.mark.parametrize("take_over_size", ["-1", "0"])
async def test_a_file_in_segments_keeps_every_synced_piece_through_a_kill(tmp_path: Path, take_over_size: str) -> None:
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "big").write_bytes(os.urandom(SIZE))
    with running_nginx(tmp_path, tmp_path / "www", server="limit_rate 1m;") as nginx:
        settings = {"BITSD_TRANSFER__SPLIT_SIZE": "0", "BITSD_TRANSFER__TAKE_OVER_SIZE": take_over_size}
        bitsd = Bitsd(tmp_path, BITSD_TRANSFER__CONNECTIONS_PER_FILE="4", **settings)
        async with bitsd:
            job = await bitsd.create(nginx.url("big"))
            landed = await bytes_landed(bitsd, job, SIZE // 2)
            await bitsd.kill()
            before = len(asked(nginx))
            await bitsd.start()
            kept = (await bitsd.job(job))["progress"]["bytes_transferred"]
            assert landed - 4 * BATCH // 5 <= kept < SIZE
            await bitsd.wait(job, "TRANSFERRED", seconds=60)
            await bitsd.act(job, "complete")
        spans = asked(nginx)[before:]
        assert len(spans) > 3
        assert SIZE - sum(end - start for start, end in joined(spans[1:])) >= kept - BATCH
        assert digest(bitsd.target("big")) == digest(tmp_path / "www" / "big")
        assert bitsd.leftovers() == []


def joined(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same bytes, each once."""
    found: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


async def test_a_file_changed_on_the_server_meanwhile_is_fetched_anew(tmp_path: Path) -> None:
    served = tmp_path / "www" / "big"
    served.parent.mkdir()
    served.write_bytes(os.urandom(SIZE))
    with running_nginx(tmp_path, served.parent, server=RATE) as nginx:
        bitsd = Bitsd(tmp_path)
        async with bitsd:
            job = await bitsd.create(nginx.url("big"))
            await bytes_landed(bitsd, job, SIZE // 4)
            await bitsd.kill()
            served.write_bytes(os.urandom(SIZE))
            os.utime(served, (1_000_000_000, 1_000_000_000))
            await bitsd.start()
            await bitsd.wait(job, "TRANSFERRED")
            await bitsd.act(job, "complete")
        assert digest(bitsd.target("big")) == digest(served)


async def test_a_stop_ends_within_five_seconds_while_a_server_is_silent(tmp_path: Path) -> None:
    async with Origin() as origin:
        origin.file("/silent", size=1_000_000, stall_after=1000, stall_times=-1)
        bitsd = Bitsd(tmp_path, BITSD_TRANSFER__STALL_TIMEOUT="60")
        async with bitsd:
            job = await bitsd.create(origin.url("/silent"))
            await origin.stalled.wait()
            async with asyncio.timeout(5):
                assert await bitsd.signal(signal.SIGTERM) == 0
            await bitsd.start()
            assert (await bitsd.job(job))["state"] in {"QUEUED", "TRANSFERRING"}


async def test_jobs_survive_a_kill_as_they_were(tmp_path: Path) -> None:
    async with Origin() as origin:
        origin.file("/a", size=1000)
        origin.file("/busy", statuses=[500] * 100)
        bitsd = Bitsd(tmp_path)
        async with bitsd:
            suspended = await bitsd.create(origin.url("/a"), resume=False, description="kept")
            done = await bitsd.wait(await bitsd.create(origin.url("/a")), "TRANSFERRED")
            failed = await bitsd.wait(await bitsd.create(origin.url("/gone")), "ERROR")
            waiting = await bitsd.wait(await bitsd.create(origin.url("/busy")), "TRANSIENT_ERROR")
            await bitsd.kill()
            await bitsd.start()
            assert await bitsd.job(suspended) == suspended
            assert await bitsd.job(done) == done
            assert await bitsd.job(failed) == failed
            after = await bitsd.job(waiting)
            assert {**after, "waiting": None} == {**waiting, "waiting": None}
            assert after["waiting"]["reason"] == "retry_delay"


async def test_complete_publishes_what_was_transferred_before_a_kill(tmp_path: Path) -> None:
    async with Origin() as origin:
        file = origin.file("/a", size=100_000)
        bitsd = Bitsd(tmp_path)
        async with bitsd:
            job = await bitsd.wait(await bitsd.create(origin.url("/a")), "TRANSFERRED")
            await bitsd.kill()
            await bitsd.start()
            await bitsd.act(job, "complete")
            assert Path(bitsd.target("/a")).read_bytes() == file.content.read()


async def test_a_second_service_on_the_same_state_or_socket_is_refused(tmp_path: Path) -> None:
    async with Bitsd(tmp_path) as bitsd:
        for option, place in (("--socket", tmp_path / "other"), ("--state-dir", tmp_path / "other-state")):
            second = await bitsd.spawn(option, str(place))
            assert await second.wait() == 1
        assert "another bitsd is using the state directory" in bitsd.log
        assert "another bitsd is using the socket" in bitsd.log
        assert "Traceback" not in bitsd.log
        assert (await bitsd.call("GET", "/v1"))[0] == 200


async def test_a_stale_socket_is_replaced(tmp_path: Path) -> None:
    bitsd = Bitsd(tmp_path)
    async with bitsd:
        await bitsd.kill()
        assert Path(bitsd.socket).is_socket()
        await bitsd.start()
