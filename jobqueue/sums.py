"""Checksums of rows: a row that something else than the store has written to is known for what it is, and never used.

SQLite finds a broken structure by itself, but not a changed value. Owns which columns of a table are summed.
"""

import zlib
from collections.abc import Mapping
from functools import cache

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "jobs": (
        "id",
        "owner_uid",
        "display_name",
        "state",
        "is_final",
        "level",
        "turn",
        "intent",
        "wake_at",
        "changed_seq",
        "record",
    ),
    "files": ("job_id", "idx", "transferred", "record"),
    "secrets": ("job_id", "record"),
    "events": ("type", "job_id", "owner_uid", "time", "at", "data"),
    "requests": ("uid", "key", "fingerprint", "job_id"),
    "leftovers": ("path", "record"),
    "meta": ("key", "value"),
}
"""Of every table, but for numbers that SQLite gives out itself. A table stands after those it refers to."""


def row_sum(*values: object) -> int:
    """CRC-32 of a row's values (text, numbers, None) as they are stored."""
    texts = [value if value.__class__ is str else _text(value) for value in values]
    return zlib.crc32("\x1f".join(texts).encode("utf-8", "surrogatepass"))


@cache
def insert(table: str, verb: str = "INSERT", number: str = "") -> str:
    """The statement that adds a row; its parameters are `with_sum` of the values, after that of column `number`."""
    columns = [*filter(None, [number]), *COLUMNS[table], "sum"]
    return f"{verb} INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"


def with_sum(*values: object) -> tuple[object, ...]:
    """The values of a row, and their sum."""
    return (*values, row_sum(*values))


def _text(value: object) -> str:
    if value is None:
        return "\x00"
    # a column of reals makes a real of a whole number: they are the same here
    return repr(float(value)) if isinstance(value, (int, float)) else str(value)
