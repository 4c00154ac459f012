"""Jobs brought into each state for real: a stage is one bitsd and one origin on which a background job waits for ever.

The only background slot is held by a HIGH job that gets no byte, so a NORMAL job that is to run stays QUEUED; what has
to run is FOREGROUND. `bring` returns a job that does not change by itself any more.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

from tests.origin import Origin
from tests.process import Bitsd, Document

SETTINGS = {
    "BITSD_SCHEDULER__BACKGROUND_SLOTS": "1",
    "BITSD_TRANSFER__CONNECTIONS_PER_JOB": "1",
    "BITSD_TRANSFER__STALL_TIMEOUT": "600",
    "BITSD_LIMITS__JOBS_PER_USER": "0",
    "BITSD_LIMITS__JOBS_PER_MACHINE": "0",
}
SIZE = 1000
LIVE = ("SUSPENDED", "QUEUED", "TRANSFERRING", "TRANSIENT_ERROR", "ERROR", "TRANSFERRED")
FINAL = ("ACKNOWLEDGED", "CANCELLED")
STALLED: dict[str, Any] = {"size": SIZE, "stall_after": 0, "stall_times": -1}
LEFT: dict[str, dict[str, Any]] = {
    "TRANSIENT_ERROR": {"statuses": [500] * 100},
    "ERROR": {"statuses": [404] * 100},
}


class Stage:
    """See the module."""

    def __init__(self, bitsd: Bitsd, origin: Origin) -> None:
        self.bitsd = bitsd
        self.origin = origin
        self._numbers = count()

    async def open(self) -> None:
        """Take the background slot."""
        file = self.file(**STALLED)
        job = await self.bitsd.ok(
            "POST", "/v1/jobs", {"display_name": "first", "priority": "HIGH", "files": [file], "resume": True}
        )
        await self.bitsd.wait(job, "TRANSFERRING")

    def file(self, **options: Any) -> dict[str, str]:  # noqa: ANN401 - options of a Script
        """A file that the origin serves so, as it is added to a job."""
        number = next(self._numbers)
        self.origin.file(f"/{number}", seed=number, **options)
        return {"remote_name": self.origin.url(f"/{number}"), "local_name": str(self.bitsd.downloads / str(number))}

    async def fresh(self, files: int = 1, **properties: object) -> Document:
        """SUSPENDED, never resumed."""
        wanted = [self.file(size=SIZE) for _ in range(files)]
        body = {"display_name": "fresh", "files": wanted, "priority": "FOREGROUND"} | properties
        return await self.settled(await self.bitsd.ok("POST", "/v1/jobs", body))

    async def bring(self, state: str, done: int = 1, left: int = 1, **properties: object) -> Document:
        """A job with `done` finished files in front of `left` unfinished ones, its files included.

        Ready for a Resume that will not run: NORMAL, unless it is TRANSFERRING or `properties` say otherwise.
        """
        bitsd = self.bitsd
        way = state if state in LEFT else "TRANSFERRING" if left else "TRANSFERRED"
        files = [self.file(size=SIZE) for _ in range(done)]
        files += [self.file(**LEFT.get(way, STALLED)) for _ in range(left)]
        body = {"display_name": state, "files": files, "priority": "FOREGROUND", "resume": True} | properties
        job = await bitsd.wait(await bitsd.ok("POST", "/v1/jobs", body), way)
        if way == "TRANSFERRING":
            await self._until_stalled(job, done)
        if state in {"SUSPENDED", *FINAL} and way != "SUSPENDED":
            await bitsd.act(job, "suspend")
        if state not in {"TRANSFERRING", *FINAL} and "http_method" not in properties:
            await bitsd.ok("PATCH", f"/v1/jobs/{job['id']}", {"priority": "NORMAL"})
        if state in FINAL:
            await bitsd.act(job, "complete" if state == "ACKNOWLEDGED" else "cancel")
        job = await bitsd.wait(job, state)
        return await self.settled(job)

    async def settled(self, job: Document) -> Document:
        """The job with its files and without what depends on the moment of asking."""
        found = await self.bitsd.job(job, include="files")
        if found["waiting"]:
            del found["waiting"]["until"], found["waiting"]["detail"]
        return found

    async def settled_with_events(self, job: Document) -> Document:
        """The same with the job's events."""
        return await self.settled(job) | {"events": await self.bitsd.events(job=job)}

    def paths(self, job: Document) -> list[Path]:
        return [Path(file["local_name"]) for file in job["files"]]

    def are_whole(self, job: Document, done: int) -> bool:
        """The first `done` files are there with the origin's bytes; no other file of the job is, under any name."""
        for position, file in enumerate(job["files"]):
            local = Path(file["local_name"])
            if Path(file["temporary_name"]).exists() or local.exists() != (position < done):
                return False
            content = self.origin.scripts["/" + local.name].content.read()
            if position < done and local.read_bytes() != content:
                return False
        return True

    async def _until_stalled(self, job: Document, done: int) -> None:
        """Until nothing can arrive any more: the head of the first stalled file and every size are on record."""
        while True:
            found = await self.bitsd.job(job, include="files")
            has_head = found["files"][done]["response_headers"] is not None
            if has_head and found["progress"]["bytes_total"] is not None:
                return
            await asyncio.sleep(0)


@asynccontextmanager
async def stage(home: Path, **environment: str) -> AsyncIterator[Stage]:
    async with Origin() as origin, Bitsd(home, **(SETTINGS | environment)) as bitsd:
        made = Stage(bitsd, origin)
        await made.open()
        yield made
