"""RFC 3339 in UTC, as every time goes over the wire."""

from datetime import UTC, datetime
from functools import lru_cache
from typing import overload


@overload
def rfc3339(wall: float) -> str: ...
@overload
def rfc3339(wall: None) -> None: ...
@overload
def rfc3339(wall: float | None) -> str | None: ...
def rfc3339(wall: float | None) -> str | None:
    """`2026-11-23T22:31:00.123Z`, with milliseconds; None stays None."""
    return None if wall is None else _text(wall)


@lru_cache(maxsize=256)
def _text(wall: float) -> str:
    """The same moments are shown again and again: those of jobs that were made or changed together."""
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
