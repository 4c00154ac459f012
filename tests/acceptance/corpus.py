"""All faults against one real service at once, and what came of each.

A session is one service, the servers, and one job for every fault, each with its own instances of the scripts. What it
hands back is a list of sentences: the faults that did not end as documented.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.fault import End, Fails, Fault, Identical, OneVersion, Retries
from tests.faults.servers import Placed, Servers
from tests.process import Bitsd, Document

ENVIRONMENT = {
    "BITSD_TRANSFER__STALL_TIMEOUT": "4",
    "BITSD_TRANSFER__CONNECT_TIMEOUT": "4",
    "BITSD_RETRY__MINIMUM_RETRY_DELAY_FLOOR": "1",
    "BITSD_LIMITS__JOBS_PER_USER": "0",
    "BITSD_LIMITS__JOBS_PER_MACHINE": "0",
}
CREATORS = 16
"""Jobs are created by so many callers at once."""


@dataclass(slots=True)
class Case:
    """A fault as a job; `found` says what it ended as, empty while it goes on, "as documented" when that is right."""

    fault: Fault
    end: End
    files: Sequence[Placed]
    job: Document = field(default_factory=dict)
    local: list[Path] = field(default_factory=list)
    last: str = "nothing"
    found: str = ""


RIGHT = "as documented"
RESTING = "TRANSFERRED,ERROR,TRANSIENT_ERROR"


class Session:
    """One service on one set of servers. `connections`: per job, and how many files each job has."""

    def __init__(self, bitsd: Bitsd, servers: Servers, *, by_proxy: bool, connections: int) -> None:
        self._bitsd = bitsd
        self._servers = servers
        self._by_proxy = by_proxy
        self._connections = connections

    async def run(self, faults: Mapping[str, Fault], seconds: float) -> list[str]:
        """The sentences about those that ended wrong, or not within `seconds`."""
        cases = [self._case(name, fault) for name, fault in faults.items()]
        doors = asyncio.Semaphore(CREATORS)
        async with asyncio.TaskGroup() as group:
            starts = [group.create_task(self._start(case, doors)) for case in cases]
            watch = group.create_task(self._watch(cases, doors, seconds))
            await asyncio.wait(starts)
            await watch
        return [f"{case.files[0].name}: {case.end}, but {case.found}" for case in cases if case.found != RIGHT]

    def _case(self, name: str, fault: Fault) -> Case:
        files = [self._servers.place(name, fault, instance) for instance in range(self._connections)]
        return Case(fault, fault.ends(by_proxy=self._by_proxy), files)

    async def _start(self, case: Case, doors: asyncio.Semaphore) -> None:
        bitsd, first = self._bitsd, case.files[0]
        case.local = [bitsd.downloads / f"{placed.name}-{number}" for number, placed in enumerate(case.files)]
        body: dict[str, Any] = {
            "display_name": first.name,
            "priority": "FOREGROUND",
            "minimum_retry_delay": 1,
            "files": [
                {"remote_name": placed.url, "local_name": str(local)} | placed.file
                for placed, local in zip(case.files, case.local, strict=True)
            ],
        }
        if self._by_proxy:
            body["proxy"] = {"usage": "OVERRIDE", "list": self._servers.proxy.url}
        async with doors:
            status, document = await bitsd.call("POST", "/v1/jobs", body | first.job)
            if status >= 300:
                case.found = f"the job is refused: {document['detail']}"
                return
            case.job = document
            for path, secret in self._secrets(case):
                status, document = await bitsd.call("PUT", f"/v1/jobs/{case.job['id']}/{path}", secret)
                if status >= 300:
                    case.found = f"its {path} is refused: {document['detail']}"
                    return
            await bitsd.act(case.job, "resume")

    def _secrets(self, case: Case) -> list[tuple[str, Document]]:
        found: list[tuple[str, Document]] = [
            (f"credentials/{each.target}/{each.scheme}", {"user": each.user, "password": each.password})
            for each in case.fault.credentials
        ]
        if case.fault.client_certificate:
            is_known = case.fault.client_certificate == "known"
            found.append(("client-certificate", self._servers.certificates.client(is_known=is_known)))
        return found

    async def _watch(self, cases: Sequence[Case], doors: asyncio.Semaphore, seconds: float) -> None:
        """Look at all jobs again and again until each has ended, one way or another."""
        deadline = asyncio.get_running_loop().time() + seconds
        while going := [case for case in cases if not case.found]:
            if asyncio.get_running_loop().time() > deadline:
                for case in going:
                    case.found = f"it did not end: {case.last}"
                break
            listed = await self._bitsd.ok(
                "GET", f"/v1/jobs?state={RESTING}&fields=id,state,error,error_count&limit=1000"
            )
            now = {job["id"]: job for job in listed["jobs"]}
            async with asyncio.TaskGroup() as group:
                for case in going:
                    if case.job and case.job["id"] in now:
                        group.create_task(self._look(case, now[case.job["id"]], doors))
            await asyncio.sleep(0.2)  # a job's error is no event that could be waited for without reading every one
        for case in cases:
            if case.job and case.found != RIGHT:
                await self._bitsd.call("POST", f"/v1/jobs/{case.job['id']}/cancel")

    async def _look(self, case: Case, job: Document, doors: asyncio.Semaphore) -> None:
        """Settle the case if its job is where it will stay."""
        error = job["error"] or {"code": "", "message": ""}
        case.last = f"{job['state']} {error['code']} ({job['error_count']} errors; {error['message']})"
        match job["state"], case.end:
            case "TRANSFERRED", _:
                async with doors:
                    await self._bitsd.act(job, "complete")
                case.found = self._judged(case)
            case "ERROR", Fails(code):
                case.found = RIGHT if error["code"] == code else case.last
            case "ERROR", _:
                case.found = case.last
            case "TRANSIENT_ERROR", Retries(code, times, other):
                if error["code"] not in {code, other}:
                    case.found = case.last
                elif job["error_count"] >= times:
                    case.found = RIGHT
            case "TRANSIENT_ERROR", Fails() if job["error_count"] > 1:
                case.found = case.last
        if case.found and job["state"] != "TRANSFERRED":
            async with doors:
                await self._bitsd.act(job, "cancel")
            if any(path.exists() for path in case.local):
                case.found = "it failed and there is a file"

    def _judged(self, case: Case) -> str:
        """Whether the published files are what the end says."""
        for placed, local in zip(case.files, case.local, strict=True):
            old, new = placed.versions()
            data = local.read_bytes()
            match case.end:
                case Identical() if data == new:
                    continue
                case OneVersion() if data in {old, new}:
                    continue
            what = "the old version" if data == old else f"{len(data)} bytes that were never meant"
            return f"it succeeded with {what if data != new else 'the file'}"
        return RIGHT
