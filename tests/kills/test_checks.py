"""Each check of the kill campaign can fail: made-up notes, jobs, disks and events that must not be."""

import random
from collections import Counter
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from tests.findings import Findings
from tests.kills.chronicle import judge_log, judge_reader
from tests.kills.fetches import Fetch, Served, sent_again
from tests.kills.moments import Point
from tests.kills.notes import Note, judge, judge_rest
from tests.kills.scenario import every_point, some_points
from tests.origin_content import Content
from tests.process import Document

SERVED = Served("/a", Content(1, 1000))
WHOLE = {"/d/.BIT1.tmp": SERVED.digest}
PUBLISHED = {"/d/a": SERVED.digest}


def note(told: str = "resume", **known: Any) -> Note:  # noqa: ANN401
    served = {"/d/a": SERVED}
    return Note("job-1", told, served=served, files=["/d/a"], id="1", is_acknowledged=True, revision=3, **known)


def job(state: str = "QUEUED", *, transferred: bool = False, completed: bool = False, **other: Any) -> Document:  # noqa: ANN401
    file = {
        "index": 0,
        "local_name": "/d/a",
        "temporary_name": "/d/.BIT1.tmp",
        "transferred": transferred,
        "progress": {"completed": completed},
    }
    return {"id": "1", "state": state, "revision": 3, "priority": "LOW", "files": [file]} | other


@pytest.mark.parametrize(
    ("known", "document", "disk"),
    [
        (note(), job(), {}),
        (note(), job("TRANSFERRED", transferred=True), WHOLE),
        (note("suspend", doubts={"resume"}), job("SUSPENDED"), {}),
        (note("suspend", doubts={"resume"}), job("TRANSFERRING"), {}),
        (note(doubts={"complete"}), job("TRANSFERRED", transferred=True), PUBLISHED),
        (note(doubts={"complete"}), job("ACKNOWLEDGED", transferred=True, completed=True), PUBLISHED),
        (note(doubts={"cancel"}), job("TRANSFERRED", transferred=True), {}),
        (note("complete"), job("ACKNOWLEDGED", transferred=True, completed=True), PUBLISHED),
        (note("complete"), job("ACKNOWLEDGED"), {}),
        (note("cancel"), job("CANCELLED", transferred=True), {}),
        (note(properties={"priority": "HIGH"}, asked_properties={"priority": "LOW"}), job(), {}),
    ],
)
def test_what_is_as_it_was_told_is_no_finding(known: Note, document: Document, disk: dict[str, str]) -> None:
    assert judge(known, document, disk).sentences() == []


@pytest.mark.parametrize(
    ("known", "document"),
    [
        (note(), None),
        (note(), job("SUSPENDED")),
        (note(), job("ERROR")),
        (note("suspend"), job("QUEUED")),
        (note("complete"), job("TRANSFERRED")),
        (note("cancel"), job("QUEUED")),
        (note(doubts={"cancel"}), job("ACKNOWLEDGED")),
        (note(), job(id="2")),
        (note(), job(revision=2)),
        (note(), job(files=[])),
        (note(properties={"priority": "HIGH"}), job()),
        (note(properties={"priority": "HIGH"}, asked_properties={"priority": "FOREGROUND"}), job()),
        (note(transferred={0}), job()),
    ],
)
def test_a_job_that_is_not_as_it_was_acknowledged_is_lost(known: Note, document: Document | None) -> None:
    assert judge(known, document, {}).lost


@pytest.mark.parametrize(
    ("known", "document", "disk"),
    [
        (note(), job("TRANSFERRED", transferred=True), {}),
        (note(), job("TRANSFERRED", transferred=True), {"/d/.BIT1.tmp": "other bytes"}),
        (note(), job("TRANSFERRED", transferred=True), WHOLE | PUBLISHED),
        (note(doubts={"complete"}), job("TRANSFERRED", transferred=True), {}),
        (note(doubts={"complete"}), job("TRANSFERRED", transferred=True), {"/d/a": "other bytes"}),
        (note("complete"), job("ACKNOWLEDGED", transferred=True, completed=True), {}),
        (note("complete"), job("ACKNOWLEDGED", transferred=True, completed=True), {"/d/a": "other bytes"}),
        (note("complete"), job("ACKNOWLEDGED", transferred=True), PUBLISHED),
        (note("complete"), job("ACKNOWLEDGED"), PUBLISHED),
        (note("cancel"), job("CANCELLED", transferred=True), PUBLISHED),
    ],
)
def test_a_file_that_is_not_what_the_origin_serves_is_wrong(
    known: Note, document: Document, disk: dict[str, str]
) -> None:
    found = judge(known, document, disk)
    assert found.wrong
    assert not found.lost


@pytest.mark.parametrize(("told", "state"), [("complete", "ACKNOWLEDGED"), ("cancel", "CANCELLED")])
def test_a_temporary_file_of_a_job_that_is_over_is_left(told: str, state: str) -> None:
    assert judge(note(told), job(state), WHOLE).left


def test_what_nobody_asked_for_is_left_and_what_is_missing_wrong() -> None:
    documents = [job("ACKNOWLEDGED", transferred=True, completed=True)]
    assert not judge_rest(documents, ["/d/a"])
    assert judge_rest(documents, ["/d/a", "/d/.BIT2.tmp"]).left
    assert judge_rest(documents, []).wrong


def test_a_job_whose_creation_was_never_answered_may_be_or_not() -> None:
    unheard = Note("job-1", "resume", served={"/d/a": SERVED}, files=["/d/a"])
    assert not judge(unheard, None, {})
    assert not judge(unheard, job(), {})
    assert judge(unheard, job(files=[]), {}).lost


