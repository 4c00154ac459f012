"""How a row of the state x operation table is walked, and the words its cells are written in.

`=` the call succeeds and the state stays; `same` it succeeds and nothing at all changes; a state: the one it leads to
(with `, CODE` when the result is not S_OK); IS and AFTER stand for their codes; any other word is the code of the
refusal. A refusal changes nothing: the document with its files and revision, and the events of the job.
"""

from collections.abc import Callable
from typing import Any

from tests.acceptance.stage import FINAL, LIVE, Stage
from tests.process import Document

IS = "BG_E_INVALID_STATE"
AFTER = "BG_E_READ_ONLY_PROPERTY_AFTER_RESUME"
METHOD = "BG_E_NOT_SUPPORTED_WITH_CUSTOM_HTTP_METHOD"
STATES = (*LIVE, *FINAL)
STATUS = {IS: 409, AFTER: 409, "BG_E_EMPTY": 409, "E_PENDING": 409, METHOD: 400, "E_ACCESSDENIED": 403}
HRESULT = {IS: "0x80200002", AFTER: "0x80200062", "BG_E_EMPTY": "0x80200003", "E_PENDING": "0x8000000A"}
HRESULT |= {METHOD: "0x80200071", "E_ACCESSDENIED": "0x80070005"}

Call = tuple[str, str, object]
"""Method, path below the job, body."""


class Row:
    """Walks one row of the table; `wrong` collects every cell that is not as written."""

    def __init__(self, on: Stage, name: str) -> None:
        self.on = on
        self.name = name
        self.wrong: list[str] = []

    async def cell(self, job: Document, expected: str, call: Call) -> Document:
        """Make the call on the job; returns the reply."""
        before = await self.on.settled_with_events(job)
        method, path, body = call
        status, reply = await self.on.bitsd.call(method, f"/v1/jobs/{job['id']}{path}", body)
        after = await self.on.settled_with_events(job)
        found = self._found(status, reply, before, after, expected)
        if found != {"IS": IS, "AFTER": AFTER}.get(expected, expected):
            self.wrong.append(f"{self.name} [{method} {path} {body}] in {job['state']}: {expected} but {found}")
        return reply

    def _found(self, status: int, reply: Document, before: Document, after: Document, expected: str) -> str:
        """The cell as it turned out to be, in the words of the table."""
        if status >= 300:
            return _refusal(status, reply, before, after)
        if before == after:
            return "same"
        events = after["events"][len(before["events"]) :]
        times = before["times"]["modified"], after["times"]["modified"]
        if after["revision"] <= before["revision"] or times[1] < times[0] or not events:
            return f"{status} with {times}, revision {after['revision']} and the events {events}"
        state = str(reply.get("state", after["state"]))  # the reply may be a file; QUEUED may have gone on since
        if expected == "=" and state == before["state"] == after["state"]:
            return "="
        moves = [(event["from"], event["to"]) for event in events if event["type"] == "JOB_STATE"]
        if moves[:1] != [(before["state"], state)]:
            return f"{state} with the moves {moves}"
        return state if reply.get("result", "S_OK") == "S_OK" else f"{state}, {reply['result']}"


def _refusal(status: int, reply: Document, before: Document, after: Document) -> str:
    code = str(reply["code"])
    if before != after:
        return f"{code}, but it changed {changed(before, after)}"
    if (status, reply["status"], reply["hresult"]) != (STATUS.get(code), status, HRESULT.get(code)):
        return f"{code} with {reply}"
    return code if code != IS or reply["state"] == before["state"] else f"{code} naming {reply['state']}"


def changed(before: Document, after: Document) -> Document:
    return {name: (before[name], after[name]) for name in before if before[name] != after[name]}


async def walk(
    on: Stage,
    name: str,
    row: str,
    call: Callable[[Document], Call],
    check: Callable[[Document, str], None] | None = None,
    **properties: Any,  # noqa: ANN401 - of the jobs
) -> None:
    """One row with a job of its own for each state: one finished file and, but for TRANSFERRED, one unfinished."""
    walker = Row(on, name)
    for state, expected in zip(STATES, row.split(), strict=True):
        job = await on.bring(state, left=0 if state == "TRANSFERRED" else 1, **properties)
        await walker.cell(job, expected, call(job))
        if check is not None:
            check(await on.settled(job), state)
    assert walker.wrong == []
