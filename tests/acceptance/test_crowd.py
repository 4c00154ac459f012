"""Show 6: a thousand idle event streams and two hundred readers that do not read cost other clients nothing.

And clients that vanish, or take or send nothing, are not waited for for ever.
"""

import asyncio
import os
import socket
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import aiohttp

from tests.acceptance import crowd
from tests.acceptance.raw import parsed, request, send
from tests.origin import Origin
from tests.process import Bitsd, Document

IDLE = 1000
SLOW = 200
EVENTS = 5000
PROMPT = 0.1
"""Seconds: the issue's own figure."""
IDLE_SIZE = 20 / 1024
SLOW_SIZE = 64 / 1024
OTHER_SIZE = 10
"""MiB for a stream, for one that is not read, and for the rest: two transfers, what happened last, the C library."""
UNLIMITED = {"BITSD_LIMITS__JOBS_PER_USER": "0", "BITSD_LIMITS__JOBS_PER_MACHINE": "0"}


async def make_events(bitsd: Bitsd, job: Document, count: int) -> None:
    numbers = iter(range(count))
    connector = aiohttp.UnixConnector(bitsd.socket)
    async with aiohttp.ClientSession(connector=connector, base_url="http://bitsd") as session:

        async def lane() -> None:
            for number in numbers:
                async with session.patch(f"/v1/jobs/{job['id']}", json={"description": str(number)}) as response:
                    assert response.status == 200

        async with asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(lane())


async def every_seq(bitsd: Bitsd, after: int) -> list[int]:
    seqs: list[int] = []
    while page := (await bitsd.ok("GET", f"/v1/events?after={seqs[-1] if seqs else after}&limit=10000"))["events"]:
        seqs += [event["seq"] for event in page]
    return seqs


async def read_seqs(connection: socket.socket, last: int) -> list[int]:
    """The numbers a stream gives from now on, up to this one or to its end."""
    connection.setblocking(False)
    reader, writer = await asyncio.open_unix_connection(sock=connection)
    seqs: list[int] = []
    try:
        async for line in reader:
            if line.startswith(b"id: "):
                seqs.append(int(line[4:]))
                if seqs[-1] >= last:
                    break
    finally:
        writer.close()
    return seqs


async def until(is_so: Callable[[], bool]) -> None:
    """For what a process shows nobody but the system."""
    async with asyncio.timeout(30):
        while True:
            if is_so():
                return
            await asyncio.sleep(0.02)


async def idle_descriptors(bitsd: Bitsd) -> int:
    """How many are open between calls: the end of the last call is also the end of those before."""
    await send(bitsd, request("GET", "/v1"))
    return descriptors(bitsd)


def descriptors(bitsd: Bitsd) -> int:
    return len(os.listdir(f"/proc/{bitsd.pid}/fd"))


async def check_calls(bitsd: Bitsd, mine: Document, loud: Document) -> None:
    """A client that calls while much happens is answered in time.

    A machine with other work stands still for a moment now and then, a service that is slow is so all the time: not
    even one call in a hundred is late, and in most seconds none at all.
    """
    async with crowd.calls(bitsd, mine["id"]) as called:
        await make_events(bitsd, loud, EVENTS)
        took: list[tuple[str, float, float]] = await called()
    late = [(name, began, seconds) for name, began, seconds in took if seconds > PROMPT]
    assert len(took) > 200
    assert len(late) <= len(took) / 100, late
    assert len({int(began) for _, began, _ in late}) < len({int(began) for _, began, _ in took}) / 2, late


