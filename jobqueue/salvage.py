"""What can be read of a damaged database, copied into a new one. Blocking.

A row counts only with its checksum (sums.py), a job only with all of its files. Rows are asked for from both ends and,
where the damage is, one by one, so that a broken page costs no more than what was on it.
"""

import json
import sqlite3
from collections.abc import Iterator, Sequence

from jobqueue.sums import COLUMNS, insert, row_sum, with_sum

MOST_PROBES = 1_000_000
"""Row numbers in a gap that are tried one by one, where it is known how far they go; else a hundredth of that."""
NUMBERED = {"jobs": "row", "events": "seq"}
KEYS = {
    "files": ("job_id", "idx"),
    "secrets": ("job_id",),
    "requests": ("uid", "key"),
    "leftovers": ("path",),
    "meta": ("key",),
}

Row = tuple[object, ...]


def salvage(damaged: sqlite3.Connection, target: sqlite3.Connection) -> tuple[Sequence[str], bool]:
    """Fill the empty `target`, in its transaction.

    Returns the ids of the jobs that are known to be lost, and whether events are missing.
    """
    damaged.text_factory = lambda raw: raw.decode(errors="surrogateescape")
    files = {(str(row[0]), int(str(row[1]))): row for row in _keyed(damaged, "files")}
    seen = {job_id for job_id, _ in files}
    kept: set[str] = set()
    for number, *values in _numbered(damaged, "jobs"):
        job_id, count = str(values[0]), _file_count(str(values[-1]))
        seen.add(job_id)
        own = [files.get((job_id, index)) or _file(damaged, job_id, index) for index in range(count)]
        if None in own:
            continue
        kept.add(job_id)
        target.execute(insert("jobs", number="row"), (number, *with_sum(*values)))
        for row in own:
            _add(target, "files", row or ())
    _copy_of_jobs(damaged, target, kept)
    events = list(_numbered(damaged, "events"))
    for number, *values in events:
        target.execute(insert("events", number="seq"), (number, *with_sum(*values)))
    meta = _keyed(damaged, "meta")
    for table, rows in (("meta", meta), ("leftovers", _keyed(damaged, "leftovers"))):
        for row in rows:
            _add(target, table, row)
    lost = sorted((seen | _told_of(events)) - kept)
    _add_orphans(target, [row for (job_id, _), row in sorted(files.items()) if job_id not in kept])
    floor = next((int(str(value)) for key, value in meta if key == "events_floor"), 0)
    return lost, _has_gap(damaged, floor, events)


def _file_count(record: str) -> int:
    """Of a job, as its record says (records.py)."""
    return int(json.loads(record)["totals"].get("files", 0))


def _copy_of_jobs(damaged: sqlite3.Connection, target: sqlite3.Connection, kept: set[str]) -> None:
    for table, place in (("secrets", 0), ("requests", 3)):
        for row in _keyed(damaged, table):
            if row[place] in kept:
                _add(target, table, row)


def _add(target: sqlite3.Connection, table: str, values: Sequence[object]) -> None:
    target.execute(insert(table, "INSERT OR REPLACE"), with_sum(*values))


def _add_orphans(target: sqlite3.Connection, rows: Sequence[Row]) -> None:
    """Temporary files whose job is lost: for the administrator to look at (leftovers.py)."""
    for row in rows:
        file = json.loads(str(row[-1]))
        if file.get("inode") is not None and not file.get("completed"):
            path = file["temporary_name"]
            leftover = {"path": path, "job_id": row[0], "owner": None, "since": 0.0}
            _add(target, "leftovers", (json.dumps(path), json.dumps(leftover)))


def _told_of(events: Sequence[Row]) -> set[str]:
    """Jobs that must be there, as far as events tell."""
    removed = {str(row[2]) for row in events if row[1] == "JOB_REMOVED"}
    return {str(row[2]) for row in events if row[2]} - removed


def _has_gap(damaged: sqlite3.Connection, floor: int, events: Sequence[Row]) -> bool:
    """Whether events are missing among those after number `floor`."""
    last = max([_given_out(damaged, "events"), floor, *(int(str(row[0])) for row in events)])
    return last - floor != len(events)


def _given_out(damaged: sqlite3.Connection, table: str) -> int:
    """The highest row number there ever was, 0 if that cannot be read."""
    rows, _ = _scan(damaged, "SELECT seq FROM sqlite_sequence WHERE name = ?", table)
    return int(str(rows[0][0])) if rows and str(rows[0][0]).isdecimal() else 0


def _numbered(damaged: sqlite3.Connection, table: str) -> Iterator[Row]:
    """The sound rows of a table with row numbers, each with its number first."""
    key = NUMBERED[table]
    select = f"SELECT {key}, {', '.join(COLUMNS[table])}, sum FROM {table}"  # noqa: S608 - constants
    first, is_whole = _scan(damaged, f"{select} ORDER BY {key}")
    rows = {row[0]: row for row in first}
    if not is_whole:
        last, _ = _scan(damaged, f"{select} ORDER BY {key} DESC")
        rows |= {row[0]: row for row in last}
        low = max((int(str(row[0])) for row in first), default=0)
        given_out = _given_out(damaged, table) or low + MOST_PROBES // 100
        high = min((int(str(row[0])) for row in last), default=given_out + 1)
        for number in range(low + 1, min(high, low + MOST_PROBES)):
            found, _ = _scan(damaged, f"{select} WHERE {key} = ?", number)
            rows |= {row[0]: row for row in found}
    for _, row in sorted(rows.items(), key=lambda item: int(str(item[0]))):
        if row_sum(*row[1:-1]) == row[-1]:
            yield row[:-1]


def _keyed(damaged: sqlite3.Connection, table: str) -> list[Row]:
    """The sound rows of a table that is ordered by its key."""
    select = f"SELECT {', '.join(COLUMNS[table])}, sum FROM {table} ORDER BY "  # noqa: S608 - constants
    rows, is_whole = _scan(damaged, select + ", ".join(KEYS[table]))
    if not is_whole:
        rows += _scan(damaged, select + ", ".join(f"{key} DESC" for key in KEYS[table]))[0]
    return [row[:-1] for row in dict.fromkeys(rows) if row_sum(*row[:-1]) == row[-1]]


def _file(damaged: sqlite3.Connection, job_id: str, index: int) -> Row | None:
    select = f"SELECT {', '.join(COLUMNS['files'])}, sum FROM files WHERE job_id = ? AND idx = ?"  # noqa: S608
    rows, _ = _scan(damaged, select, job_id, index)
    return next((row[:-1] for row in rows if row_sum(*row[:-1]) == row[-1]), None)


def _scan(damaged: sqlite3.Connection, select: str, *values: object) -> tuple[list[Row], bool]:
    """The rows up to the first that cannot be read; whether that was all."""
    rows: list[Row] = []
    try:
        for row in damaged.execute(select, values):
            rows.append(row)  # noqa: PERF402 - those before an error count
    except sqlite3.Error:
        return rows, False
    return rows, True
