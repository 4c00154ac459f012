"""The real bitsd as a process of its own, on a private socket and state directory, and a plain client for it.

async with Bitsd(tmp_path) as bitsd:
    status, job = await bitsd.call("POST", "/v1/jobs", {"display_name": "a"})
    await bitsd.kill(); await bitsd.start()     # SIGKILL and start again
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

Document = dict[str, Any]
FAST = {"BITSD_RETRY__MINIMUM_RETRY_DELAY_FLOOR": "1", "BITSD_TRANSFER__STALL_TIMEOUT": "3"}


class Bitsd:
    """One service. `environment` overrides settings (BITSD_SECTION__KEY); `log` has what it printed."""

    def __init__(self, home: Path, **environment: str) -> None:
        self.home = home
        self.socket = str(home / "s")
        self.environment = FAST | environment
        self.downloads = home / "downloads"
        self.downloads.mkdir(exist_ok=True)
        self.arguments: tuple[str, ...] = ()
        """Further command-line arguments of a start."""
        self.process: asyncio.subprocess.Process | None = None

    @property
    def log(self) -> str:
        return (self.home / "log").read_text()

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    async def start(self) -> None:
        """Returns when it answers."""
        self.process = await self.spawn(*self.arguments)
        while True:
            try:
                await self.call("GET", "/v1")
            except (aiohttp.ClientConnectionError, OSError):
                assert self.process.returncode is None, self.log
                await asyncio.sleep(0.02)  # a start is announced nowhere else than on the socket itself
            else:
                return

    async def spawn(self, *arguments: str) -> asyncio.subprocess.Process:
        """The bare process, with its output in `log`."""
        command = [sys.executable, "-m", "daemon", "--socket", self.socket, "--state-dir", str(self.home / "state")]
        with (self.home / "log").open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *command, *arguments, env=os.environ | self.environment, stdout=log, stderr=log
            )

    async def signal(self, number: int) -> int:
        """Send a signal and wait for the end; returns the exit code."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(number)
        return await self.process.wait()

    async def kill(self) -> None:
        await self.signal(signal.SIGKILL)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.signal(signal.SIGTERM)

    async def call(
        self, method: str, path: str, body: object = None, *, headers: dict[str, str] | None = None
    ) -> tuple[int, Document]:
        """One request on a connection of its own: status and document."""
        connector = aiohttp.UnixConnector(self.socket)
        async with (
            aiohttp.ClientSession(connector=connector, base_url="http://bitsd") as session,
            session.request(method, path, json=body, headers=headers) as response,
        ):
            return response.status, await response.json(content_type=None)

    async def ok(self, method: str, path: str, body: object = None) -> Document:
        """A request that must succeed; its document."""
        status, document = await self.call(method, path, body)
        assert status < 300, document
        return document

    async def create(self, *urls: str, resume: bool = True, name: str = "test", **properties: object) -> Document:
        """A job with one file per URL, each under its last path segment in `downloads`."""
        files = [{"remote_name": url, "local_name": self.target(url)} for url in urls]
        body = {"display_name": name, "files": files or None, "resume": resume and bool(files)} | properties
        return await self.ok("POST", "/v1/jobs", {key: value for key, value in body.items() if value is not None})

    def target(self, url: str) -> str:
        return str(self.downloads / url.rpartition("/")[2])

    async def job(self, job: Document, include: str = "") -> Document:
        return await self.ok("GET", f"/v1/jobs/{job['id']}" + (f"?include={include}" if include else ""))

    async def act(self, job: Document, operation: str) -> Document:
        return await self.ok("POST", f"/v1/jobs/{job['id']}/{operation}")

    async def wait(self, job: Document, *states: str, seconds: float = 30) -> Document:
        """The job once it is in one of the states; fails when it does not get there."""
        found = await self.ok("GET", f"/v1/jobs/{job['id']}/wait?until={','.join(states)}&timeout={seconds}")
        assert found["state"] in states, found
        return found

    async def until(self, job: Document, is_so: Callable[[Document], bool]) -> Document:
        """The job once its document is as wanted: bytes have no event, so this asks again and again."""
        while True:
            found = await self.job(job)
            if is_so(found):
                return found
            await asyncio.sleep(0.01)

    async def events(self, after: int = 0, job: Document | None = None, types: str = "") -> list[Document]:
        query = f"?after={after}" + (f"&job={job['id']}" if job else "") + (f"&types={types}" if types else "")
        return list((await self.ok("GET", f"/v1/events{query}"))["events"])

    async def moves(self, job: Document) -> list[str]:
        """The states the job went through."""
        return [event["to"] for event in await self.events(job=job, types="JOB_STATE")]

    def leftovers(self) -> Sequence[str]:
        """Names of the temporary files in `downloads`."""
        return sorted(name for name in os.listdir(self.downloads) if name.startswith(".BIT"))

    def memory(self) -> float:
        """Resident MiB of the process."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
