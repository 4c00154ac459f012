"""How fast bytes arrive and when the rest will be here. Pure: the clock is handed in, seconds and bytes."""

from collections import deque

WINDOW = 5.0


class SpeedMeter:
    """Speed over the last `window` seconds; starts anew when bytes are taken back (a file that restarts)."""

    def __init__(self, window: float = WINDOW) -> None:
        self._window = window
        self._points: deque[tuple[float, int]] = deque()

    def add(self, now: float, done: int) -> None:
        if self._points and done < self._points[-1][1]:
            self._points.clear()
        self._points.append((now, done))
        while len(self._points) > 2 and self._points[1][0] <= now - self._window:
            self._points.popleft()

    def speed(self) -> float | None:
        """Bytes per second; None until two points are known."""
        if len(self._points) < 2:
            return None
        (since, before), (now, done) = self._points[0], self._points[-1]
        return (done - before) / (now - since) if now > since else None

    def remaining(self, total: int | None) -> float | None:
        """Seconds to the end at this speed; None when the size is not known or nothing moves."""
        speed = self.speed()
        if total is None or not speed:
            return None
        return max(0.0, (total - self._points[-1][1]) / speed)
