"""What clients were told before the power went, and whether it holds afterwards: the four zeros.

Owns what counts as lost, wrong, double and left. A call whose answer never came is a doubt: it may have happened or
not, but nothing in between.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.findings import FINAL, LEADS_TO, Findings
from tests.origin import Script
from tests.process import Document


@dataclass(slots=True)
class Promise:
    """One job as its client knows it. `files`: what is served for each local name."""

    name: str
    files: dict[str, Script]
    id: str = ""
    """"" = the answer to its creation never came."""
    told: str = "resume"
    """The last operation that was acknowledged."""
    description: str = ""
    doubts: set[str] = field(default_factory=set)
    temporary: dict[str, str] = field(default_factory=dict)
    """The temporary name of each local name."""
    is_busy: bool = False
    proofs: int = 0
    """How many power cuts it has outlived since it was over."""

    @property
    def is_over(self) -> bool:
        return LEADS_TO.get(self.told) in FINAL

    def may_be(self, state: str) -> bool:
        """What was acknowledged allows this state, or a doubt does."""
        may = {LEADS_TO[operation] for operation in (self.told, *self.doubts) if operation in LEADS_TO}
        goes_on = self.told == "resume" or "resume" in self.doubts
        return state in may or (goes_on and state not in {*FINAL, "SUSPENDED"})

    def settle(self, operation: str) -> None:
        """It was acknowledged."""
        self.told = operation
        self.doubts -= {"suspend", "resume"}

    def learn(self, document: Document) -> None:
        """The job exists, with these files."""
        self.id = document["id"]
        self.temporary = {file["local_name"]: file["temporary_name"] for file in document["files"]}


def check_files(promise: Promise, document: Document, findings: Findings) -> None:
    """What is recorded as transferred is there, whole; of what was cancelled nothing is. Blocking."""
    for file in document["files"]:
        target, temporary = file["local_name"], file["temporary_name"]
        if document["state"] == "CANCELLED":
            findings.left += [f"{promise.name} is cancelled, {temporary} is there"] * os.path.exists(temporary)
            is_strange = os.path.exists(target) and not file["progress"]["completed"]
            findings.wrong += [f"{promise.name} is cancelled, {target} is there"] * is_strange
        elif file["transferred"] and "cancel" not in promise.doubts:
            places = [target] if file["progress"]["completed"] else [temporary, target]
            if not _is_one_of(places, promise.files[target]):
                findings.wrong.append(f"{promise.name} is {document['state']}, {places} is not what was served")


def _is_one_of(places: Sequence[str], script: Script) -> bool:
    """The first place that exists has one whole version of what the script serves."""
    for path in places:
        try:
            content = Path(path).read_bytes()
        except FileNotFoundError:
            continue
        return content in {body.read() for body in (script.original, script.changed)}
    return False


def check_seen(seen: dict[int, Document], events: Sequence[Document], findings: Findings) -> None:
    """Each event a client saw before is there, and is the same."""
    now = {event["seq"]: event for event in events}
    for seq, event in seen.items():
        if now.get(seq) != event:
            findings.double.append(f"event {seq} was {event}, is {now.get(seq)}")


def check_order(events: Iterable[Document], findings: Findings) -> None:
    """Of all events: no number twice; per job, each state follows from the one before, and nothing ends twice."""
    last = 0
    states: dict[str, str] = {}
    ended: set[str] = set()
    transferred: set[tuple[str, int]] = set()
    for event in events:
        job, kind = event["job_id"], event["type"]
        is_double = event["seq"] <= last
        last = event["seq"]
        match kind:
            case "JOB_STATE":
                is_double |= states.get(job, event["from"]) != event["from"] or event["from"] == event["to"]
                states[job] = event["to"]
                ended.discard(job)
            case "JOB_CREATED":
                is_double |= job in states
            case "JOB_TRANSFERRED":
                is_double |= job in ended or states.get(job) != "TRANSFERRED"
                ended.add(job)
            case "FILE_TRANSFERRED":
                is_double |= (job, event["file_index"]) in transferred
                transferred.add((job, event["file_index"]))
            case "JOB_ERROR":  # what was given up is fetched again
                transferred = {pair for pair in transferred if pair[0] != job}
            case _:
                pass
        if is_double:
            findings.double.append(f"{event} does not follow from what was before it")
