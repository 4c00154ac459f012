"""Waiting out a restart of the service: a safe request is asked again until somebody answers or patience ends.

A service that never answered at all is not waited for: it is not restarting, it is not there.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from daemon.client.errors import ServiceUnavailable

Answer = TypeVar("Answer")
LIMIT = 30.0
PAUSE = 0.5


class Patience:
    """Repeats requests that may be repeated. `limit` and `pause` are in seconds; `stop` ends it early."""

    def __init__(
        self,
        say: Callable[[str], None],
        *,
        stop: asyncio.Event | None = None,
        has_answered: bool = False,
        limit: float = LIMIT,
        pause: float = PAUSE,
    ) -> None:
        self._say = say
        self._stop = stop or asyncio.Event()
        self._has_answered = has_answered
        self._limit = limit
        self._pause = pause

    async def call(self, request: Callable[[], Awaitable[Answer]]) -> Answer:
        """The answer of `request`. Raises ServiceUnavailable when nobody answered yet, or not for `limit` seconds."""
        deadline: float | None = None
        while True:
            try:
                answer = await request()
            except ServiceUnavailable as error:
                if not self._has_answered:
                    raise
                now = asyncio.get_running_loop().time()
                if deadline is None:
                    deadline = now + self._limit
                    self._say(f"{error.detail}; waiting {self._limit:.0f} s for it to come back")
                elif now >= deadline:
                    raise
                if await pause(self._stop, self._pause):
                    raise
            else:
                if deadline is not None:
                    self._say("the service is back")
                self._has_answered = True
                return answer


async def pause(stop: asyncio.Event, seconds: float) -> bool:
    """Sleep, but not past `stop`: whether it is set."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return False
    return True
