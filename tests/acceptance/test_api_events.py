"""Events through the socket: numbers, filters, long poll, streams, truncation; show 8: none is lost or told twice."""

import asyncio
import contextlib
import json
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from tests.origin import Origin
from tests.process import Bitsd, Document

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bitsd(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bitsd]:
    async with Bitsd(tmp_path_factory.mktemp("events")) as service:
        yield service


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def origin() -> AsyncIterator[Origin]:
    async with Origin() as made:
        yield made


async def last(bitsd: Bitsd) -> int:
    return int((await bitsd.ok("GET", "/v1/jobs"))["seq"])


async def edit(bitsd: Bitsd, job: Document, text: str) -> None:
    await bitsd.ok("PATCH", f"/v1/jobs/{job['id']}", {"description": text})


async def stream(bitsd: Bitsd, query: str = "", after: int | None = None) -> AsyncGenerator[Document, None]:
    """The events of a stream, each with the `id` and `event` lines it came with."""
    headers = {"Accept": "text/event-stream"} | ({} if after is None else {"Last-Event-ID": str(after)})
    connector = aiohttp.UnixConnector(bitsd.socket)
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.get(f"http://bitsd/v1/events?{query}", headers=headers) as response,
    ):
        assert response.content_type == "text/event-stream"
        fields: dict[str, str] = {}
        async for line in response.content:
            name, colon, value = line.decode().rstrip("\n").partition(": ")
            if colon and name:
                fields[name] = value
            elif not line.strip() and "data" in fields:
                yield json.loads(fields["data"]) | {"id:": fields.get("id"), "event:": fields["event"]}
                fields = {}


async def take(events: AsyncGenerator[Document, None], count: int) -> list[Document]:
    found = []
    async with asyncio.timeout(20):
        async for event in events:
            found.append(event)
            if len(found) == count:
                break
    return found


async def test_the_whole_life_of_a_job_is_told_in_order(bitsd: Bitsd, origin: Origin) -> None:
    origin.file("/life", size=1000)
    before = await last(bitsd)
    job = await bitsd.create(origin.url("/life"), resume=False)
    await edit(bitsd, job, "x")
    await bitsd.act(job, "resume")
    await bitsd.wait(job, "TRANSFERRED")
    await bitsd.act(job, "complete")
    events = await bitsd.events(before, job)
    told = [(event["type"], event.get("from"), event.get("to"), event.get("file_index")) for event in events]
    assert [entry for entry in told if entry[0] != "JOB_MODIFIED"] == [
        ("JOB_CREATED", None, None, None),
        ("JOB_STATE", "SUSPENDED", "QUEUED", None),
        ("JOB_STATE", "QUEUED", "TRANSFERRING", None),
        ("FILE_TRANSFERRED", None, None, 0),
        ("JOB_STATE", "TRANSFERRING", "TRANSFERRED", None),
        ("JOB_TRANSFERRED", None, None, None),
        ("JOB_STATE", "TRANSFERRED", "ACKNOWLEDGED", None),
    ]
    assert [event["seq"] for event in events] == sorted({event["seq"] for event in events})
    assert all(event.keys() >= {"seq", "time", "type", "job_id"} for event in events)
    times = [event["time"] for event in events]
    assert times == sorted(times)
    assert times[-1].endswith("Z")


async def test_a_failure_is_told_with_its_code(bitsd: Bitsd, origin: Origin) -> None:
    job = await bitsd.wait(await bitsd.create(origin.url("/nowhere")), "ERROR")
    (event,) = await bitsd.events(job=job, types="JOB_ERROR")
    assert event["code"] == job["error"]["code"]


async def test_filters_and_pages(bitsd: Bitsd) -> None:
    before = await last(bitsd)
    one, two = await bitsd.create(name="one"), await bitsd.create(name="two")
    for number in range(5):
        await edit(bitsd, one, str(number))
        await edit(bitsd, two, str(number))
    every = await bitsd.events(before)
    assert len(every) == 12
    assert await bitsd.events(before, one) == [event for event in every if event["job_id"] == one["id"]]
    assert await bitsd.events(before, types="JOB_CREATED") == every[:2]
    assert await bitsd.events(before, types="JOB_CREATED,JOB_MODIFIED") == every
    assert await bitsd.events(every[6]["seq"]) == every[7:]
    paged, after = [], before
    while (page := await bitsd.ok("GET", f"/v1/events?after={after}&limit=5&job={two['id']}"))["events"]:
        assert len(page["events"]) <= 5
        paged += page["events"]
        after = page["seq"]
    assert paged == await bitsd.events(before, two)
    assert after == await last(bitsd)
    unknown = "00000000-0000-0000-0000-000000000000"
    assert (await bitsd.ok("GET", f"/v1/events?job={unknown}"))["events"] == []


