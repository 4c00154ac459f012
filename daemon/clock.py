"""Service time: seconds that never jump, run only while the service does, and go on after a restart.

Deadlines of jobs are kept in it, so that neither a change of the wall clock nor a day without the service moves them
(spec/service.md §3.2.10). The queue saves it with every change.
"""

import time


class ServiceClock:
    """Starts at `saved`, the last value the service before had written down."""

    def __init__(self, saved: float) -> None:
        self._base = saved - time.clock_gettime(time.CLOCK_BOOTTIME)

    def now(self) -> float:
        """Service time in seconds."""
        return self._base + time.clock_gettime(time.CLOCK_BOOTTIME)

    def wall(self) -> float:
        """Seconds since the epoch."""
        return time.time()
