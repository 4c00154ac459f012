"""What a client was told about its job, and whether that holds: a pure function over its notes, the job's document and
what is on the disk.

Owns what counts as lost, wrong and left. A call whose answer never came is a doubt: it may have happened or not, but
nothing in between.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.findings import FINAL, LEADS_TO, Findings
from tests.kills.fetches import Served
from tests.process import Document

WORKING = frozenset({"QUEUED", "TRANSFERRING", "TRANSIENT_ERROR", "TRANSFERRED"})
"""Where `resume` leads, with an origin that has no faults."""


@dataclass(slots=True)
class Note:
    """One job as its client knows it."""

    name: str
    told: str
    """The last operation that was acknowledged, as far as there is no doubt."""
    served: dict[str, Served] = field(default_factory=dict)
    """By local name: what was ever asked for."""
    files: list[str] = field(default_factory=list)
    """Local names, in order."""
    properties: dict[str, object] = field(default_factory=dict)
    """Those that are ever set."""
    request: Document = field(default_factory=dict)
    """What it was created by."""
    key: str | None = None
    """Its Idempotency-Key."""
    id: str = ""
    is_acknowledged: bool = False
    """The answer to its creation came."""
    doubts: set[str] = field(default_factory=set)
    asked_files: list[str] = field(default_factory=list)
    asked_properties: dict[str, object] = field(default_factory=dict)
    revision: int = 0
    transferred: set[int] = field(default_factory=set)
    """Files that are known to have arrived."""
    is_busy: bool = False
    is_looked_at: bool = False
    """After its end."""

    @property
    def is_over(self) -> bool:
        return LEADS_TO.get(self.told) in FINAL

    @property
    def is_ending(self) -> bool:
        """An end was asked for that may have begun."""
        return bool(self.doubts & {"complete", "cancel"})

    def may_be(self, state: str) -> bool:
        """What was acknowledged allows this state, or a doubt does."""
        verbs = {self.told, *self.doubts}
        return state in {LEADS_TO.get(verb) for verb in verbs} or ("resume" in verbs and state in WORKING)

    def settle(self, verb: str) -> None:
        """It was acknowledged: what was in doubt before is history."""
        self.told = verb
        self.doubts.clear()

    def learn(self, document: Document) -> None:
        """What came of the doubts shows in the job as it is; only an end that may have begun stays in doubt."""
        self.id = document["id"]
        self.revision = document["revision"]
        self.files = [file["local_name"] for file in document["files"]]
        self.properties = {name: document[name] for name in self.properties}
        self.asked_files, self.asked_properties = [], {}
        self.transferred |= {file["index"] for file in document["files"] if file["transferred"]}
        state = document["state"]
        if state in FINAL:
            self.settle("complete" if state == "ACKNOWLEDGED" else "cancel")
            return
        if self.doubts & {"suspend", "resume"}:
            self.told = "suspend" if state == "SUSPENDED" else "resume"
        self.doubts -= {"suspend", "resume"}


Disk = Mapping[str, str]
"""SHA-256 of every file that exists."""


def look(paths: Iterable[str]) -> Disk:
    """Blocking."""
    found = {}
    for path in paths:
        try:
            with open(path, "rb") as file:
                found[path] = hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError:
            pass
    return found


def places(documents: Iterable[Document]) -> list[str]:
    """Where files of these jobs can be; temporary names first, for a file may be given its name meanwhile."""
    files = [file for document in documents for file in document["files"]]
    return [file["temporary_name"] for file in files] + [file["local_name"] for file in files]


def judge(note: Note, document: Document | None, disk: Disk) -> Findings:
    """`document`: the job with its files, None = there is none; `disk`: what was found at its places."""
    found = Findings()
    if document is None:
        if note.is_acknowledged or note.id:
            found.lost.append(f"{note.name} is gone")
        return found
    found.lost += [f"{note.name}: {sentence}" for sentence in _differences(note, document)]
    for file in document["files"]:
        served = note.served.get(file["local_name"])
        if served is not None:
            found.add(_judge_file(note, document["state"], file, served.digest, disk))
    return found


def _differences(note: Note, document: Document) -> Iterable[str]:
    if note.id not in {"", document["id"]}:
        yield f"was {note.id}, is {document['id']}"
    if not note.may_be(document["state"]):
        yield f"{note.told} was acknowledged (in doubt: {sorted(note.doubts)}), it is {document['state']}"
    if document["revision"] < note.revision:
        yield f"revision {note.revision} was acknowledged, it is {document['revision']}"
    has = {name: document[name] for name in note.properties}
    if has not in (note.properties, note.properties | note.asked_properties):
        yield f"{note.properties} was acknowledged, {note.asked_properties} in doubt, it has {has}"
    names = [file["local_name"] for file in document["files"]]
    if names not in (note.files, note.files + note.asked_files):
        yield f"files {note.files} were acknowledged, {note.asked_files} in doubt, it has {names}"
    back = note.transferred - {file["index"] for file in document["files"] if file["transferred"]}
    if back:
        yield f"files {sorted(back)} had arrived, and have not"


def _judge_file(note: Note, state: str, file: Document, digest: str, disk: Disk) -> Findings:
    local, temporary, is_completed = file["local_name"], file["temporary_name"], file["progress"]["completed"]
    where, found = f"{note.name} is {state}", Findings()
    if state in FINAL and temporary in disk:
        found.left.append(f"{where}, {temporary} is there")
    if state == "CANCELLED":
        is_right = local not in disk
    elif state == "ACKNOWLEDGED":
        is_right = is_completed == file["transferred"] and disk.get(local) == (digest if is_completed else None)
    elif "complete" in note.doubts:
        is_right = not file["transferred"] or digest in {disk.get(temporary), disk.get(local)}
    else:
        is_right = local not in disk and (
            not file["transferred"] or "cancel" in note.doubts or disk.get(temporary) == digest
        )
    if not is_right:
        found.wrong.append(
            f"{where}, file {file['index']} transferred: {file['transferred']}, completed: {is_completed}, "
            f"should be {digest[:8]}, {local}: {disk.get(local)}, {temporary}: {disk.get(temporary)}"
        )
    return found


def judge_rest(documents: Sequence[Document], names: Iterable[str]) -> Findings:
    """When all jobs are over: `names` (full paths) in the directory of downloads are those of completed files."""
    completed = {
        file["local_name"] for document in documents for file in document["files"] if file["progress"]["completed"]
    }
    there = set(names)
    return Findings(
        left=[f"{name} is there, and nobody's" for name in sorted(there - completed)],
        wrong=[f"{name} is not there" for name in sorted(completed - there)],
    )
