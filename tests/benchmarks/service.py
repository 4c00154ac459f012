"""bitsd as the comparisons drive it: a real service, its socket on one connection that stays open.

Its wall time is from the call that creates to the answer that says TRANSFERRED; its CPU is that of its process in the
same time; the client's is not counted.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from tests.benchmarks.measure import Figures, cpu_seconds, forget_peak, peak_memory
from tests.process import Bitsd, Document

SETTINGS = {
    "BITSD_LIMITS__JOBS_PER_USER": "0",
    "BITSD_LIMITS__JOBS_PER_MACHINE": "0",
    "BITSD_LIMITS__FILES_PER_JOB": "0",
    "BITSD_TRANSFER__STALL_TIMEOUT": "30",
    "BITSD_RETRY__MINIMUM_RETRY_DELAY_FLOOR": "5",
}
"""No limits of a shared machine, and as it is delivered what tests.process sets otherwise."""
WAIT = 600


@dataclass(frozen=True, slots=True)
class Service:
    """A running bitsd."""

    bitsd: Bitsd
    session: aiohttp.ClientSession

    async def call(self, method: str, path: str, body: object = None) -> Document:
        """A request that must succeed; its document."""
        async with self.session.request(method, path, json=body) as response:
            document: Document = await response.json()
            assert response.status < 300, document
            return document

    async def transfer(self, *bodies: Document) -> Figures:
        """Create the jobs, resume together those that do not begin by themselves, wait until all are TRANSFERRED: the
        figures so far. Then complete them.
        """
        pid = self.bitsd.pid
        forget_peak(pid)
        cpu, began = cpu_seconds(pid), time.perf_counter()
        jobs = [await self.call("POST", "/v1/jobs", body) for body in bodies]
        resumed = time.perf_counter()
        suspended = [job for job in jobs if job["state"] == "SUSPENDED"]
        await asyncio.gather(*(self.call("POST", f"/v1/jobs/{job['id']}/resume") for job in suspended))
        await asyncio.gather(*map(self.finish, jobs))
        ended = time.perf_counter()
        figures = {"wall": ended - began, "cpu": cpu_seconds(pid) - cpu, "memory": peak_memory(pid)}
        if suspended:
            figures["resumed"] = ended - resumed
        await asyncio.gather(*(self.call("POST", f"/v1/jobs/{job['id']}/complete") for job in jobs))
        return figures

    async def finish(self, job: Document, state: str = "TRANSFERRED") -> None:
        """Return when the job is in this state; it may not fail."""
        found = await self.call("GET", f"/v1/jobs/{job['id']}/wait?until={state},ERROR&timeout={WAIT}")
        assert found["state"] == state, found


def job(files: Sequence[Document], **properties: object) -> Document:
    """What to send to create a job that begins at once. FOREGROUND: a user waits for it, as for a peer's."""
    return {"display_name": "bench", "priority": "FOREGROUND", "files": list(files), "resume": True} | properties


def file(url: str, path: Path, **properties: object) -> Document:
    return {"remote_name": url, "local_name": str(path)} | properties


@asynccontextmanager
async def running_service(home: Path, **environment: str) -> AsyncIterator[Service]:
    """A service with its state in `home`, and the settings given."""
    home.mkdir(parents=True)
    async with (
        Bitsd(home, **SETTINGS | environment) as bitsd,
        aiohttp.ClientSession(
            "http://bitsd",
            connector=aiohttp.UnixConnector(bitsd.socket),
            timeout=aiohttp.ClientTimeout(total=None),
        ) as session,
    ):
        yield Service(bitsd, session)
