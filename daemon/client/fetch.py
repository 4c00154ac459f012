"""One job from creation to its end on behalf of somebody who waits: create, watch, complete, or clean up.

Owns how a watched job can end and what is left of it then. Survives a restart of the service; reading the job a few
times a second is the only thing it relies on. Times are in seconds on the loop's clock.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, assert_never

from daemon.client.client import SCHEMES, Client
from daemon.client.errors import ClientError, InvalidState, NotFound, ServiceUnavailable
from daemon.client.patience import Patience, pause
from daemon.client.progress import View
from daemon.schema import Job, State

POLL = 0.2
CLEANUP_TIME = 10.0


class Ending(StrEnum):
    """How the watching of a job ended."""

    READY = "ready"
    FAILED = "failed"
    CANCELLED = "cancelled"
    ACKNOWLEDGED = "acknowledged"
    TIMED_OUT = "timed out"
    INTERRUPTED = "interrupted"


_ENDINGS = {
    State.TRANSFERRED: Ending.READY,
    State.ACKNOWLEDGED: Ending.ACKNOWLEDGED,
    State.CANCELLED: Ending.CANCELLED,
    State.ERROR: Ending.FAILED,
}


@dataclass(frozen=True, slots=True)
class Result:
    """The job as it was last seen, and whether it is still in the queue because it could not be cancelled."""

    ending: Ending
    job: Job
    is_left_over: bool = False


@dataclass(frozen=True, slots=True)
class Login:
    """Who we are to the servers of a job."""

    user: str
    password: str = field(repr=False)


async def create(client: Client, body: Mapping[str, Any], login: Login | None) -> Job:
    """The job that `body` describes; with a login it is not started before it has that. Raises ClientError."""
    if login is None:
        return await client.create_job(**body)
    job = await client.create_job(**{**body, "resume": False})
    try:
        for scheme in SCHEMES:
            await client.set_credentials(job.id, "server", scheme, login.user, login.password)
        return await client.resume(job.id)
    except (ClientError, asyncio.CancelledError):
        with suppress(ClientError):
            await client.cancel(job.id)
        raise


class Fetch:
    """`run` once. `stop` is set by a signal; `timeout` (None: no limit) counts from the start of the watch."""

    def __init__(
        self,
        client: Client,
        view: View,
        stop: asyncio.Event,
        *,
        timeout: float | None = None,
        keep: bool = False,
        poll: float = POLL,
    ) -> None:
        self._client = client
        self._view = view
        self._stop = stop
        self._timeout = timeout
        self._keep = keep
        self._poll = poll

    async def run(self, body: Mapping[str, Any], login: Login | None = None) -> Result:
        """Create the job that `body` describes and see it through. Raises ClientError when the service refuses."""
        job = await create(self._client, body, login)
        try:
            return await self._see_through(job)
        except (ClientError, asyncio.CancelledError):
            if not await self._clean_up(job):
                self._view.say(f"the job may still be in the queue: bitsctl show {job.id}")
            raise

    async def _see_through(self, job: Job) -> Result:
        ending, job = await self._watch(job)
        match ending:
            case Ending.READY:
                return Result(Ending.ACKNOWLEDGED, await self._complete(job))
            case Ending.ACKNOWLEDGED | Ending.CANCELLED:
                return Result(ending, job)
            case Ending.FAILED | Ending.TIMED_OUT | Ending.INTERRUPTED:
                return Result(ending, job, is_left_over=not await self._clean_up(job))
            case _:
                assert_never(ending)

    async def _watch(self, job: Job) -> tuple[Ending, Job]:
        """Read the job until there is nothing more to wait for."""
        patience = Patience(self._view.say, stop=self._stop, has_answered=True)
        latest = job
        try:
            async with asyncio.timeout(self._timeout):
                while True:
                    self._view.show(latest)
                    if ending := _ENDINGS.get(latest.state):
                        return ending, latest
                    if await pause(self._stop, self._poll):
                        return Ending.INTERRUPTED, latest
                    latest = await patience.call(lambda: self._client.job(job.id))
        except TimeoutError:
            return Ending.TIMED_OUT, latest
        except ServiceUnavailable:
            if self._stop.is_set():
                return Ending.INTERRUPTED, latest
            raise

    async def _complete(self, job: Job) -> Job:
        """Complete; when the answer was lost in a restart, the job itself tells whether it had happened."""
        patience = Patience(self._view.say, stop=self._stop, has_answered=True)
        try:
            return await patience.call(lambda: self._client.complete(job.id))
        except InvalidState:
            latest = await self._client.job(job.id)
            if latest.state is State.ACKNOWLEDGED:
                return latest
            raise

    async def _clean_up(self, job: Job) -> bool:
        """Cancel the job unless it shall be kept: whether it is out of the queue."""
        if self._keep:
            return False
        try:
            async with asyncio.timeout(CLEANUP_TIME):
                await self._client.cancel(job.id)
        except (InvalidState, NotFound):
            return True
        except (ClientError, TimeoutError):
            return False
        return True
