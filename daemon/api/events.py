"""Events: by number, by long poll, or as a stream."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import get_args

from aiohttp import web

from daemon.access import Access, guard
from daemon.api.call import Call
from daemon.api.problem import field_error
from daemon.api.stream import KEEP_ALIVE, Stream
from daemon.progress import PROGRESS
from daemon.schema import EventQuery, EventType
from daemon.window import Line, line_of
from jobqueue.errors import NotFoundError, RefusedError
from jobqueue.transaction import EventQuery as RowQuery


async def events(call: Call) -> web.StreamResponse:
    """GET /v1/events."""
    query, log = await _row_query(call), call.backend.events
    if "text/event-stream" in call.request.headers.get("Accept", ""):
        await log.after(replace(query, limit=1))  # a truncated log is an error before the stream begins
        return await Stream(call, query).serve(query.after)
    found, seq = await log.after(query)
    lines: Sequence[Line] = [line_of(event) for event in found]
    if not lines and (wait := call.query(EventQuery).wait):
        lines, seq = await _next(call, replace(query, after=seq), wait)
    body = b'{"events":[%b],"seq":%d}' % (b",".join(line.document for line in lines), seq)
    return web.Response(body=body, content_type="application/json")


async def _next(call: Call, query: RowQuery, seconds: float) -> tuple[Sequence[Line], int]:
    """What happens after the query's number, once there is any, and the number to ask from next."""
    log, loop = call.backend.events, asyncio.get_running_loop()
    deadline = loop.time() + seconds
    with log.follow(query, query.after) as follower:
        while not log.is_closed and (left := deadline - loop.time()) > 0:
            await follower.wait(min(left, KEEP_ALIVE))
            if call.request.transport is None:
                raise ConnectionResetError("the client is gone")
            if lines := await follower.take(query.limit):
                return lines, follower.seq
    found, seq = await log.after(replace(query, after=follower.seq))
    return [line_of(event) for event in found], seq


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
