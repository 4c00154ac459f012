"""Takes callers in at the listening socket; when this process cannot have one more, that caller alone is turned away.

Owns the descriptors callers may use: an eighth of all is kept for transfers and the store, and one is held back so that
even without any a caller gets an answer. Knows nothing of HTTP but the one reply it needs.
"""

import asyncio
import contextlib
import logging
import os
import resource
import socket
from collections.abc import Callable

from daemon.api.problem import problem

log = logging.getLogger(__name__)

BATCH = 100
"""Callers taken in before other tasks have their turn."""
PAUSE = 0.2
"""Seconds until the next try when a caller cannot even be turned away."""
PATIENCE = 0.5
"""Seconds in which one who is turned away may send the request: a reply before it would look like a broken pipe."""
QUIET = 10.0
"""Seconds without a refusal after which the next one is worth a line in the log."""


class Acceptor:
    """Serves `listener` with a protocol of `make_protocol` for each caller, from `start` to `close`; its tasks live in
    `group`.
    """

    def __init__(
        self, listener: socket.socket, make_protocol: Callable[[], asyncio.Protocol], group: asyncio.TaskGroup
    ) -> None:
        self._listener = listener
        self._make_protocol = make_protocol
        self._group = group
        self._loop = asyncio.get_running_loop()
        self._spare: int | None = None
        most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._reserve = most // 8
        self._end_of_room = most - self._reserve
        """Descriptors from this number on are not for callers: the kernel always gives the lowest that is free."""
        self._leaving = 0
        self._refused_at = float("-inf")

    def start(self) -> None:
        """Begin to take callers in."""
        self._take_spare()
        self._listener.listen(1024)
        self._loop.add_reader(self._listener, self._take_in)

    def close(self) -> None:
        """Take nobody in any more; who is in stays."""
        self._loop.remove_reader(self._listener)
        self._listener.close()
        self._give_up_spare()

    def _take_in(self) -> None:
        """Everybody who waits at the door."""
        for _ in range(BATCH):
            try:
                caller, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except (OSError, MemoryError) as error:
                self._tell(error)
                if not self._turn_away_with_the_spare():
                    self._pause()
                    return
                continue
            caller.settimeout(0)
            if caller.fileno() < self._end_of_room:
                self._group.create_task(self._seat(caller))
            else:
                self._tell("too many open connections")
                self._turn_away(caller)

    async def _seat(self, caller: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._make_protocol, caller)
        except Exception:
            # whatever it is, it is the end of this connection and of nothing else
            caller.close()
            log.warning("cannot serve a caller", exc_info=True)

    def _turn_away(self, caller: socket.socket) -> None:
        """With a reply after the request, while there are descriptors to wait with, else at once."""
        if self._leaving < self._reserve // 2:
            self._leaving += 1
            self._group.create_task(self._see_off(caller))
        else:
            _refuse(caller)

    async def _see_off(self, caller: socket.socket) -> None:
        try:
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    await self._loop.sock_recv(caller, 65_536)
        finally:
            self._leaving -= 1
            _refuse(caller)

    def _turn_away_with_the_spare(self) -> bool:
        """There is no descriptor for a caller: answer with the one held back. False = not even that was possible."""
        self._give_up_spare()
        try:
            caller, _ = self._listener.accept()
        except BlockingIOError:
            return self._take_spare()
        except (OSError, MemoryError):
            return False
        _refuse(caller)
        return self._take_spare()

    def _pause(self) -> None:
        self._loop.remove_reader(self._listener)
        self._loop.call_later(PAUSE, self._resume)

    def _resume(self) -> None:
        if self._listener.fileno() >= 0:
            self._take_spare()
            self._loop.add_reader(self._listener, self._take_in)

    def _take_spare(self) -> bool:
        if self._spare is None:
            with contextlib.suppress(OSError):
                self._spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        return self._spare is not None

    def _give_up_spare(self) -> None:
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None

    def _tell(self, why: object) -> None:
        """Once for each burst."""
        now = self._loop.time()
        if now - self._refused_at > QUIET:
            log.warning("turns callers away with 503: %s", why)
        self._refused_at = now


def _refuse(caller: socket.socket) -> None:
    """Never waits: a new connection takes so few bytes."""
    with caller, contextlib.suppress(OSError):
        caller.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            caller.recv(65_536)  # what is not read makes the kernel call the end a reset
        caller.send(REFUSAL)


def _refusal() -> bytes:
    document = problem("SERVICE_UNAVAILABLE", "cannot serve one more connection: too many open files; try again later")
    body = document.body
    assert isinstance(body, bytes)  # noqa: S101 - as `problem` makes it
    head = (
        f"HTTP/1.1 503 Service Unavailable\r\nContent-Type: {document.content_type}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


REFUSAL = _refusal()
