"""Events: by number, by long poll, or as a stream (Server-Sent Events) that also carries live progress."""

import asyncio
import json
from dataclasses import replace
from typing import get_args

from aiohttp import web

from daemon.access import Access, guard
from daemon.api.call import Call, Reply
from daemon.api.problem import field_error
from daemon.documents import Document
from daemon.documents import event as event_document
from daemon.schema import EventQuery, EventType
from daemon.times import rfc3339
from jobqueue.errors import NotFoundError, RefusedError
from jobqueue.job import Job
from jobqueue.transaction import EventQuery as RowQuery
from jobqueue.transaction import Transaction

PROGRESS = "PROGRESS"
PROGRESS_INTERVAL = 0.5
"""Seconds between live progress events of a stream."""
KEEP_ALIVE = 15.0
"""Seconds of silence after which a stream says that it is alive (and notices a client that is gone)."""


async def events(call: Call) -> Reply | web.StreamResponse:
    """GET /v1/events."""
    query = await _row_query(call)
    if "text/event-stream" in call.request.headers.get("Accept", ""):
        return await _Stream(call, query).serve()
    deadline = asyncio.get_running_loop().time() + call.query(EventQuery).wait
    while True:
        news = call.backend.events.news()
        found, seq = await call.backend.events.after(query)
        left = deadline - asyncio.get_running_loop().time()
        if found or left <= 0 or call.backend.events.is_closed:
            return Reply({"events": [event_document(event) for event in found], "seq": seq})
        query = replace(query, after=seq)  # what was looked at may be truncated while this waits
        try:
            async with asyncio.timeout(left):
                await news.wait()
        except TimeoutError:
            continue


async def _row_query(call: Call) -> RowQuery:
    query = call.query(EventQuery)
    owner_uid: int | None = call.caller.uid
    if query.all_users:
        if not call.caller.is_admin:
            raise RefusedError("E_ACCESSDENIED", "only the administrator may see the events of other users")
        owner_uid = None
    if query.job is not None:
        owner_uid = await _owner_of(call, query.job)
    after = query.after
    last = call.request.headers.get("Last-Event-ID")
    if last is not None:
        if not last.isdecimal() or len(last) > 18:
            raise field_error("Last-Event-ID", "this is not the number of an event")
        after = int(last)
    if after is None:
        after = await call.backend.events.oldest()
    types = None if query.types is None else _types(query.types)
    return RowQuery(min(after, 2**62), query.limit, owner_uid, query.job, types)


def _types(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in {*get_args(EventType), PROGRESS}:
            raise field_error("types", f"there is no event type {name}")
    return names


async def _owner_of(call: Call, job_id: str) -> int | None:
    """Whose events to look for: the job's, if the caller may; of a job that is gone only the caller's own."""
    try:
        job = await call.backend.queue.job(job_id)
    except NotFoundError:
        return None if call.caller.is_admin else call.caller.uid
    guard(call.caller, Access.OWNER_OR_ADMIN)(job)
    return None


class _Stream:
    """One event stream: everything stored after a number, in order, none left out; PROGRESS between as it comes."""

    def __init__(self, call: Call, query: RowQuery) -> None:
        self._call = call
        self._query = query
        self._shown: dict[str, int] = {}
        self._response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        )

    async def serve(self) -> web.StreamResponse:
        log, after = self._call.backend.events, self._query.after
        await log.after(self._query)  # a truncated log is an error before the stream begins
        await self._response.prepare(self._call.request)
        await self._response.write(b": bitsd\n\n")
        is_moving = True
        while not log.is_closed:
            news = log.news()
            query = RowQuery(after, self._query.limit, self._query.owner_uid, self._query.job_id, self._query.types)
            found, after = await log.after(query)
            for event in found:
                await self._send(event_document(event), event.seq)
            if len(found) == query.limit:
                continue
            try:
                async with asyncio.timeout(PROGRESS_INTERVAL if found or is_moving else KEEP_ALIVE):
                    await news.wait()
            except TimeoutError:
                was_moving, is_moving = is_moving, await self._send_progress()
                if not (was_moving or is_moving):
                    await self._response.write(b": alive\n\n")
            else:
                is_moving = True
        return self._response

    async def _send(self, document: Document, seq: int | None = None) -> None:
        lines = [] if seq is None else [f"id: {seq}"]
        lines += [f"event: {document['type']}", f"data: {json.dumps(document, separators=(',', ':'))}", "", ""]
        await self._response.write("\n".join(lines).encode())

    async def _send_progress(self) -> bool:
        """Tell of every job whose bytes moved; False when no transfer is running."""
        running = self._call.backend.queue.live.job_ids()
        if self._query.types is not None and PROGRESS not in self._query.types:
            return False

        def read(tx: Transaction) -> list[Job]:
            return [tx.job(job_id) for job_id in running if self._query.job_id in {None, job_id}]

        for job in await self._call.backend.queue.read(read) if running else ():
            if self._query.owner_uid not in {None, job.owner.uid}:
                continue
            progress = self._call.backend.documents.job(job, self._call.caller)["progress"]
            if self._shown.get(job.id) != progress["bytes_transferred"]:
                self._shown[job.id] = progress["bytes_transferred"]
                now = rfc3339(self._call.backend.queue.clock.wall())
                await self._send({"type": PROGRESS, "time": now, "job_id": job.id, "progress": progress})
        return bool(running)