async def test_a_long_poll_ends_with_the_first_event_that_was_asked_for(bitsd: Bitsd) -> None:
    job, other = await bitsd.create(name="poll"), await bitsd.create(name="other")
    seq = await last(bitsd)
    query = f"/v1/events?after={seq}&wait=30&job={job['id']}&types=JOB_STATE"
    poll = asyncio.create_task(bitsd.ok("GET", query))
    await edit(bitsd, other, "not asked for")
    await edit(bitsd, job, "not asked for either")
    await bitsd.act(job, "cancel")
    async with asyncio.timeout(5):
        found = await poll
    assert [(event["job_id"], event["to"]) for event in found["events"]] == [(job["id"], "CANCELLED")]
    assert found["seq"] == await last(bitsd)


async def test_a_long_poll_without_events_ends_at_its_timeout(bitsd: Bitsd) -> None:
    seq = await last(bitsd)
    found = await bitsd.ok("GET", f"/v1/events?after={seq}&wait=0.2&types=JOB_ERROR")
    assert found == {"events": [], "seq": seq}


async def test_a_stream_tells_what_was_and_what_comes_with_its_numbers(bitsd: Bitsd) -> None:
    job = await bitsd.create(name="stream")
    await edit(bitsd, job, "one")
    async with contextlib.aclosing(stream(bitsd, f"job={job['id']}&after=0")) as events:
        first = await anext(events), await anext(events)
        await edit(bitsd, job, "two")
        await bitsd.act(job, "cancel")
        streamed = [*first, await anext(events), await anext(events)]
    stored = await bitsd.events(job=job)
    assert [event | {"id:": str(event["seq"]), "event:": event["type"]} for event in stored] == streamed
    async with contextlib.aclosing(stream(bitsd, f"job={job['id']}&after=0", after=stored[1]["seq"])) as events:
        assert [event["seq"] for event in await take(events, 2)] == [event["seq"] for event in stored[2:]]


async def test_a_stream_carries_progress_that_is_never_stored(bitsd: Bitsd, origin: Origin) -> None:
    origin.file("/slow", size=3_000_000, rate=1_000_000)
    job = await bitsd.create(origin.url("/slow"), resume=False)
    seq, seen = await last(bitsd), []
    async with contextlib.aclosing(stream(bitsd, f"job={job['id']}&after={seq}")) as events, asyncio.timeout(20):
        await bitsd.act(job, "resume")
        async for event in events:
            seen.append(event)
            if event["type"] == "JOB_TRANSFERRED":
                break
    moved = [event for event in seen if event["type"] == "PROGRESS"]
    assert len(moved) >= 2
    assert all((event["id:"], event["event:"], event["job_id"]) == (None, "PROGRESS", job["id"]) for event in moved)
    counts = [event["progress"]["bytes_transferred"] for event in moved]
    assert counts == sorted(counts)
    assert 0 < counts[-1] <= 3_000_000
    stored = await bitsd.events(seq, job)
    assert [event["seq"] for event in seen if event["id:"]] == [event["seq"] for event in stored][
        : len(seen) - len(moved)
    ]
    assert await bitsd.events(job=job, types="PROGRESS") == []


async def test_who_comes_late_is_told_how_far_a_transfer_is_though_it_stands_still(
    bitsd: Bitsd, origin: Origin
) -> None:
    origin.file("/silent", size=3_000_000, stall_after=1_000_000, stall_times=1)
    job = await bitsd.create(origin.url("/silent"))
    await bitsd.until(job, lambda found: found["progress"]["bytes_transferred"] == 1_000_000)
    async with contextlib.aclosing(stream(bitsd, f"job={job['id']}&types=PROGRESS")) as first:
        (seen,) = await take(first, 1)
        async with contextlib.aclosing(stream(bitsd, "types=PROGRESS")) as second:
            assert await take(second, 1) == [seen]
    assert (seen["type"], seen["job_id"], seen["progress"]["bytes_transferred"]) == ("PROGRESS", job["id"], 1_000_000)
    await bitsd.act(job, "cancel")


async def test_a_stream_of_some_types_carries_only_those(bitsd: Bitsd) -> None:
    seq = await last(bitsd)
    async with contextlib.aclosing(stream(bitsd, f"types=JOB_STATE&after={seq}")) as events:
        waiting = asyncio.create_task(take(events, 2))
        jobs = [await bitsd.create(name="types") for _ in range(2)]
        for job in jobs:
            await edit(bitsd, job, "x")
            await bitsd.act(job, "cancel")
        assert [(event["type"], event["job_id"]) for event in await waiting] == [
            ("JOB_STATE", job["id"]) for job in jobs
        ]


