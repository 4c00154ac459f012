"""One file over several connections: starts them, ends them, and gives each something to fetch.

Owns the connections of one file while more than one may be worth it. How many there are is decided by growth.py, who
fetches what by claims.py; this module asks, measures and obeys. A reply counts only if it is the very part that was
asked for, of the version whose bytes are here. What goes wrong on one connection ends that one; the file goes on as
long as one brings bytes, and what remains then is for worker.py to ask for as it does without a swarm.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace

from transfer.claims import Claim, Claims, gaps, shares
from transfer.errors import BadReplyError, ConnectionLostError, LocalFileError, TransferError, shown
from transfer.growth import Growth
from transfer.hosts import Room
from transfer.inlet import Inlet
from transfer.integrity import content_digests
from transfer.reply import Continue, judge
from transfer.request import Settings
from transfer.segments import Span
from transfer.sink import Sink
from transfer.source import Ask, Head, Reply, Source

PIECES = 16
"""No connection is opened for less than such a part of `split_size`."""
LEAST = 4096
TICK = 0.02
"""Seconds between two looks while it is decided how many connections there are to be, and afterwards."""
CALM_TICK = 0.2
YOUNG = 0.5
"""Seconds that a connection has before it counts as slow."""
FAR_SLOWER = 0.25
"""Of the usual rate: a connection below that is not waited for at the end."""


@dataclass(slots=True, eq=False)
class Lane:
    """One connection after the other. `rest`: the last bytes of its claim, which somebody else was faster to bring."""

    claim: Claim
    since: float
    is_extra: bool = True
    """Not the first of its file."""
    is_open: bool = False
    """The server has answered for this claim as it should."""
    is_stopped: bool = False
    brought: int = 0
    """By the claims before."""
    seen: int = 0
    rate: float = 0.0
    task: asyncio.Task[None] | None = None
    clock: asyncio.Timeout | None = None
    """While it streams; when it runs out, there is a `rest`."""
    rest: tuple[int, bytes] | None = None

    @property
    def total(self) -> int:
        return self.brought + self.claim.brought


class Swarm:
    """`template`: the request, but for its span; its validators are those of the bytes that are here. `room`: of the
    job, where the first connection of the file is counted already.
    """

    def __init__(self, sink: Sink, source: Source, settings: Settings, *, template: Ask, size: int, room: Room) -> None:
        self._sink = sink
        self._source = source
        self._settings = settings
        self._template = replace(template, is_piece=True, is_segment=True)
        self._job_room = room
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        most = settings.connections_per_file
        known = source.hosts.best(template.url, self._loop.time()) if settings.split_size else most
        self._growth = Growth(most, known)
        self._learnt = known
        least = max(settings.split_size // PIECES, LEAST)
        self._claims = Claims(shares(gaps(sink.position, sink.pieces, size), self._growth.target, least), least)
        self._lanes: list[Lane] = []
        self._hedged: set[Claim] = set()
        self._brought = 0
        """By lanes that have ended."""
        self._losses = 0
        self._measured_at = self._loop.time()
        self._usual = 0.0
        self._failure: TransferError | None = None
        self._group = asyncio.TaskGroup()

    async def run(self, reply: Reply, connection: AsyncExitStack, limit: int) -> None:
        """Fetch everything, beginning with `reply`, which brings the first gap and what follows, up to `limit`.

        Returns early when the last connection could not be opened. Raises TransferError when it broke.
        """
        claim = self._claims.take(self._rate)
        assert claim is not None  # noqa: S101 - there was something to ask for
        self._claims.bound(claim, limit)
        await self._sink.begin_body(())
        try:
            async with connection, self._group as group:
                lane = Lane(claim, self._loop.time(), is_extra=False)
                self._start(lane, self._first(lane, reply, connection))
                others = [group.create_task(self._digest())]
                while self._lanes:
                    others += self._steer()
                    await self._wait()
                for task in others:
                    task.cancel()
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None
        if self._failure is not None and self._claims.left:
            raise self._failure

    @property
    def is_alone(self) -> bool:
        """One connection is all the server wants, or all that is worth it."""
        return self._growth.target == 1

    async def _wait(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(CALM_TICK if self._growth.is_settled and self._sink.is_begun else TICK):
                await self._news.wait()
        self._news.clear()

    async def _digest(self) -> None:
        """While bytes come out of order, read those back that are in order by now."""
        while True:
            await asyncio.sleep(CALM_TICK)
            await self._sink.catch_up()

    # who works

    def _steer(self) -> list[asyncio.Task[None]]:
        """Start and stop connections; returns what was started for the last bytes of another."""
        now, growth, url = self._loop.time(), self._growth, self._template.url
        self._measure(now)
        working = [lane for lane in self._lanes if not lane.is_stopped]
        if len(working) == growth.target and all(lane.total for lane in working):
            growth.observe(now, self._brought + sum(lane.total for lane in self._lanes), self._claims.left)
        if growth.is_settled and growth.target != self._learnt:
            self._learnt = growth.target
            self._source.hosts.learn(url, growth.target, now)
        room = min(self._job_room.left, self._source.hosts.room(url).left)
        if room < 0 and len(working) == len(self._lanes):
            self._stop(working[max(1, len(working) - 1) :])
        self._stop(working[growth.target :])
        count, most = len(working), min(growth.target, len(working) + room)
        while working and self._sink.is_begun and count < most:
            claim = self._claims.take(self._rate)
            if claim is None:
                return self._hedge_slowest(now)
            lane = Lane(claim, now)
            self._start(lane, self._further(lane))
            count += 1
        return []

    def _start(self, lane: Lane, work: Coroutine[None, None, None]) -> None:
        self._lanes.append(lane)
        self._job_room.used += lane.is_extra
        lane.task = self._group.create_task(work)
        lane.task.add_done_callback(lambda _: self._ended(lane))

    def _ended(self, lane: Lane) -> None:
        self._job_room.used -= lane.is_extra
        self._lanes.remove(lane)
        self._brought += lane.total
        self._claims.drop(lane.claim)
        self._news.set()

    def _stop(self, lanes: Sequence[Lane]) -> None:
        for lane in lanes:
            lane.is_stopped = True
            if lane.task is not None:
                lane.task.cancel()

    def _measure(self, now: float) -> None:
        elapsed = now - self._measured_at
        if elapsed < CALM_TICK:
            return
        self._measured_at = now
        for lane in self._lanes:
            lane.rate = (lane.rate + (lane.total - lane.seen) / elapsed) / 2
            lane.seen = lane.total
        known = [lane.rate for lane in self._lanes if now - lane.since >= YOUNG]
        if len(known) > 1:
            self._usual = sum(known) / len(known)

    def _rate(self, claim: Claim) -> float:
        """Bytes per second of the connection; of a young one, what is usual."""
        lane = next((lane for lane in self._lanes if lane.claim is claim), None)
        if lane is None or self._loop.time() - lane.since < YOUNG:
            return self._usual or 1.0
        return lane.rate

    # what each does

    async def _first(self, lane: Lane, reply: Reply, connection: AsyncExitStack) -> None:
        """Bring what `reply` has of the claim, digested on the way, and then what there is."""
        async with self._forgiven(lane):
            try:
                lane.is_open = True
                await self._stream(lane, reply, self._sink.body)
            finally:
                try:
                    await self._sink.flush_body()
                finally:
                    await connection.aclose()
            if self._next(lane):
                await self._bring(lane)

    async def _further(self, lane: Lane) -> None:
        async with self._forgiven(lane):
            await self._bring(lane)

    async def _bring(self, lane: Lane) -> None:
        """One claim after the other."""
        while True:
            ask = replace(self._template, span=Span(lane.claim.position, lane.claim.end))
            async with self._source.open(ask) as reply:
                self._claims.bound(lane.claim, lane.claim.position + self._length(ask, reply.head))
                lane.is_open = True
                async with self._sink.inlet(lane.claim.position) as inlet:
                    await self._stream(lane, reply, inlet)
            if not self._next(lane):
                return

    def _next(self, lane: Lane) -> bool:
        """Whether there is something more for this connection."""
        lane.is_open = False
        if len(self._lanes) > self._growth.target:
            return False
        lane.brought, done = lane.total, lane.claim
        self._claims.drop(done)
        claim = self._claims.take(self._rate)
        lane.claim = claim or Claim(done.end, done.end)
        return claim is not None

    async def _stream(self, lane: Lane, reply: Reply, inlet: Inlet) -> None:
        claim = lane.claim
        try:
            with suppress(TimeoutError):  # somebody was faster
                async with asyncio.timeout(None) as lane.clock:
                    await _take(reply, inlet, claim, self._news)
        finally:
            lane.clock = None
        if lane.rest is not None:
            (start, data), lane.rest = lane.rest, None
            rest = data[claim.position - start :][: claim.left]
            claim.reach(claim.position + len(rest))
            await inlet.add(rest)
        elif claim.left:
            raise ConnectionLostError(f"cannot fetch {shown(reply.head.url)}: the body is shorter than was promised")

    def _length(self, ask: Ask, head: Head) -> int:
        """Of the body, which is the part that was asked for, of our version. Raises TransferError."""
        verdict = judge(ask, head)
        if isinstance(verdict, Continue) and head.status == 206 and not content_digests(head):
            length, size = verdict.length, verdict.validators.size
            if length is not None and size == ask.validators.size:
                return length
        raise BadReplyError(f"cannot fetch a part of {shown(ask.url)}: the server sent something else")

    @asynccontextmanager
    async def _forgiven(self, lane: Lane) -> AsyncIterator[None]:
        """What goes wrong with the server ends this connection only; the number of them may go down by that."""
        try:
            yield
        except LocalFileError:
            raise
        except TransferError as error:
            self._failure = error if lane.is_open else None
            self._losses += lane.is_open
            lane.is_stopped = True
            if not lane.is_open or self._losses > self._settings.reopen_limit:
                self._growth.refuse(max(1, sum(not other.is_stopped for other in self._lanes)))

    # the last bytes

    def _hedge_slowest(self, now: float) -> list[asyncio.Task[None]]:
        """Ask for the last bytes of a connection that is far slower than usual once more."""
        claim = self._claims.slowest(self._rate, self._usual * FAR_SLOWER)
        lane = next((lane for lane in self._lanes if lane.claim is claim), None)
        if lane is None or claim is None or claim in self._hedged or now - lane.since < YOUNG:
            return []
        self._hedged.add(claim)
        return [self._group.create_task(self._hedge(lane, claim))]

    async def _hedge(self, lane: Lane, claim: Claim) -> None:
        start, end = claim.position, claim.end
        ask = replace(self._template, span=Span(start, end))
        data = bytearray()
        with suppress(TransferError), self._job_room.taken():
            async with self._source.open(ask) as reply:
                self._length(ask, reply.head)
                async for chunk in reply.chunks:
                    data += chunk
                    if start + len(data) >= end:
                        break
        if start + len(data) >= end and lane.claim is claim and claim.left and lane.clock is not None:
            lane.rest = (start, bytes(data[: end - start]))
            lane.clock.reschedule(self._loop.time())


async def _take(reply: Reply, inlet: Inlet, claim: Claim, news: asyncio.Event) -> None:
    wire = await reply.take()
    if wire is not None:
        with wire:
            await inlet.pump(wire, claim)
        return
    async for chunk in reply.chunks:
        mine = chunk[: claim.left]
        is_first = claim.position == claim.start
        claim.reach(claim.position + len(mine))
        await inlet.add(mine)
        if is_first:
            await inlet.flush()
            news.set()
        if not claim.left:
            return
