"""One file over several connections, in both ways to read a body: whatever happens to them, it is the right file."""

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.nginx import running_nginx
from tests.origin import Origin
from tests.transfer_rig import Rig, rig
from transfer import swarm
from transfer.errors import DigestMismatchError, HttpStatusError, StalledError, TransferError
from transfer.hosts import Hosts, Room
from transfer.http import HttpSource
from transfer.source import Ask, Reply, Source

__all__ = ["rig"]
SIZE = 400_000
LANES = 4
KEPT = (100_000, 200_000, 300_000)
"""Where pieces of 30,000 bytes are after `interrupted`."""


@pytest.fixture(params=[-1, 0], ids=["general", "taken-over"], autouse=True)
def split(request: pytest.FixtureRequest, rig: Rig) -> None:
    """Every file is split at once."""
    rig.hasten(take_over_size=request.param, split_size=0, connections_per_file=LANES)
    use(rig)


def use(rig: Rig, **settings: int) -> None:
    rig.hasten(**settings)
    assert isinstance(rig.source, HttpSource)
    rig.source.settings = rig.settings


class Meddler(Source):
    """Stands before another source and does something to each segment's reply; `most` were open at once."""

    def __init__(self, source: Source, meddle: Callable[[int, Reply], Reply] = lambda _number, reply: reply) -> None:
        self.hosts: Hosts = source.hosts
        self.asks: list[Ask] = []
        self.most = self.open_now = 0
        self._source = source
        self._meddle = meddle

    @asynccontextmanager
    async def open(self, ask: Ask) -> AsyncIterator[Reply]:
        self.asks.append(ask)
        self.open_now += 1
        self.most = max(self.most, self.open_now)
        try:
            async with self._source.open(ask) as reply:
                number = sum(seen.is_segment for seen in self.asks)
                yield self._meddle(number, reply) if ask.is_segment else reply
        finally:
            self.open_now -= 1


async def to_the_end(rig: Rig, url: str, attempts: int = 30) -> None:
    for _ in range(attempts):
        try:
            await rig.fetch(url)
        except TransferError:
            continue
        return
    raise AssertionError("it never ends")


async def until(is_so: Callable[[], bool]) -> None:
    while not is_so():  # noqa: ASYNC110 - bytes have no event
        await asyncio.sleep(0)


def asked(origin: Origin) -> list[tuple[int, int]]:
    """What was asked for by segments: start and end."""
    pairs = [text.removeprefix("bytes=").split("-") for text in origin.ranges("/a") if text is not None]
    return [(int(first), int(last) + 1) for first, last in pairs if last]


def has_asked_for(origin: Origin, start: int, end: int) -> bool:
    return any(first < end and start < stop for first, stop in asked(origin))


async def test_each_connection_brings_its_part(rig: Rig) -> None:
    async with Origin() as origin:
        file = origin.file("/a", size=SIZE)
        await rig.fetch(origin.url("/a"))
        assert rig.data() == file.content.read()
        assert origin.ranges("/a")[0] is None
        assert {start for start, _ in asked(origin)} >= {100_000, 200_000, 300_000}
        assert (rig.progress.transferred, rig.progress.readable) == (SIZE, SIZE)


@pytest.mark.parametrize("seed", range(4))
async def test_the_file_is_right_under_random_cuts(rig: Rig, seed: int) -> None:
    chances = random.Random(seed)
    async with Origin(chunking=seed) as origin:
        file = origin.file(
            "/a", size=SIZE, drop_after=20_000, drop_times=-1, drop_by=chances.choice(["close", "reset"])
        )
        for _ in range(100):
            file.drop_after = chances.randrange(1, 60_000)
            before = rig.progress.transferred
            try:
                await rig.fetch(origin.url("/a"))
                break
            except TransferError:
                assert rig.progress.transferred >= before
        assert rig.data() == file.content.read()


@pytest.mark.parametrize("after", [1, 2, 3])
@pytest.mark.parametrize("lies", [{}, {"ignore_if_range": True}, {"drop_after": 50_000}])
async def test_a_file_that_changes_between_two_segments_is_one_version(
    rig: Rig, after: int, lies: dict[str, object]
) -> None:
    async with Origin() as origin:
        file = origin.file("/a", size=SIZE, change_after=after, **lies)
        await to_the_end(rig, origin.url("/a"))
        assert rig.data() in {file.original.read(), file.changed.read()}


