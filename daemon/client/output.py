"""How numbers, times and tables look to a person. Pure: values in, text out; prints nothing.

Sizes are in bytes and shown in binary units, durations in seconds, times RFC 3339 and shown in the local zone.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def format_size(size: float | None) -> str:
    """`1.5 GiB`; a question mark for a size that nobody knows yet."""
    if size is None:
        return "?"
    if size < 1024:
        return f"{size:.0f} B"
    value, unit = float(size), 0
    while value >= 1023.95 and unit < len(UNITS) - 1:  # what would be rounded to 1024.0 belongs to the next unit
        value, unit = value / 1024, unit + 1
    return f"{value:.1f} {UNITS[unit]}"


def format_speed(speed: float | None) -> str:
    return "-" if speed is None else f"{format_size(speed)}/s"


def format_duration(seconds: float | None) -> str:
    """`0:09`, `1:02:03`, `3d 4:05:06`, `90d`; a question mark when not known."""
    if seconds is None:
        return "?"
    minutes, second = divmod(max(0, round(seconds)), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days and not (hour or minute or second):
        return f"{days}d"
    if days:
        return f"{days}d {hour}:{minute:02}:{second:02}"
    return f"{hour}:{minute:02}:{second:02}" if hour else f"{minute}:{second:02}"


def format_time(stamp: str | None, *, clock_only: bool = False) -> str:
    """An RFC 3339 time in the local zone; the text itself when it is no such time."""
    if not stamp:
        return "-"
    try:
        local = datetime.fromisoformat(stamp).astimezone()
    except ValueError:
        return clean(stamp)
    return local.strftime("%H:%M:%S" if clock_only else "%Y-%m-%d %H:%M:%S")


def format_percent(done: int, total: int | None, *, is_whole: bool = False) -> str:
    """Whole percent, rounded down: 100% means all of it. `is_whole`: known to be finished, whatever the numbers say."""
    if is_whole:
        return "100%"
    if total is None or total <= 0:
        return "-"
    return f"{min(100, done * 100 // total)}%"


def clean(text: str) -> str:
    """Text of other people (names, addresses, messages) without what could steer a terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" if ord(c) < 256 else f"\\u{ord(c):04x}" for c in text)


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, right: Iterable[str] = ()) -> str:
    """Aligned columns, two spaces between; columns named in `right` are flush right, the last one is never padded."""
    lines = [tuple(header), *(tuple(row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    widths[-1] = 0
    flush = set(right)
    sides = [">" if name in flush else "<" for name in header]
    layout = "  ".join(f"{{:{side}{width or ''}}}" for side, width in zip(sides, widths, strict=True))
    return "\n".join(layout.format(*line).rstrip() for line in lines)


def short_ids(ids: Sequence[str], shortest: int = 8) -> list[str]:
    """The ids cut to the same length, as short as they stay different (and at least `shortest` characters)."""
    length, longest = shortest, max(map(len, ids), default=0)
    while length < longest and len({job_id[:length] for job_id in ids}) < len(set(ids)):
        length += 1
        if any(job_id[length - 1 : length] == "-" for job_id in ids):
            length += 1
    return [job_id[:length] for job_id in ids]
