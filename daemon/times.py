"""RFC 3339 in UTC, as every time goes over the wire."""

from datetime import UTC, datetime
from typing import overload


@overload
def rfc3339(wall: float) -> str: ...
@overload
def rfc3339(wall: None) -> None: ...
@overload
def rfc3339(wall: float | None) -> str | None: ...
def rfc3339(wall: float | None) -> str | None:
    """`2026-11-23T22:31:00.123Z`, with milliseconds; None stays None."""
    if wall is None:
        return None
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
