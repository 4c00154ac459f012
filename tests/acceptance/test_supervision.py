"""The service under a service manager: what it says, how it is woken, when it leaves. Real process, real sockets."""

import asyncio
import contextlib
import itertools
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bent import logged
from tests.disk import small_disk
from tests.origin import Origin
from tests.process import Bitsd
from tests.supervisor import Commands, Notices, activated

IDLE = {"BITSD_DAEMON__IDLE_EXIT": "2"}


@pytest.fixture
def notices(tmp_path: Path) -> Iterator[Notices]:
    with Notices(str(tmp_path / "n")) as listening:
        yield listening


@pytest.fixture
def commands(tmp_path: Path) -> Commands:
    return Commands(tmp_path)


def path_with(commands: Commands) -> dict[str, str]:
    return {"PATH": f"{commands.directory}:{os.environ['PATH']}"}


def statuses(notices: Notices) -> list[str]:
    return [line.removeprefix("STATUS=") for line in notices.rest() if line.startswith("STATUS=")]


async def end(bitsd: Bitsd) -> int:
    """The exit code of a service that ends by itself."""
    assert bitsd.process is not None
    async with asyncio.timeout(20):
        return await bitsd.process.wait()


async def test_ready_is_said_when_the_jobs_are_back_and_stopping_at_the_end(tmp_path: Path, notices: Notices) -> None:
    async with Origin() as origin:
        origin.file("/a", size=1000, stall_after=10, stall_times=-1)
        bitsd = Bitsd(tmp_path, NOTIFY_SOCKET=notices.address)
        bitsd.process = await bitsd.spawn()
        await notices.until("READY=1")
        job = await bitsd.create(origin.url("/a"))
        await bitsd.wait(job, "TRANSFERRING")
        await bitsd.kill()
        bitsd.process = await bitsd.spawn()
        await notices.until("READY=1", times=2)
        assert (await bitsd.moves(job))[2] == "QUEUED"
        assert await bitsd.signal(signal.SIGTERM) == 0
        heard = notices.rest()
        assert heard.count("READY=1") == 2
        assert heard.index("STOPPING=1") > heard.index("READY=1")
        assert "WATCHDOG=1" not in heard


async def test_an_abstract_socket_is_understood_and_one_that_is_gone_does_no_harm(tmp_path: Path) -> None:
    with Notices(f"@bitsd-{os.getpid()}") as notices:
        bitsd = Bitsd(tmp_path, NOTIFY_SOCKET=notices.address)
        async with bitsd:
            await notices.until("READY=1")
    async with bitsd:
        assert (await bitsd.call("GET", "/v1"))[0] == 200


async def test_the_status_line_follows_the_jobs_and_never_repeats_itself(tmp_path: Path, notices: Notices) -> None:
    settings = {"BITSD_SCHEDULER__BACKGROUND_SLOTS": "1", "BITSD_TRANSFER__STALL_TIMEOUT": "60"}
    async with Origin() as origin, Bitsd(tmp_path, NOTIFY_SOCKET=notices.address, **settings) as bitsd:
        await notices.until("STATUS=0 transferring, 0 waiting")
        origin.file("/a", size=1000, stall_after=10, stall_times=-1)
        origin.file("/busy", statuses=[500] * 10)
        jobs = [await bitsd.create(origin.url("/a")) for _ in range(3)]
        await notices.until("STATUS=1 transferring, 2 waiting")
        jobs.append(await bitsd.create(origin.url("/busy"), priority="FOREGROUND"))
        await notices.until("STATUS=1 transferring, 3 waiting")
        for job in jobs:
            await bitsd.act(job, "cancel")
        await notices.until("STATUS=0 transferring, 0 waiting", times=2)
        await bitsd.signal(signal.SIGTERM)
    said = statuses(notices)
    assert all(one != other for one, other in itertools.pairwise(said))
    assert said[-1] == "stopping"


async def test_the_status_line_says_when_the_store_is_full(tmp_path: Path, notices: Notices) -> None:
    with small_disk(tmp_path / "state") as disk:
        async with Bitsd(tmp_path, NOTIFY_SOCKET=notices.address) as bitsd:
            await notices.until("STATUS=0 transferring, 0 waiting")
            what = "full" if disk.is_mounted else "failed"
            while f"STATUS=0 transferring, 0 waiting; queue storage {what}" not in notices.rest():
                await bitsd.call("POST", "/v1/jobs", {"display_name": "a"})
            disk.grow()
            await notices.until("STATUS=0 transferring, 0 waiting", times=2)


