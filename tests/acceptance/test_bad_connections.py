"""Below the API: what is not HTTP, half a request, idle connections, clients that vanish."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.acceptance.raw import Answer, request, send, snapshot, unharmed
from tests.process import Bitsd

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bitsd(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bitsd]:
    async with unharmed(tmp_path_factory.mktemp("bad")) as service:
        yield service


POST = b"POST /v1/jobs HTTP/1.1\r\nHost: a\r\n"
NOT_HTTP = [
    b"nonsense\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    b"\x00" * 10_000 + b"\r\n\r\n",
    b"GET\r\n\r\n",
    b"GET /v1 HTTP/9.9\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET /v1 HTTP/1.1\r\nno colon\r\n\r\n",
    b"GET /v1 HTTP/1.1\r\n\xff\xfe: a\r\n\r\n",
    POST + b"Content-Length: x\r\n\r\n",
    POST + b"Content-Length: -5\r\n\r\n",
    POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n12345",
    POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    request("GET", "/v1", X="x" * 100_000),
    request("GET", "/v1")[:-2] + b"X: y\r\n" * 5000 + b"\r\n",
    request("GET", "/v1/" + "x" * 100_000),
    request("GET", "/v1", Expect="nonsense"),
    request("POST", "/v1/jobs", b"{}", Expect="nonsense"),
    b"x" * 1_000_000,
]


async def test_what_is_not_http_gets_a_document_or_a_closed_connection(bitsd: Bitsd) -> None:
    found = []
    for data in NOT_HTTP:
        answer = await send(bitsd, data, is_end=True)
        if answer != Answer() and (flaw := answer.flaw()):
            found.append(f"{data[:60]!r}: {flaw}")
    assert found == []


async def test_half_a_request_and_then_nothing(bitsd: Bitsd) -> None:
    whole = request("POST", "/v1/jobs", b'{"display_name": "must not be made"}')
    before = await snapshot(bitsd)
    for length in range(1, len(whole), 7):
        answer = await send(bitsd, whole[:length], is_end=True)
        assert answer == Answer() or answer.flaw() == ""
    assert await snapshot(bitsd) == before


async def test_clients_that_vanish_in_the_middle_of_anything(bitsd: Bitsd) -> None:
    sse = request("GET", "/v1/events", Accept="text/event-stream")
    job = await bitsd.ok("POST", "/v1/jobs", {"display_name": "a"})
    polls = [request("GET", "/v1/events?wait=60&after=999999"), sse, request("GET", "/v1/jobs"), b"GET /v1"]
    polls += [request("GET", f"/v1/jobs/{job['id']}/wait?until=ERROR"), request("POST", "/v1/jobs", b"{" * 9)[:-5]]
    for number in range(20):
        for data in polls:
            _, writer = await asyncio.open_unix_connection(bitsd.socket)
            writer.write(data)
            await writer.drain()
            if number % 2:
                writer.transport.abort()
            else:
                writer.close()
        await bitsd.ok("PATCH", f"/v1/jobs/{job['id']}", {"description": str(number)})  # wakes those who wait
    assert (await bitsd.job(job))["description"] == "19"


async def test_500_idle_connections_while_others_are_served(bitsd: Bitsd) -> None:
    idle = [socket.socket(socket.AF_UNIX) for _ in range(500)]
    try:
        for number, connection in enumerate(idle):
            connection.setblocking(False)
            await asyncio.get_running_loop().sock_connect(connection, bitsd.socket)
            connection.send(b"GET /v1" if number % 2 else b"\r\n")
        async with asyncio.timeout(5):
            job = await bitsd.ok("POST", "/v1/jobs", {"display_name": "a"})
            await asyncio.gather(*(bitsd.job(job) for _ in range(50)))
    finally:
        for connection in idle:
            connection.close()
    assert (await bitsd.ok("GET", "/v1"))["name"] == "bitsd"
