"""Job and File to and from the JSON a row keeps. A field a record gained later reads as its default."""

import json
from dataclasses import asdict

from jobqueue.job import File, Job, JobError, Owner, Priority, Properties, State, Timers, Totals


def job_to_text(job: Job) -> str:
    """The whole record; `row` is the store's to give and ignored when read."""
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
    data["owner"] = Owner(**data["owner"])
    data["properties"] = Properties(**properties)
    data["timers"] = Timers(**data["timers"])
    data["totals"] = Totals(**data["totals"])
    data["error"] = None if data["error"] is None else JobError(**data["error"])
    return Job(**data)


def file_to_text(file: File) -> str:
    """The whole record."""
    return json.dumps(asdict(file), separators=(",", ":"))


def file_from_text(text: str) -> File:
    """The inverse of file_to_text."""
    data = json.loads(text)
    data["ranges"] = tuple((offset, length) for offset, length in data["ranges"])
    data["mirrors"] = tuple(data["mirrors"])
    return File(**data)
