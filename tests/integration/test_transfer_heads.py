"""Heads that are wrong, endless or ambiguous, and bodies that stop being HTTP: over real sockets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from transfer.errors import (
    BadReplyError,
    ConnectionLostError,
    GarbledReplyError,
    RedirectRefusedError,
    StalledError,
    TransferError,
)
from transfer.http import HttpSource
from transfer.request import Settings
from transfer.source import Ask

OK = b"HTTP/1.1 200 OK\r\n"
FIVE = b"Content-Length: 5\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
CHUNKS = b"\r\n5\r\nhello\r\n0\r\n\r\n"


@pytest.fixture
async def source() -> AsyncIterator[HttpSource]:
    found = HttpSource(Settings(connect_timeout=0.2, stall_timeout=0.3))
    yield found
    await found.close()


@asynccontextmanager
async def answering(*pieces: bytes, is_endless: bool = False) -> AsyncIterator[str]:
    """A server that sends these pieces, each after the client had time to read the one before, and closes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.01)
            while is_endless:
                writer.write(pieces[-1])
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/f?token=secret"


async def read(source: HttpSource, *pieces: bytes, is_endless: bool = False) -> bytes:
    async with answering(*pieces, is_endless=is_endless) as url, source.open(Ask(url)) as reply:
        return b"".join([chunk async for chunk in reply.chunks])


@pytest.mark.parametrize(
    "head",
    [
        b"hello world",
        b"ICY 200 OK\r\n" + FIVE,
        b"HTTP/0.9 200 OK\r\n" + FIVE,
        b"HTTP/2.0 200 OK\r\n" + FIVE,
        b"HTTP/1.1 20 OK\r\n" + FIVE,
        b"HTTP/1.1 000 OK\r\n" + FIVE,
        OK + b"Content-Length: -5\r\n",
        OK + b"Content-Length: five\r\n",
        OK + b"Content-Length: +5\r\n",
        OK + b"Content-Length: 99999999999999999999999\r\n",
        OK + FIVE + b"Content-Length: 4\r\n",
        OK + b"Content-Length: 5, 4\r\n",
        OK + FIVE + b" 6\r\n" + FIVE,
        OK + CHUNKED + b"Content-Length: five\r\n",
        OK + b"Content-Length : 5\r\n",
        OK + FIVE + b"X-Nul: a\x00b\r\n",
        OK + FIVE + b"X-Control: a\x01b\r\n",
        OK + FIVE + b"X-Return: a\rb\r\n",
        OK + FIVE + b"no colon\r\n",
        OK + FIVE + b": no name\r\n",
        OK + FIVE + b"X-Long: " + b"a" * 9000 + b"\r\n",
        b"HTTP/1.1 200 " + b"a" * 9000 + b"\r\n" + FIVE,
        OK + FIVE + b"X: y\r\n" * 200,
        OK + FIVE + (b"X: " + b"y" * 8000 + b"\r\n") * 9,
    ],
)
async def test_a_head_that_is_not_sound_is_refused(source: HttpSource, head: bytes) -> None:
    with pytest.raises(GarbledReplyError) as caught:
        await read(source, head + b"\r\n", b"hello")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("coding", [b"gzip", b"gzip, chunked", b"chunked, gzip", b"identity", b"chunked, chunked"])
async def test_a_body_in_another_coding_is_refused(source: HttpSource, coding: bytes) -> None:
    with pytest.raises(BadReplyError):
        await read(source, OK + b"Transfer-Encoding: " + coding + b"\r\n" + CHUNKS)


@pytest.mark.parametrize(
    "reply",
    [
        OK + FIVE + b"\r\nhello",
        OK + FIVE + FIVE + b"\r\nhello",
        OK + b"Content-Length: 5, 5\r\nX: y\r\ncontent-length: 5\r\n\r\nhello",
        OK + CHUNKED + CHUNKS,
        OK + b"transfer-encoding: Chunked\r\n\r\n5;name=value\r\nhello\r\n0\r\nTrailer: x\r\n\r\n",
        OK + b"\r\nhello",
        b"HTTP/1.0 200 OK\r\n\r\nhello",
        b"HTTP/1.1 200\r\n" + FIVE + b"\r\nhello",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Wait\r\n\r\n" + OK + FIVE + b"\r\nhello",
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 5000 + OK + FIVE + b"\r\nhello",
        OK + b"X-Latin: \xe4\r\n" + FIVE + b"\r\nhello",
    ],
)
async def test_a_sound_reply_is_read(source: HttpSource, reply: bytes) -> None:
    assert await read(source, reply) == b"hello"


