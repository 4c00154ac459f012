"""How many connections are worth it: decided by what they bring together. Pure; `now` is handed in, in seconds.

One connection is measured, then four times as many, and so on while the rate grows with them. Where it does not, as
many stay as the rate is a multiple of what one brought before: where the server limits the client, that is one.
"""

from dataclasses import dataclass

FACTOR = 4
SETTLING = 0.05
"""Seconds that new connections have before they are measured: buffers on the way fill first."""
WINDOW = 0.2
PATIENCE = 4
"""Windows in which new connections must show a gain: a real network takes its time to trust one."""
SOON = 0.5
"""Seconds: what will be over by then is not worth it."""
FAST = 200 << 20
"""Bytes per second from which on a connection is not slow for want of others."""
WORTH = 0.5
"""Of the gain that as many times the connections could bring, so much must come for more of them to be tried."""


@dataclass(slots=True)
class Growth:
    """`target`: connections there should be, at most `most`. `known`: how many were best before."""

    most: int
    known: int | None = None
    target: int = 1
    is_settled: bool = False
    _before: int = 1
    _rate: float = 0.0
    _began: float | None = None
    _moved: int = 0
    _windows: int = 0

    def __post_init__(self) -> None:
        if self.known is not None:
            self.target = max(1, min(self.known, self.most))
        self.is_settled = self.known is not None or self.most == 1

    def observe(self, now: float, moved: int, left: int) -> None:
        """`moved` bytes have come by `target` connections, each of which has brought some; `left` are to come."""
        if self.is_settled:
            return
        if self._began is None:
            self._began = now + SETTLING
            return
        if now < self._began:
            self._moved = moved
            return
        elapsed = now - self._began
        if elapsed < (self._windows + 1) * WINDOW or moved == self._moved:
            return
        self._windows += 1
        rate = (moved - self._moved) / elapsed
        if left < rate * SOON:
            return
        if self.target == 1:
            self._grow(rate, is_fast=rate >= FAST)
            return
        gain, times = rate / self._rate, self.target / self._before
        if gain >= 1 + WORTH * (times - 1):
            self._grow(rate, is_fast=False)
        elif self._windows >= PATIENCE:
            self._settle(round(self._before * gain))

    def refuse(self, working: int) -> None:
        """The server does not want more than those that work."""
        self._settle(working)

    def _grow(self, rate: float, *, is_fast: bool) -> None:
        if is_fast or self.target >= self.most:
            self.is_settled = True
            return
        self._before, self._rate = self.target, rate
        self.target = min(self.target * FACTOR, self.most)
        self._began, self._windows = None, 0

    def _settle(self, count: int) -> None:
        self.is_settled = True
        self.target = max(1, min(count, self.target))