async def test_a_thousand_idle_streams_and_200_slow_readers_cost_others_nothing(tmp_path: Path) -> None:
    crowd.raise_file_limit()
    async with Origin() as origin, Bitsd(tmp_path, **UNLIMITED) as bitsd:
        for name in "ab":
            origin.file(f"/{name}", size=100_000_000, rate=1_000_000)
        quiet, loud, mine = [await bitsd.create(name=name) for name in ("quiet", "loud", "mine")]
        after = (await bitsd.ok("GET", "/v1/jobs"))["seq"]
        memory, open_before = bitsd.memory(), await idle_descriptors(bitsd)
        of_quiet, of_progress = f"/v1/events?job={quiet['id']}", f"/v1/events?types=PROGRESS&after={after}"
        targets = [of_quiet, of_quiet, of_progress, "/v1/events?types=JOB_ERROR"] * (IDLE // 4)
        async with crowd.streams(bitsd, targets) as streamed:
            slow = [crowd.open_stream(bitsd.socket, f"/v1/events?after={after}") for _ in range(SLOW)]
            transfers = [await bitsd.create(origin.url(f"/{name}")) for name in "ab"]
            await check_calls(bitsd, mine, loud)
            assert bitsd.memory() - memory < IDLE * IDLE_SIZE + SLOW * SLOW_SIZE + OTHER_SIZE
            for job in transfers:
                assert (await bitsd.act(job, "cancel"))["state"] == "CANCELLED"
            every = await every_seq(bitsd, after)
            assert len(every) > EVENTS
            for seqs in await asyncio.gather(*(read_seqs(connection, every[-1]) for connection in slow[::40])):
                assert seqs == every
            sizes = await streamed()
            assert sizes[of_quiet] < IDLE // 2 * 1000  # its head, its one event, and signs of life
            assert sizes[of_progress] > IDLE // 4 * 1000
        for connection in slow:
            connection.close()
        await until(lambda: descriptors(bitsd) <= open_before + len(origin.requests))


async def test_clients_that_vanish_in_mid_request_leave_no_descriptor(tmp_path: Path) -> None:
    async with Bitsd(tmp_path, **UNLIMITED) as bitsd:
        for _ in range(8):
            await bitsd.create(*(f"http://127.0.0.1:9/{number}" for number in range(200)), resume=False)
        before = await idle_descriptors(bitsd)
        body = request("POST", "/v1/jobs", b'{"display_name": "never"}')
        everything = request("GET", "/v1/jobs?include=files")  # more than a socket takes while nobody reads
        stream, poll = (
            request("GET", "/v1/events", Accept="text/event-stream"),
            request("GET", "/v1/events?wait=3600&after=9999"),
        )
        for is_answered, data in (
            (False, body[:20]),
            (False, body[:-5]),
            (True, everything),
            (True, stream),
            (False, poll),
        ):
            clients = [crowd.connect(bitsd.socket, data) for _ in range(20)]
            await until(lambda: descriptors(bitsd) >= before + 20)
            for client in clients:
                assert not is_answered or client.recv(100)
                client.close()
            await until(lambda: descriptors(bitsd) <= before)
        assert len((await bitsd.ok("GET", "/v1/jobs"))["jobs"]) == 8
        assert "Traceback" not in bitsd.log


class Hasty(Bitsd):
    """A service that waits one second where it waits minutes."""

    async def spawn(self, *arguments: str) -> asyncio.subprocess.Process:
        code = (
            "import daemon.api.server as server, daemon.api.stream as stream, daemon.command as command;"
            "server.BODY_TIME = stream.PATIENCE = 1.0; command.run()"
        )
        command = [sys.executable, "-c", code, "--socket", self.socket, "--state-dir", str(self.home / "state")]
        with (self.home / "log").open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *command, *arguments, env=os.environ | self.environment, stdout=log, stderr=log
            )


async def test_a_client_that_takes_nothing_is_given_up_and_goes_on_where_it_was(tmp_path: Path) -> None:
    async with Hasty(tmp_path) as bitsd:
        job = await bitsd.create(name="loud")
        before = await idle_descriptors(bitsd)
        connection = crowd.open_stream(bitsd.socket, "/v1/events?after=1")
        with closing(crowd.open_stream(bitsd.socket, "/v1/events?after=1000000")):  # idle, and therefore kept
            await until(lambda: descriptors(bitsd) == before + 2)
            await make_events(bitsd, job, 2000)
            await until(lambda: descriptors(bitsd) == before + 1)
        seqs = await read_seqs(connection, 2001)
        assert seqs == list(range(2, len(seqs) + 2))
        assert 1 < len(seqs) < 2000
        again = crowd.open_stream(bitsd.socket, f"/v1/events?after={seqs[-1]}")
        assert seqs + await read_seqs(again, 2001) == list(range(2, 2002))


async def test_a_body_that_does_not_come_is_not_waited_for(tmp_path: Path) -> None:
    async with Hasty(tmp_path) as bitsd:
        connection = crowd.connect(bitsd.socket, request("POST", "/v1/jobs", b'{"display_name": "half"}')[:-5])
        connection.setblocking(False)
        reader, writer = await asyncio.open_unix_connection(sock=connection)
        async with asyncio.timeout(10):
            head = await reader.readuntil(b"\r\n\r\n")
            size = int(parsed(head).headers["content-length"])
            answer = parsed(head + await reader.readexactly(size))
        writer.close()
        assert answer.flaw(408, "E_INVALIDARG") == ""
        assert answer.headers["connection"] == "close"
        assert (await bitsd.ok("GET", "/v1/jobs"))["jobs"] == []
