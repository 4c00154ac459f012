"""The worker over real sockets, against an origin that behaves, lies and breaks."""

import asyncio
import socket
from collections.abc import AsyncIterator
from copy import deepcopy

import pytest

from tests.origin import Origin
from tests.transfer_rig import Rig, rig
from transfer.errors import (
    BadReplyError,
    ConnectFailedError,
    ConnectionLostError,
    DigestMismatchError,
    GarbledReplyError,
    HttpStatusError,
    InvalidRangeError,
    NameNotResolvedError,
    RangeUnsupportedError,
    RedirectRefusedError,
    StalledError,
    TransferError,
)
from transfer.http import HttpSource
from transfer.request import ByteRange, RedirectPolicy
from transfer.source import Ask

__all__ = ["rig"]
SIZE = 300_000


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    async with Origin() as server:
        yield server


@pytest.fixture
def source(rig: Rig) -> HttpSource:
    assert isinstance(rig.source, HttpSource)
    return rig.source


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"framing": "chunked"},
        {"framing": "close"},
        {"http10": True},
        {"http10": True, "framing": "close"},
        {"etag": None, "last_modified": None},
        {"etag": 'W/"weak"'},
        {"no_range": True},
        {"range_limit": 1000},
        {"rate": 50_000_000},
    ],
)
async def test_an_honest_origin_gives_the_file(rig: Rig, origin: Origin, options: dict[str, object]) -> None:
    file = origin.file("/f", size=SIZE, **options)
    assert (await rig.fetch(origin.url("/f"))).size == SIZE
    assert rig.data() == file.content.read()
    assert origin.requests[0].headers["accept-encoding"] == "identity"


async def test_an_empty_file_is_a_file(rig: Rig, origin: Origin) -> None:
    origin.file("/f", size=0)
    assert (await rig.fetch(origin.url("/f"))).size == 0
    assert rig.data() == b""


@pytest.mark.parametrize("by_reset", [False, True])
async def test_a_dropped_connection_is_reopened_where_it_broke(rig: Rig, origin: Origin, by_reset: bool) -> None:
    file = origin.file("/f", size=SIZE, drop_after=100_000, drop_times=2, drop_by="reset" if by_reset else "close")
    await rig.fetch(origin.url("/f"))
    assert rig.data() == file.content.read()
    first, *others = origin.ranges("/f")
    assert first is None
    assert len(others) == 2
    assert by_reset or others == ["bytes=100000-", "bytes=200000-"]
    assert all(r.headers["if-range"] == '"v1"' for r in origin.requests[1:])


async def test_a_drop_at_every_try_ends_as_a_lost_connection_with_its_bytes_kept(rig: Rig, origin: Origin) -> None:
    file = origin.file("/f", size=SIZE, drop_after=10_000, drop_times=-1)
    with pytest.raises(ConnectionLostError) as caught:
        await rig.fetch(origin.url("/f"))
    assert caught.value.moved
    assert rig.data() == file.content.read(0, 40_000)
    file.drop_after = None
    await rig.fetch(origin.url("/f"))
    assert rig.data() == file.content.read()
    assert origin.ranges("/f")[-1] == "bytes=40000-"


async def test_a_silent_server_is_noticed_and_its_bytes_are_kept(rig: Rig, origin: Origin) -> None:
    file = origin.file("/f", size=SIZE, stall_after=100_000)
    with pytest.raises(StalledError):
        await rig.fetch(origin.url("/f"))
    assert rig.data() == file.content.read(0, 100_000)
    await rig.fetch(origin.url("/f"))
    assert rig.data() == file.content.read()
    assert origin.ranges("/f") == [None, "bytes=100000-"]


async def test_a_server_that_never_answers_is_noticed(rig: Rig, origin: Origin) -> None:
    origin.file("/f", size=SIZE, stall_after=-1)
    with pytest.raises(StalledError) as caught:
        await rig.fetch(origin.url("/f"))
    assert not caught.value.moved


async def test_a_cancel_does_not_wait_for_a_silent_server(rig: Rig, origin: Origin) -> None:
    file = origin.file("/f", size=SIZE, stall_after=100_000)
    rig.source = HttpSource(type(rig.settings)(stall_timeout=3600))
    task = asyncio.ensure_future(rig.fetch(origin.url("/f")))
    await origin.stalled.wait()
    await rig.observer.is_started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    kept = rig.data()
    assert kept == file.content.read(0, len(kept))
    await rig.source.close()