def test_what_came_of_a_doubt_is_held_against_the_service_from_then_on() -> None:
    known = note("suspend", doubts={"resume"}, properties={"priority": "HIGH"}, asked_properties={"priority": "LOW"})
    known.learn(job("TRANSFERRED", transferred=True))
    assert judge(known, job("SUSPENDED", transferred=True), WHOLE).lost
    assert judge(known, job("TRANSFERRED", transferred=True, priority="HIGH"), WHOLE).lost
    assert judge(known, job("TRANSFERRED"), WHOLE).lost


def log(*kinds: str) -> list[Document]:
    """Events of one job: `A>B` is a change of state, `file` an arrived file 0, the rest types."""
    numbers = count(1)
    return [_event(next(numbers), kind) for kind in kinds]


def _event(seq: int, kind: str) -> Document:
    more: Document = {"type": kind}
    if ">" in kind:
        source, _, target = kind.partition(">")
        more = {"type": "JOB_STATE", "from": source, "to": target}
    elif kind == "file":
        more = {"type": "FILE_TRANSFERRED", "file_index": 0}
    return {"seq": seq, "job_id": "1"} | more


START = ("JOB_CREATED", "SUSPENDED>QUEUED", "QUEUED>TRANSFERRING")
ARRIVED = (*START, "file", "TRANSFERRING>TRANSFERRED", "JOB_TRANSFERRED")
ENDED = (*ARRIVED, "TRANSFERRED>ACKNOWLEDGED")


def test_a_whole_life_is_no_finding_nor_is_a_restart_in_it() -> None:
    assert judge_log(log(*ENDED), {"1": "ACKNOWLEDGED"}) == []
    restarted = (*START, "TRANSFERRING>QUEUED", "QUEUED>TRANSFERRING", *ENDED[3:])
    assert judge_log(log(*restarted), {"1": "ACKNOWLEDGED"}) == []
    again = (*ARRIVED, "TRANSFERRED>QUEUED", "QUEUED>TRANSFERRED", "JOB_TRANSFERRED")
    assert judge_log(log(*again), {"1": "TRANSFERRED"}) == []


@pytest.mark.parametrize(
    ("kinds", "state"),
    [
        (("JOB_CREATED", "JOB_CREATED"), "SUSPENDED"),
        (START[1:], "TRANSFERRING"),
        ((*START, "QUEUED>TRANSFERRING"), "TRANSFERRING"),
        ((*START, "TRANSFERRING>TRANSFERRING"), "TRANSFERRING"),
        (("JOB_CREATED", "SUSPENDED>TRANSFERRING"), "TRANSFERRING"),
        ((*START, "file", "file"), "TRANSFERRING"),
        ((*START, "JOB_TRANSFERRED"), "TRANSFERRING"),
        ((*START, "file", "TRANSFERRING>TRANSFERRED"), "QUEUED"),
        ((*ARRIVED, "JOB_TRANSFERRED"), "TRANSFERRED"),
        ((*ARRIVED[:-1], "TRANSFERRED>ACKNOWLEDGED"), "ACKNOWLEDGED"),
        ((*ENDED, "file"), "ACKNOWLEDGED"),
        ((*ENDED, "TRANSFERRED>ACKNOWLEDGED"), "ACKNOWLEDGED"),
        ((*ENDED, "ACKNOWLEDGED>QUEUED"), "QUEUED"),
        (START, "QUEUED"),
        ((), "SUSPENDED"),
    ],
)
def test_events_that_cannot_be_are_found(kinds: tuple[str, ...], state: str) -> None:
    assert judge_log(log(*kinds), {"1": state})


def test_an_event_of_a_job_nobody_asked_for_is_found() -> None:
    assert judge_log(log("JOB_CREATED"), {})


@pytest.mark.parametrize(
    "spoil",
    [
        lambda events: [*events, events[-1]],
        lambda events: [events[1], events[0], *events[2:]],
        lambda events: [*events[:2], *events[3:]],
        lambda events: [*events[:-1], events[-1] | {"to": "CANCELLED"}],
        lambda events: [*events, events[-1] | {"seq": 99}],
    ],
    ids=["twice", "late", "gap", "changed", "never on record"],
)
def test_a_reader_that_was_told_something_else_is_found(spoil: Callable[[list[Document]], list[Document]]) -> None:
    events = log(*ENDED)
    assert judge_reader("reader", events, events) == []
    assert judge_reader("reader", events[:3], events) == []
    assert judge_reader("reader", spoil(events), events)


def test_bytes_that_are_sent_again_are_counted_and_charged_to_kills() -> None:
    ranged = Served("/b", Content(1, 1000), ((500, 100), (0, 200)))
    fetches = [
        Fetch("/a", 0, 600, is_cut=True),
        Fetch("/b", 500, 100),
        Fetch("/b", 0, 150),
        Fetch("/a", 400, 100),
        Fetch("/a", 450, 550),
        Fetch("/b", 120, 80),
    ]
    again = [(one.path, one.size, one.is_by_kill) for one in sent_again(fetches, {"/a": SERVED, "/b": ranged})]
    assert again == [("/b", 0, False), ("/a", 100, True), ("/a", 150, False), ("/b", 30, False)]


def test_findings_say_where_they_were_made() -> None:
    found = Findings()
    assert not found
    found.add(Findings(left=["a file"]), "rename:after:1: ")
    assert found.sentences() == ["left: rename:after:1: a file"]


def test_points_are_on_both_sides_of_every_moment_and_a_sample_covers_all_kinds() -> None:
    points = every_point(Counter(commit=30, rename=1))
    assert len(set(points)) == 62
    assert Point.parse("rename:after:1") in points
    sample = some_points(points, 4, random.Random(0))
    assert {(point.kind, point.side) for point in sample} == {
        (kind, side) for kind in ("commit", "rename") for side in ("before", "after")
    }
