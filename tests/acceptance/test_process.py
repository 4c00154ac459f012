"""The process itself: how it starts, what it refuses, what a reload takes over."""

import json
import os
import signal
from pathlib import Path

from tests.origin import Origin
from tests.process import Bitsd


async def ended(bitsd: Bitsd, *arguments: str) -> tuple[int, str]:
    """Run the process to its end: exit code and output."""
    process = await bitsd.spawn(*arguments)
    return await process.wait(), bitsd.log


async def test_a_misspelt_key_stops_the_start_and_is_named_with_the_nearest_one(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[scheduler]\nbackground_slotz = 2\n")
    code, log = await ended(Bitsd(tmp_path), "--config", str(tmp_path / "config.toml"))
    assert code == 2
    assert "[scheduler] background_slotz" in log
    assert "did you mean background_slots?" in log
    assert "Traceback" not in log


async def test_a_state_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file, not a directory")
    code, log = await ended(Bitsd(tmp_path))
    assert code == 1
    assert f"cannot make the directory {tmp_path / 'state'}" in log
    assert "Traceback" not in log


async def test_a_file_in_the_place_of_the_socket_is_left_alone(tmp_path: Path) -> None:
    bitsd = Bitsd(tmp_path)
    Path(bitsd.socket).write_text("precious")
    code, log = await ended(bitsd)
    assert code == 1
    assert "not a socket" in log
    assert Path(bitsd.socket).read_text() == "precious"


async def test_an_environment_in_which_another_package_is_called_daemon_is_refused(tmp_path: Path) -> None:
    info = tmp_path / "path" / "intruder-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: intruder\nVersion: 1.0\n")
    (info / "top_level.txt").write_text("daemon\n")
    code, log = await ended(Bitsd(tmp_path, PYTHONPATH=str(tmp_path / "path")))
    assert code == 1
    assert "intruder" in log


async def test_uvloop_is_used_where_it_is_installed(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    lines = ["import asyncio, pathlib", "def new_event_loop():", "    pathlib.Path(__file__ + '.used').touch()"]
    (tmp_path / "lib" / "uvloop.py").write_text("\n".join([*lines, "    return asyncio.new_event_loop()"]))
    async with Bitsd(tmp_path, PYTHONPATH=f"{tmp_path / 'lib'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"):
        assert (tmp_path / "lib" / "uvloop.py.used").exists()


async def test_a_reload_takes_over_slots_limits_and_retry_rules_and_outlives_a_mistake(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text("[scheduler]\nbackground_slots = 1\n[limits]\nfiles_per_job = 7\n")
    bitsd = Bitsd(tmp_path, BITSD_TRANSFER__STALL_TIMEOUT="60")
    bitsd.arguments = ("--config", str(config))
    async with Origin() as origin, bitsd:
        origin.file("/a", size=100, stall_after=10, stall_times=-1)
        first = await bitsd.create(origin.url("/a"))
        await origin.stalled.wait()
        second = await bitsd.create(origin.url("/a"))
        assert (await bitsd.job(second))["waiting"]["reason"] == "slots"

        config.write_text("[scheduler]\nbackground_slots = 1\nnonsense")
        assert bitsd.process is not None
        bitsd.process.send_signal(signal.SIGHUP)
        assert (await bitsd.ok("GET", "/v1"))["limits"]["files_per_job"] == 7

        config.write_text("[scheduler]\nbackground_slots = 2\n[limits]\nfiles_per_job = 8\n")
        bitsd.process.send_signal(signal.SIGHUP)
        await bitsd.wait(second, "TRANSFERRING")
        assert (await bitsd.ok("GET", "/v1"))["limits"]["files_per_job"] == 8
        assert (await bitsd.job(first))["state"] == "TRANSFERRING"
        assert "kept the configuration as it was" in bitsd.log


async def test_the_log_can_be_json_and_shows_no_query_string(tmp_path: Path) -> None:
    settings = {"BITSD_DAEMON__LOG_FORMAT": "json", "BITSD_DAEMON__LOG_LEVEL": "debug"}
    async with Origin() as origin, Bitsd(tmp_path, **settings) as bitsd:
        origin.file("/a", statuses=[404])
        job = await bitsd.create(origin.url("/a?token=s3cret"))
        job = await bitsd.wait(job, "ERROR")
        assert "s3cret" not in job["error"]["message"]
        await bitsd.signal(signal.SIGTERM)
        lines = [json.loads(line) for line in bitsd.log.splitlines()]
        assert {"time", "level", "logger", "message"} <= set(lines[0])
        assert "s3cret" not in bitsd.log


async def test_state_and_socket_are_closed_to_others(tmp_path: Path) -> None:
    async with Bitsd(tmp_path) as bitsd:
        assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
        assert (tmp_path / "state" / "queue.sqlite").stat().st_mode & 0o777 == 0o600
        expected = 0o666 if os.geteuid() == 0 else 0o600
        assert Path(bitsd.socket).stat().st_mode & 0o777 == expected


async def test_an_ephemeral_service_does_the_job_and_writes_no_state(tmp_path: Path) -> None:
    bitsd = Bitsd(tmp_path)
    bitsd.arguments = ("--ephemeral",)
    async with Origin() as origin, bitsd:
        file = origin.file("/a", size=200_000)
        job = await bitsd.wait(await bitsd.create(origin.url("/a")), "TRANSFERRED")
        await bitsd.act(job, "complete")
        assert Path(bitsd.target("/a")).read_bytes() == file.content.read()
        assert not (tmp_path / "state").exists()
