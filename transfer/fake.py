"""A scripted Source: replies played from a list, with drops, stalls and waits; shipped for tests.

Owns no time: a `Hold` waits for an event that the test sets, a `Stall` and a `Drop` fail at once.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from transfer.errors import ConnectionLostError, StalledError
from transfer.hosts import Hosts
from transfer.source import Ask, Head, Reply

LONG_AFTER = 2.0**32
"""When replies of a script come: later than any Last-Modified in one (seconds since the epoch)."""


class Drop:
    """The connection closes here."""


class Stall:
    """The server goes silent here, for longer than anybody waits."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Silence until `until` is set; `reached` is set when the reader comes here."""

    reached: asyncio.Event = field(default_factory=asyncio.Event)
    until: asyncio.Event = field(default_factory=asyncio.Event)


Step = bytes | Drop | Stall | Hold


@dataclass(frozen=True, slots=True)
class FakeReply:
    """One reply: its status and header fields, then the steps of its body."""

    steps: Sequence[Step] = ()
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


class FakeSource:
    """Answers each request with the next reply of the script and keeps the requests in `asks`."""

    def __init__(self, script: Iterable[FakeReply | Exception]) -> None:
        self.asks: list[Ask] = []
        self.hosts = Hosts()
        self._script = deque(script)

    @asynccontextmanager
    async def open(self, ask: Ask) -> AsyncIterator[Reply]:
        self.asks.append(ask)
        scene = self._script.popleft()
        if isinstance(scene, Exception):
            raise scene
        yield Reply(Head(ask.url, scene.status, tuple(scene.headers.items()), received=LONG_AFTER), _Body(scene.steps))


class _Body(AsyncIterator[bytes]):
    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = iter(steps)

    async def __anext__(self) -> bytes:
        for step in self._steps:
            match step:
                case Drop():
                    raise ConnectionLostError("the script drops the connection")
                case Stall():
                    raise StalledError("the script goes silent")
                case Hold():
                    step.reached.set()
                    await step.until.wait()
                case bytes():
                    await asyncio.sleep(0)
                    return step
        raise StopAsyncIteration