async def test_the_watchdog_is_fed_while_the_loop_turns(tmp_path: Path, notices: Notices) -> None:
    async with Bitsd(tmp_path, NOTIFY_SOCKET=notices.address, WATCHDOG_USEC="100000"):
        await notices.until("WATCHDOG=1", times=5)


async def test_a_reload_is_announced_and_its_end_too_even_if_the_file_is_bad(tmp_path: Path, notices: Notices) -> None:
    config = tmp_path / "config.toml"
    config.write_text("")
    bitsd = Bitsd(tmp_path, NOTIFY_SOCKET=notices.address)
    bitsd.arguments = ("--config", str(config))
    async with bitsd:
        await notices.until("READY=1")
        for number, text in enumerate(("[limits]\nfiles_per_job = 7\n", "nonsense"), 1):
            config.write_text(text)
            assert bitsd.process is not None
            bitsd.process.send_signal(signal.SIGHUP)
            await notices.until("RELOADING=1", times=number)
            await notices.until("READY=1", times=1 + number)
            assert (await bitsd.ok("GET", "/v1"))["limits"]["files_per_job"] == 7
        moments = [line for line in notices.rest() if line.startswith("MONOTONIC_USEC=")]
        assert [int(line.partition("=")[2]) > 0 for line in moments] == [True, True]


async def test_a_call_that_was_there_before_the_service_is_answered(tmp_path: Path) -> None:
    with activated(tmp_path) as bitsd:
        call = asyncio.ensure_future(bitsd.ok("POST", "/v1/jobs", {"display_name": "early"}))
        await bitsd.start()
        job = await call
        assert await bitsd.signal(signal.SIGTERM) == 0
        assert Path(bitsd.socket).is_socket()
        assert not Path(f"{bitsd.socket}.lock").exists()
        await bitsd.start()
        assert await bitsd.job(job) == job
        await bitsd.signal(signal.SIGTERM)


async def test_another_sort_of_socket_ends_the_start_with_a_clear_sentence(tmp_path: Path) -> None:
    with activated(tmp_path) as bitsd, socket.create_server(("127.0.0.1", 0)) as other:
        both = (*bitsd.handed, other.fileno())
        for numbers, sentence in (((other.fileno(),), "not a listening Unix stream socket"), (both, "over 2 sockets")):
            bitsd.handed = numbers
            bitsd.environment["BENT_LISTEN"] = " ".join(map(str, numbers))
            process = await bitsd.spawn()
            assert await process.wait() == 1
            assert sentence in bitsd.log
        assert "Traceback" not in bitsd.log


async def test_with_nothing_to_do_and_nothing_due_it_leaves_without_a_timer_and_comes_back_when_called(
    tmp_path: Path, commands: Commands
) -> None:
    with activated(tmp_path, **IDLE, **path_with(commands)) as bitsd:
        for _ in range(2):
            await bitsd.start()
            assert await end(bitsd) == 0
        assert "nothing to do" in bitsd.log
        assert commands.asked == []


async def test_a_job_that_waits_for_its_retry_gets_a_timer_and_its_time_goes_on(
    tmp_path: Path, commands: Commands
) -> None:
    # service time is saved more often than that, which is no reason to stay
    with activated(tmp_path, BITSD_DAEMON__IDLE_EXIT="3", **path_with(commands)) as bitsd:
        bitsd.set_clock()
        async with Origin() as origin:
            origin.file("/a", size=1000, statuses=[500])
            await bitsd.start()
            job = await bitsd.create(origin.url("/a"), minimum_retry_delay=30)
            await bitsd.wait(job, "TRANSIENT_ERROR")
            assert await end(bitsd) == 0
            manager = "" if os.geteuid() == 0 else " --user"
            stop, run = commands.asked
            assert stop == f"systemctl{manager} --quiet stop bitsd-wake.timer"
            assert f"systemd-run{manager} --quiet --collect --unit=bitsd-wake" in run
            assert run.endswith(f"systemctl{manager} start --no-block bitsd.service")
            seconds = int(run.partition("--on-active=")[2].split()[0])
            assert 20 <= seconds <= 30

            bitsd.set_clock(monotonic=seconds)  # the timer's moment, without the wait
            await bitsd.start()
            await bitsd.wait(job, "TRANSFERRED")
            await bitsd.signal(signal.SIGTERM)


