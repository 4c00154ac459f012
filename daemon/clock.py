"""Service time: seconds that never jump, run only while the service does, and go on after a restart.

Deadlines of jobs are kept in it, so that neither a change of the wall clock nor standby nor a day without the service
moves them (spec/service.md §3.2.10, docs/decisions/0002). It advances with the monotonic clock, as the event loop does.
The queue saves it with every change.
"""

import time
from collections.abc import Callable

ASLEEP = "asleep"
"""The store's meta key: service time goes on although the service is off, because a timer starts it in time."""


class ServiceClock:
    """Starts at `saved`, the last value the service before had written down."""

    def __init__(self, saved: float) -> None:
        self._base = saved - time.monotonic()

    @classmethod
    def restored(cls, meta: Callable[[str], str | None], boot_id: str) -> "ServiceClock":
        """The clock as the service before left it in the store's `meta`.

        What was slept since an idle exit counts within the same boot, and only if nothing was saved since.
        """
        saved = meta("clock") or "0"
        match (meta(ASLEEP) or "").split():
            case [clock, boot, monotonic] if (clock, boot) == (saved, boot_id):
                return cls(float(saved) + time.monotonic() - float(monotonic))
            case _:
                return cls(float(saved))

    def asleep_at(self, now: float, boot_id: str) -> str:
        """What to keep under ASLEEP, in the same change that saves the service time `now`."""
        return f"{now!r} {boot_id} {now - self._base!r}"

    def now(self) -> float:
        """Service time in seconds."""
        return self._base + time.monotonic()

    def wall(self) -> float:
        """Seconds since the epoch."""
        return time.time()