async def test_events_that_are_no_longer_kept_are_said_to_be(tmp_path: Path) -> None:
    async with Bitsd(tmp_path, BITSD_DAEMON__HISTORY_RETENTION="1") as bitsd:
        kept = await bitsd.create(name="kept")
        await bitsd.act(await bitsd.create(name="gone"), "cancel")
        found = await bitsd.ok("GET", f"/v1/events?after={await last(bitsd)}&types=JOB_REMOVED&wait=10")
        status, reply = await bitsd.call("GET", "/v1/events?after=0")
        assert (status, reply["code"]) == (410, "EVENTS_TRUNCATED")
        assert 0 < reply["oldest"] < found["seq"]
        status, _ = await bitsd.call("GET", "/v1/events?after=0", headers={"Accept": "text/event-stream"})
        assert status == 410
        status, _ = await bitsd.call("GET", "/v1/events", headers={"Last-Event-ID": "0"})
        assert status == 410
        for query in ("", f"?after={reply['oldest']}"):
            events = (await bitsd.ok("GET", f"/v1/events{query}"))["events"]
            assert [event["seq"] for event in events] == list(range(reply["oldest"] + 1, found["seq"] + 1))
        await edit(bitsd, kept, "x")
        assert await last(bitsd) == found["seq"] + 1
        await bitsd.kill()
        await bitsd.start()
        assert (await bitsd.call("GET", "/v1/events?after=0"))[0] == 410


class Follower:
    """A client that asks for what is new since the number it has, and again when the service was away."""

    def __init__(self, bitsd: Bitsd) -> None:
        self.events: list[Document] = []
        self.seq = 0
        self._bitsd = bitsd
        self._news = asyncio.Event()

    async def follow(self) -> None:
        while True:
            with contextlib.suppress(aiohttp.ClientError, OSError, asyncio.IncompleteReadError):
                status, page = await self._bitsd.call("GET", f"/v1/events?after={self.seq}&wait=60&limit=7")
                if status == 200:
                    self.events += page["events"]
                    self.seq = page["seq"]
                    self._news.set()
            await asyncio.sleep(0)

    async def until(self, count: int) -> None:
        """At least so many events were seen."""
        while len(self.events) < count:
            self._news.clear()
            await self._news.wait()


def chains(events: Sequence[Document]) -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for event in events:
        if event["type"] == "JOB_STATE":
            found[event["job_id"]].append((event["from"], event["to"]))
    return found


async def test_every_state_change_is_told_once_across_kills(tmp_path: Path) -> None:
    settings = {"BITSD_SCHEDULER__BACKGROUND_SLOTS": "3", "BITSD_SCHEDULER__TIME_SLICE": "1"}
    async with Origin() as origin, Bitsd(tmp_path, **settings) as bitsd:
        urls = [origin.url(f"/{number}") for number in range(12)]
        for number in range(12):
            origin.file(f"/{number}", size=400_000, rate=800_000, statuses=[503] * (number % 3 == 0))
        follower = Follower(bitsd)
        following = asyncio.create_task(follower.follow())
        levels = ["FOREGROUND", "HIGH", "NORMAL", "LOW"] * 3
        jobs = [
            await bitsd.create(url, minimum_retry_delay=1, priority=level)
            for url, level in zip(urls, levels, strict=True)
        ]
        answered: list[tuple[str, str]] = []
        for number in range(5):
            for job in jobs[number::5]:
                answered += [(job["id"], (await bitsd.act(job, verb))["state"]) for verb in ("suspend", "resume")]
            await follower.until(len(follower.events) + 4)
            await bitsd.kill()
            await bitsd.start()
        for job in jobs:
            await bitsd.wait(job, "TRANSFERRED")
        done = [await bitsd.act(job, verb) for job, verb in zip(jobs, ["complete", "cancel"] * 6, strict=True)]
        every = await bitsd.events()
        async with asyncio.timeout(10):
            await follower.until(len(every))
        following.cancel()
        assert [event["seq"] for event in every] == list(range(1, len(every) + 1))
        assert follower.events == every
        found = chains(every)
        for job in done:
            chain = found[job["id"]]
            assert chain[0][0] == "SUSPENDED"
            assert [to for _, to in chain[:-1]] == [before for before, _ in chain[1:]]
            assert chain[-1][1] == job["state"]
        for job_id, state in answered:  # what was answered is on record
            assert state in {to for _, to in found[job_id]}
        assert all(chain for chain in found.values())