async def test_a_stop_is_no_sleep_the_retry_waits_out_its_time_afterwards(tmp_path: Path, commands: Commands) -> None:
    with activated(tmp_path, **path_with(commands)) as bitsd:
        bitsd.set_clock()
        async with Origin() as origin:
            origin.file("/a", size=1000, statuses=[500])
            await bitsd.start()
            job = await bitsd.create(origin.url("/a"), minimum_retry_delay=600)
            await bitsd.wait(job, "TRANSIENT_ERROR")
            await bitsd.signal(signal.SIGTERM)
            bitsd.set_clock(monotonic=3600)
            await bitsd.start()
            assert (await bitsd.job(job))["state"] == "TRANSIENT_ERROR"
            await bitsd.signal(signal.SIGTERM)
        assert commands.asked == []


@pytest.mark.parametrize("why", ["it fails", "it is not there"])
async def test_without_a_timer_it_stays_and_the_job_gets_its_retry(tmp_path: Path, why: str) -> None:
    commands = Commands(tmp_path, fails=True)
    if why == "it is not there":
        (commands.directory / "systemd-run").unlink()
    with activated(tmp_path, **IDLE, PATH=str(commands.directory)) as bitsd:
        async with Origin() as origin:
            origin.file("/a", size=1000, statuses=[500])
            await bitsd.start()
            job = await bitsd.create(origin.url("/a"), minimum_retry_delay=6)
            await logged(bitsd, "cannot end while idle")  # a call that waits would keep it busy
            await bitsd.wait(job, "TRANSFERRED")
            assert bitsd.process is not None
            assert bitsd.process.returncode is None
            await bitsd.signal(signal.SIGTERM)


async def test_a_call_that_waits_keeps_it_and_an_idle_connection_does_not(tmp_path: Path, commands: Commands) -> None:
    with activated(tmp_path, **IDLE, **path_with(commands)) as bitsd:
        await bitsd.start()
        after = (await bitsd.ok("GET", "/v1/events?after=0"))["seq"]
        assert (await bitsd.call("GET", f"/v1/events?after={after}&wait=5"))[0] == 200
        assert bitsd.process is not None
        assert bitsd.process.returncode is None
        reader, writer = await asyncio.open_unix_connection(bitsd.socket)
        writer.write(b"GET /v1 HTTP/1.1\r\nHost: bitsd\r\n\r\n")
        assert (await reader.readline()).split()[1] == b"200"
        assert await end(bitsd) == 0
        writer.close()


async def test_a_running_transfer_keeps_it(tmp_path: Path, commands: Commands) -> None:
    with activated(tmp_path, **IDLE, **path_with(commands), BITSD_TRANSFER__STALL_TIMEOUT="3") as bitsd:
        async with Origin() as origin:
            origin.file("/a", size=1000, stall_after=10, stall_times=1)
            await bitsd.start()
            job = await bitsd.create(origin.url("/a"), minimum_retry_delay=1)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(4):
                    await end(bitsd)
            assert "nothing to do" not in bitsd.log
            await bitsd.wait(job, "TRANSFERRED")
            await bitsd.act(job, "complete")
            assert await end(bitsd) == 0
            assert len([line for line in commands.asked if line.startswith("systemd-run")]) == 1  # the history's end


@pytest.mark.parametrize("why", ["not activated", "ephemeral"])
async def test_one_that_could_not_come_back_whole_does_not_leave(tmp_path: Path, commands: Commands, why: str) -> None:
    with activated(tmp_path, **IDLE, **path_with(commands)) as handed:
        bitsd: Bitsd = handed
        if why == "ephemeral":
            bitsd.arguments = ("--ephemeral",)
        else:
            home = tmp_path / "own"
            home.mkdir()
            bitsd = Bitsd(home, **IDLE, **path_with(commands))
        await bitsd.start()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(4):
                await end(bitsd)
        await bitsd.signal(signal.SIGTERM)
        assert "nothing to do" not in bitsd.log


async def test_idle_exit_can_be_set_while_it_runs(tmp_path: Path, commands: Commands) -> None:
    config = tmp_path / "config.toml"
    config.write_text("")
    with activated(tmp_path, **path_with(commands)) as bitsd:
        bitsd.arguments = ("--config", str(config))
        await bitsd.start()
        config.write_text("[daemon]\nidle_exit = 1\n")
        assert bitsd.process is not None
        bitsd.process.send_signal(signal.SIGHUP)
        assert await end(bitsd) == 0