@pytest.mark.parametrize("cut", [1, 19, 38, 40, 45])
async def test_more_than_was_promised_is_no_part_of_the_body(source: HttpSource, cut: int) -> None:
    source.settings = Settings()
    reply = OK + FIVE + b"\r\nhello world, and more"
    assert await read(source, reply) == b"hello"
    assert await read(source, reply[:cut], reply[cut:]) == b"hello"
    assert await read(source, *[reply[place : place + 1] for place in range(len(reply))]) == b"hello"


async def test_a_connection_with_more_than_was_promised_is_not_used_again(source: HttpSource) -> None:
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(OK + FIVE + b"\r\nhello" + OK + FIVE + b"\r\nwrong")
        except asyncio.IncompleteReadError:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        for _ in range(3):
            async with source.open(Ask(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/f")) as reply:
                assert b"".join([chunk async for chunk in reply.chunks]) == b"hello"
    assert connections == 3


@pytest.mark.parametrize("first", [True, False])
async def test_a_length_beside_chunks_is_known_but_the_chunks_count(source: HttpSource, first: bool) -> None:
    fields = (FIVE, CHUNKED) if first else (CHUNKED, FIVE)
    async with answering(OK + b"".join(fields) + CHUNKS) as url, source.open(Ask(url)) as reply:
        assert reply.head.get_all("content-length") == ("5",)
        assert b"".join([chunk async for chunk in reply.chunks]) == b"hello"


@pytest.mark.parametrize("endless", [b"X: y\r\n" * 1000, b"y" * 100_000])
async def test_an_endless_head_ends_soon(source: HttpSource, endless: bytes) -> None:
    with pytest.raises(GarbledReplyError):
        await read(source, OK, endless, is_endless=True)


async def test_endless_hints_and_a_slow_head_end_in_time(source: HttpSource) -> None:
    with pytest.raises(StalledError):
        await read(source, b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", is_endless=True)
    with pytest.raises(StalledError):
        await read(source, OK, *[b"X: y\r\n"] * 100)


@pytest.mark.parametrize(
    "pieces",
    [
        (OK + CHUNKED + b"\r\n5\r\nhello\r\n", b"zz\r\nwhat"),
        (OK + CHUNKED + b"\r\n5\r\nhello\r\n", b"0x5\r\nworld\r\n0\r\n\r\n"),
        (OK + CHUNKED + b"\r\n5\r\nhello\r\n",),
        (OK + CHUNKED + b"\r\n", b"-5\r\n"),
        (OK + FIVE + b"\r\nhel",),
    ],
)
async def test_a_body_that_stops_being_http_is_a_lost_connection_at_once(
    source: HttpSource, pieces: tuple[bytes, ...]
) -> None:
    source.settings = Settings(stall_timeout=3600)
    with pytest.raises(ConnectionLostError):
        await read(source, *pieces)


@pytest.mark.parametrize(
    ("location", "error"),
    [
        (b"http://user:password@%s/g", None),
        (b"/\xe4", None),
        ("/ä b\t".encode(), None),
        (b"http://a b/", RedirectRefusedError),
        (b"http://[bad/", RedirectRefusedError),
        (b"http://\xff\xfe/", TransferError),
        (b"http://xn--/", TransferError),
    ],
)
async def test_an_odd_redirect_has_a_named_end(
    source: HttpSource, location: bytes, error: type[TransferError] | None
) -> None:
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        place = location.replace(b"%s", seen[0].split(b"Host: ")[1].split(b"\r\n")[0])
        moved = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + place + b"\r\n\r\n"
        writer.write(moved if len(seen) == 1 else OK + FIVE + b"\r\nhello")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        ask = Ask(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/f")
        if error is None:
            async with source.open(ask) as reply:
                assert reply.head.status == 200
        else:
            with pytest.raises(error):
                async with source.open(ask):
                    pass
    assert not any(b"uthorization" in request for request in seen)