@pytest.mark.parametrize("ignores", [False, True])
async def test_a_file_that_changed_between_attempts_is_the_new_one(rig: Rig, origin: Origin, ignores: bool) -> None:
    file = origin.file("/f", size=SIZE, stall_after=100_000, change_after=1, ignore_if_range=ignores)
    with pytest.raises(StalledError):
        await rig.fetch(origin.url("/f"))
    await rig.fetch(origin.url("/f"))
    assert rig.data() == file.content.read()
    assert rig.observer.started_at[-1] == 0


@pytest.mark.parametrize("size", [SIZE, 20_000, 400_000])
async def test_a_file_that_changed_during_a_drop_is_the_new_one(rig: Rig, origin: Origin, size: int) -> None:
    file = origin.file("/f", size=SIZE, drop_after=100_000, change_after=1, changed_size=size)
    await rig.fetch(origin.url("/f"))
    assert rig.data() == file.content.read()


@pytest.mark.parametrize(
    "lie",
    [
        {"content_range": ""},
        {"content_range": "bytes 0-1/2"},
        {"content_range": "nonsense"},
        {"range_shift": 7},
        {"range_shift": -7},
        {"headers": {"Content-Type": "multipart/byteranges; boundary=x"}},
    ],
)
async def test_a_lying_part_is_not_spliced_in(rig: Rig, origin: Origin, lie: dict[str, object]) -> None:
    file = origin.file("/f", size=SIZE, drop_after=100_000, **lie)
    await rig.fetch(origin.url("/f"))
    assert rig.data() == file.content.read()
    assert origin.ranges("/f") == [None, "bytes=100000-", None]


async def test_a_short_body_is_continued_and_a_long_one_ends_where_promised(rig: Rig, origin: Origin) -> None:
    short = origin.file("/short", size=SIZE, short_by=1000)
    with pytest.raises(ConnectionLostError):
        await rig.fetch(origin.url("/short"), is_resumable=False)
    short.short_by = 0
    await rig.fetch(origin.url("/short"))
    assert rig.data() == short.content.read()
    long = origin.file("/long", seed=2, size=SIZE, extra=b"more")
    rig.forget()
    await rig.fetch(origin.url("/long"))
    assert rig.data() == long.content.read()


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"statuses": [404]}, HttpStatusError),
        ({"statuses": [204]}, BadReplyError),
        ({"headers": {"Content-Encoding": "gzip"}}, BadReplyError),
        ({"garbage_head": b"\x00\x01\x02 what is this\r\n\r\n"}, GarbledReplyError),
        ({"garbage_head": b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000 + b"\r\n\r\n"}, GarbledReplyError),
        ({"garbage_head": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n"}, GarbledReplyError),
        ({"garbage_head": b"HTTP/1.1 200 OK\r\nContent-"}, ConnectionLostError),
        ({"redirect": "ftp://elsewhere/f"}, RedirectRefusedError),
        ({"redirect": "/f"}, RedirectRefusedError),
    ],
)
async def test_each_refusal_has_its_error(
    rig: Rig, origin: Origin, options: dict[str, object], error: type[TransferError]
) -> None:
    origin.file("/f", **deepcopy(options))
    with pytest.raises(error) as caught:
        await rig.fetch(origin.url("/f?token=secret"))
    assert not caught.value.moved
    assert "secret" not in str(caught.value)


async def test_a_busy_server_says_when_to_come_back(rig: Rig, origin: Origin) -> None:
    origin.file("/f", size=SIZE, statuses=[503, 500], retry_after="17")
    with pytest.raises(HttpStatusError) as caught:
        await rig.fetch(origin.url("/f"))
    assert (caught.value.status, caught.value.retry_after) == (503, 17)


async def test_redirects_are_followed_with_the_range_and_without_foreign_secrets(rig: Rig, origin: Origin) -> None:
    file = origin.file("/f", size=SIZE, stall_after=100_000)
    async with Origin() as gate:
        gate.file("/go", redirect="/on", redirect_status=301)
        gate.file("/on", redirect=origin.url("/f"), redirect_status=307)
        headers = {"Authorization": "Basic x", "X-Mine": "1"}
        with pytest.raises(StalledError):
            await rig.fetch(gate.url("/go"), headers=headers)
        await rig.fetch(gate.url("/go"), headers=headers)
        assert rig.data() == file.content.read()
        assert origin.ranges("/f") == [None, "bytes=100000-"]
        assert all(r.headers["authorization"] == "Basic x" and r.headers["x-mine"] == "1" for r in gate.requests)
        assert all("authorization" not in r.headers and r.headers["x-mine"] == "1" for r in origin.requests)
    assert rig.observer.remote is not None
    assert rig.observer.remote.url == origin.url("/f")