@pytest.mark.parametrize("lie", [{"no_range": True}, {"content_range": ""}, {"range_shift": 1}, {"range_status": 416}])
async def test_a_server_that_cannot_do_the_ranges_it_offers_is_read_by_one_connection(
    rig: Rig, lie: dict[str, object]
) -> None:
    async with Origin() as origin:
        file = origin.file("/a", size=SIZE, headers={"Accept-Ranges": "bytes"}, **lie)
        await rig.fetch(origin.url("/a"))
        assert rig.data() == file.content.read()


@pytest.mark.parametrize("which", [1, 2, 3])
async def test_a_segment_of_another_version_is_not_used(rig: Rig, which: int) -> None:
    def lie(number: int, reply: Reply) -> Reply:
        fields = tuple((name, '"other"' if name == "ETag" else value) for name, value in reply.head.fields)
        return replace(reply, head=replace(reply.head, fields=fields)) if number == which else reply

    async with Origin() as origin:
        file = origin.file("/a", size=SIZE)
        rig.source = Meddler(rig.source, lie)
        await rig.fetch(origin.url("/a"))
        assert rig.data() == file.content.read()
        assert len(rig.observer.started_at) == 1


@pytest.mark.parametrize("status", [429, 503])
async def test_a_server_that_wants_no_more_connections_keeps_those_that_work(rig: Rig, status: int) -> None:
    def refuse(_number: int, reply: Reply) -> Reply:
        if source.open_now > 2:
            raise HttpStatusError("too many", status, 5)
        return reply

    async with Origin() as origin:
        file = origin.file("/a", size=SIZE, rate=1_000_000)
        rig.source = source = Meddler(rig.source, refuse)
        await rig.fetch(origin.url("/a"))
        assert rig.data() == file.content.read()
        assert source.hosts.best(origin.url("/a"), asyncio.get_running_loop().time()) in {1, 2}
        assert len(rig.observer.started_at) == 1


