"""What the events of the queue must be, whoever reads them and however often the service was killed: pure functions.

Owns what counts as double. Every reader sees each event once and in order; all see the same; and what they tell of a
job is one way through the state machine.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from jobqueue.job import State
from jobqueue.states import TRANSITIONS
from tests.findings import FINAL
from tests.process import Document

MOVES = {(str(source), str(target)) for moves in TRANSITIONS.values() for source, target in moves.items()}


def judge_reader(name: str, read: Sequence[Document], log: Sequence[Document]) -> list[str]:
    """`read`: what one client was told over all lives of the service, asking on from its last number; `log`: what the
    service has on record in the end.
    """
    found = [f"{name} was told {event} twice or late" for event in _out_of_order(read)]
    kept = {event["seq"]: event for event in log}
    found += [
        f"{name} was told {event}, it is {kept.get(event['seq'])} now"
        for event in read
        if kept.get(event["seq"]) != event
    ]
    last = max((event["seq"] for event in read), default=0)
    told = {event["seq"] for event in read}
    found += [f"{name} was never told {event}" for event in log if event["seq"] <= last and event["seq"] not in told]
    return found


def _out_of_order(events: Sequence[Document]) -> list[Document]:
    return [event for before, event in pairwise(events) if event["seq"] <= before["seq"]]


@dataclass(slots=True)
class _Life:
    """A job as far as it was told."""

    state: str = str(State.SUSPENDED)
    last: Document = field(default_factory=dict)
    transferred: set[int] = field(default_factory=set)


def judge_log(log: Sequence[Document], states: dict[str, str]) -> list[str]:
    """`states`: of each job as it is now, by id."""
    found = [f"{event} is twice or late" for event in _out_of_order(log)]
    lives: dict[str, _Life] = {}
    for event in log:
        is_new = event["job_id"] not in lives
        life = lives.setdefault(event["job_id"], _Life())
        if (event["type"] == "JOB_CREATED") != is_new or not _follows(life, event):
            found.append(f"{event} cannot follow {life.last}, the job was {life.state}")
        if event["type"] == "JOB_STATE":
            life.state = event["to"]
        life.last = event
    told = {job_id: life.state for job_id, life in lives.items()}
    found += [f"job {job_id} was never told of" for job_id in states.keys() - told.keys()]
    found += [f"job {job_id} was told of, nobody asked for it" for job_id in told.keys() - states.keys()]
    for job_id in told.keys() & states.keys():
        if told[job_id] != states[job_id]:
            found.append(f"job {job_id} is {states[job_id]}, its last event says {told[job_id]}")
    return found


def _follows(life: _Life, event: Document) -> bool:
    """Whether this is what may come next; a job that enters TRANSFERRED says so at once, and says it once."""
    has_entered = life.last.get("type") == "JOB_STATE" and life.last["to"] == "TRANSFERRED"
    if has_entered != (event["type"] == "JOB_TRANSFERRED"):
        return False
    match event["type"]:
        case "JOB_STATE":
            return event["from"] == life.state != event["to"] and (event["from"], event["to"]) in MOVES
        case "FILE_TRANSFERRED":
            is_first = event["file_index"] not in life.transferred
            life.transferred.add(event["file_index"])
            return is_first and life.state not in FINAL
        case "JOB_ERROR":  # what was given up may be fetched again
            life.transferred.clear()
            return life.state == "ERROR"
        case "JOB_MODIFIED":
            return life.state not in FINAL
        case _:
            return True