async def test_redirects_can_be_forbidden_and_end_at_the_limit(rig: Rig, origin: Origin) -> None:
    for hop in range(11):
        origin.file(f"/{hop}", redirect=f"/{hop + 1}")
    file = origin.file("/11", size=10)
    await rig.fetch(origin.url("/1"))
    assert rig.data() == file.content.read()
    rig.forget()
    with pytest.raises(RedirectRefusedError):
        await rig.fetch(origin.url("/0"))
    with pytest.raises(RedirectRefusedError) as caught:
        await rig.fetch(origin.url("/10"), redirects=RedirectPolicy.DISALLOW)
    assert caught.value.target == origin.url("/11")


async def test_nobody_there_is_a_failed_connection_and_no_name_is_no_name(rig: Rig) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(ConnectFailedError):
        await rig.fetch(f"http://127.0.0.1:{port}/f")
    with pytest.raises(NameNotResolvedError):
        await rig.fetch("http://nobody.invalid/f")


async def test_an_accept_that_never_comes_is_a_failed_connection(rig: Rig) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        with socket.create_connection(full.getsockname()), socket.socket() as second:
            second.setblocking(False)
            second.connect_ex(full.getsockname())
            with pytest.raises(ConnectFailedError):
                await rig.fetch(f"http://127.0.0.1:{full.getsockname()[1]}/f")


async def test_a_digest_is_checked_over_a_resumed_file(rig: Rig, origin: Origin) -> None:
    file = origin.file("/f", size=SIZE, drop_after=100_000)
    assert (await rig.fetch(origin.url("/f"), digest={"sha256": file.content.digest()})).size == SIZE
    other = origin.file("/g", seed=3, size=SIZE, stall_after=200_000, change_after=1, change_keeps_validators=True)
    rig.forget()
    digest = {"sha256": other.content.digest()}
    with pytest.raises(StalledError):
        await rig.fetch(origin.url("/g"), digest=digest)
    with pytest.raises(DigestMismatchError):
        await rig.fetch(origin.url("/g"), digest=digest)
    assert rig.data() == b""


async def test_ranges_are_concatenated_across_a_drop(rig: Rig, origin: Origin) -> None:
    file = origin.file("/f", size=SIZE, drop_after=1_000)
    ranges = (ByteRange(250_000, 3_000), ByteRange(0, 10), ByteRange(299_000))
    assert (await rig.fetch(origin.url("/f"), ranges=ranges)).size == 4_010
    content = file.content
    assert rig.data() == content.read(250_000, 253_000) + content.read(0, 10) + content.read(299_000)
    assert origin.ranges("/f") == [
        "bytes=250000-252999", "bytes=251000-252999", "bytes=0-9", "bytes=299000-299999",
    ]  # fmt: skip


async def test_ranges_need_a_server_and_a_file_that_have_them(rig: Rig, origin: Origin) -> None:
    origin.file("/f", size=SIZE)
    with pytest.raises(InvalidRangeError):
        await rig.fetch(origin.url("/f"), ranges=(ByteRange(SIZE, 1),))
    with pytest.raises(InvalidRangeError):
        await rig.fetch(origin.url("/f"), ranges=(ByteRange(SIZE - 1, 2),))
    origin.file("/whole", size=SIZE, no_range=True)
    with pytest.raises(RangeUnsupportedError):
        await rig.fetch(origin.url("/whole"), ranges=(ByteRange(5, 5),))
    assert (await rig.fetch(origin.url("/whole"), ranges=(ByteRange(0),))).size == SIZE


async def test_a_probe_learns_the_size_or_nothing(origin: Origin, source: HttpSource) -> None:
    origin.file("/f", size=SIZE)
    origin.file("/go", redirect="/f")
    origin.file("/chunked", size=SIZE, framing="chunked")
    origin.file("/silent", stall_after=-1)
    sizes = [await source.probe(Ask(origin.url(path))) for path in ("/f", "/go", "/chunked", "/none", "/silent")]
    assert sizes == [SIZE, SIZE, None, None, None]
    assert {request.method for request in origin.requests} == {"HEAD"}


async def test_connections_that_were_closed_without_a_word_are_replaced_until_one_answers(rig: Rig) -> None:
    answer, answered = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 0
    all_here = asyncio.Barrier(4)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal answered
        await reader.readuntil(b"\r\n\r\n")
        if answered < 4:
            await all_here.wait()
        answered += 1
        writer.write(answer)
        await reader.read(1)  # the next request on this connection
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/f"
    async with server:
        await asyncio.gather(*(rig.source.open(Ask(url)).__aenter__() for _ in range(4)))
        assert (await rig.fetch(url)).size == 2
