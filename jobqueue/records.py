"""Job, File and Event to and from the JSON a row keeps. A field a record gained later reads as its default."""

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any, TypeVar

from jobqueue.job import File, Job, JobError, Owner, Priority, Properties, State, Timers, Totals

_T = TypeVar("_T")


def job_to_text(job: Job) -> str:
    """Everything but `row`, which the store gives."""
    return json.dumps(asdict(job), separators=(",", ":"))


def job_from_text(text: str, row: int) -> Job:
    """The inverse of job_to_text."""
    data = json.loads(text)
    properties = data["properties"]
    properties["priority"] = Priority(properties["priority"])
    for name in ("notify_flags", "security_flags"):
        properties[name] = tuple(properties[name])
    if properties["notify_command"] is not None:
        properties["notify_command"] = tuple(properties["notify_command"])
    data["row"] = row
    data["state"] = State(data["state"])
    data["owner"] = _record(Owner, data["owner"])
    data["properties"] = _record(Properties, properties)
    data["timers"] = _record(Timers, data["timers"])
    data["totals"] = _record(Totals, data["totals"])
    data["error"] = None if data["error"] is None else _record(JobError, data["error"])
    return _record(Job, data)


def file_to_text(file: File) -> str:
    """The whole file record."""
    return json.dumps(asdict(file), separators=(",", ":"))


def file_from_text(text: str) -> File:
    """The inverse of file_to_text."""
    data = json.loads(text)
    data["ranges"] = tuple((offset, length) for offset, length in data["ranges"])
    data["mirrors"] = tuple(data["mirrors"])
    return _record(File, data)


def _record(kind: type[_T], data: Mapping[str, Any]) -> _T:
    known = _FIELDS[kind]
    return kind(**{name: value for name, value in data.items() if name in known})


_FIELDS: dict[type, frozenset[str]] = {
    kind: frozenset(field.name for field in fields(kind))
    for kind in (Job, File, Owner, Properties, JobError, Timers, Totals)
}