async def test_a_connection_that_hangs_is_not_waited_for(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others take its tail, and one fetches its last bytes once more."""
    for name in ("YOUNG", "CALM_TICK"):
        monkeypatch.setattr(swarm, name, 0.02)
    use(rig, stall_timeout=3600, split_size=0)
    async with Origin() as origin:
        file = origin.file("/a", size=SIZE, rate=500_000, stall_after=10_000, stall_times=1)
        await rig.fetch(origin.url("/a"))
        assert origin.stalled.is_set()
        assert rig.data() == file.content.read()


@pytest.mark.parametrize("limit", [1, 2, 3])
async def test_connections_to_one_host_are_limited_whichever_way_they_are_read(rig: Rig, limit: int) -> None:
    source = HttpSource(rig.settings, connections_per_host=limit)
    async with Origin() as origin:
        file = origin.file("/a", size=SIZE, rate=2_000_000)
        rig.source = meddler = Meddler(source)
        await rig.fetch(origin.url("/a"))
        assert rig.data() == file.content.read()
        assert meddler.most == limit
    await source.close()


async def test_connections_of_a_job_are_limited(rig: Rig) -> None:
    async with Origin() as origin:
        file = origin.file("/a", size=SIZE, rate=2_000_000)
        rig.source = meddler = Meddler(rig.source)
        room = Room(3)
        with room.taken():  # another file of the job
            await rig.fetch(origin.url("/a"), room=room)
        assert rig.data() == file.content.read()
        assert (meddler.most, room.used) == (2, 0)


@pytest.mark.parametrize("is_right", [True, False])
async def test_digests_are_verified_although_bytes_come_out_of_order(rig: Rig, is_right: bool) -> None:
    async with Origin() as origin:
        file = origin.file("/a", size=SIZE, rate=2_000_000)
        data = file.content.read() if is_right else b"other"
        digest = {"sha256": hashlib.sha256(data).hexdigest()}
        if is_right:
            await rig.fetch(origin.url("/a"), digest=digest)
            assert rig.data() == data
        else:
            with pytest.raises(DigestMismatchError):
                await rig.fetch(origin.url("/a"), digest=digest)


async def interrupted(rig: Rig, origin: Origin) -> None:
    """An attempt that ends with a prefix and three pieces beyond it."""
    use(rig, reopen_limit=0)
    file = origin.file("/a", size=SIZE, stall_after=30_000, stall_times=-1)
    with pytest.raises(StalledError):
        await rig.fetch(origin.url("/a"))
    file.stall_after = None
    origin.requests.clear()


async def test_every_synced_piece_is_kept_and_only_what_is_missing_is_asked_for(rig: Rig) -> None:
    async with Origin() as origin:
        await interrupted(rig, origin)
        seen = rig.observer
        assert (seen.synced_at[-1], [(piece.start, piece.end) for piece in seen.pieces]) == (
            30_000,
            [(100_000, 130_000), (200_000, 230_000), (300_000, 330_000)],
        )
        await rig.fetch(origin.url("/a"))
        assert rig.data() == origin.scripts["/a"].content.read()
        assert origin.ranges("/a")[0] == "bytes=30000-"
        assert not [start for start in KEPT if has_asked_for(origin, start, start + 30_000)]


def flip(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1]))


@pytest.mark.parametrize("at", [100_000, 215_000, 329_999])
async def test_a_damaged_piece_is_fetched_again_and_no_other(rig: Rig, at: int) -> None:
    async with Origin() as origin:
        await interrupted(rig, origin)
        flip(rig.part, at)
        await rig.fetch(origin.url("/a"))
        assert rig.data() == origin.scripts["/a"].content.read()
        assert origin.ranges("/a")[0] == "bytes=30000-"
        again = [start for start in KEPT if has_asked_for(origin, start, start + 30_000)]
        assert again == [at // 100_000 * 100_000] or not again  # the first connection may have come by there


async def test_damage_before_the_first_gap_starts_the_file_over(rig: Rig) -> None:
    async with Origin() as origin:
        await interrupted(rig, origin)
        flip(rig.part, 29_999)
        await rig.fetch(origin.url("/a"))
        assert rig.data() == origin.scripts["/a"].content.read()
        assert origin.ranges("/a")[0] is None


async def test_pieces_are_of_no_use_when_the_server_stops_doing_ranges(rig: Rig) -> None:
    async with Origin() as origin:
        await interrupted(rig, origin)
        origin.scripts["/a"].no_range = True
        await rig.fetch(origin.url("/a"))
        assert rig.data() == origin.scripts["/a"].content.read()
        assert rig.progress.transferred == SIZE


async def test_pieces_are_void_when_the_file_changed(rig: Rig) -> None:
    async with Origin() as origin:
        await interrupted(rig, origin)
        origin.scripts["/a"].change_after = 0
        await rig.fetch(origin.url("/a"))
        assert rig.data() == origin.scripts["/a"].changed.read()


async def test_pieces_are_filled_in_by_one_connection_when_no_more_are_allowed(rig: Rig) -> None:
    async with Origin() as origin:
        await interrupted(rig, origin)
        rig.hasten(connections_per_file=1)
        rig.source = meddler = Meddler(rig.source)
        await rig.fetch(origin.url("/a"))
        assert rig.data() == origin.scripts["/a"].content.read()
        assert (meddler.most, len(meddler.asks)) == (1, 4)


async def test_a_cancelled_attempt_has_everything_on_record(rig: Rig) -> None:
    use(rig, stall_timeout=3600)
    async with Origin() as origin:
        origin.file("/a", size=SIZE, stall_after=30_000, stall_times=-1)
        task = asyncio.ensure_future(rig.fetch(origin.url("/a")))
        await until(lambda: rig.progress.transferred >= LANES * 30_000)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert rig.observer.synced_at[-1] == 30_000
        assert [piece.length for piece in rig.observer.pieces] == [30_000] * 3
        assert rig.progress.transferred == LANES * 30_000


async def test_nginx_serves_a_file_in_segments(rig: Rig, tmp_path: Path) -> None:
    data = random.Random(1).randbytes(SIZE)
    with running_nginx(tmp_path, server="limit_rate 1m;") as nginx:
        (nginx.root / "a").write_bytes(data)
        await rig.fetch(nginx.url("a"))
        assert rig.data() == data
        assert len([line for line in nginx.log() if " 206 " in line]) >= LANES - 1
