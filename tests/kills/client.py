"""One client: makes calls, and notes what it was told before it does anything else.

Owns the order "doubt, call, certainty". A refusal that has no reason is a finding; GoneError leaves the doubt.
"""

import asyncio
from collections.abc import Sequence

from tests.findings import Findings
from tests.kills.notes import Note
from tests.kills.service import GoneError, Session
from tests.process import Document

PATIENCE = 20.0
"""Seconds for what must come by itself."""


class Client:
    """Works with one session of the service."""

    def __init__(self, session: Session, findings: Findings) -> None:
        self._session = session
        self._findings = findings

    async def create(self, note: Note) -> None:
        """By `note.request`; with the same key it may be asked for again."""
        headers = None if note.key is None else {"Idempotency-Key": note.key}
        status, document = await self._session.call("POST", "/v1/jobs", note.request, headers)
        if self._is_done(note, "create", status, document):
            if note.id not in {"", document["id"]}:
                self._findings.double.append(f"{note.name} was {note.id}, the same key gave {document['id']}")
            note.id = document["id"]
            note.is_acknowledged = True
            note.revision = max(note.revision, document["revision"])

    async def ask(self, note: Note, verb: str) -> None:
        """suspend, resume, complete or cancel."""
        note.doubts.add(verb)
        status, document = await self._session.call("POST", f"/v1/jobs/{note.id}/{verb}")
        if status == 409 and note.is_ending:
            await self._await_end(note, verb)
        elif self._is_done(note, verb, status, document):
            note.settle(verb)
            note.revision = document["revision"]
            if document["result"] == "BG_S_UNABLE_TO_DELETE_FILES":
                self._findings.failed.append(f"{verb} {note.name}: cannot delete its files")
        else:
            note.doubts.discard(verb)

    async def set(self, note: Note, values: dict[str, object]) -> None:
        note.asked_properties = values
        status, document = await self._session.call("PATCH", f"/v1/jobs/{note.id}", values)
        note.asked_properties = {}
        if self._is_done(note, "set", status, document):
            note.properties |= values
            note.revision = document["revision"]

    async def add(self, note: Note, files: Sequence[Document]) -> None:
        note.asked_files = [file["local_name"] for file in files]
        status, document = await self._session.call("POST", f"/v1/jobs/{note.id}/files", {"files": files})
        asked, note.asked_files = note.asked_files, []
        if self._is_done(note, "add files to", status, document):
            note.files += asked

    async def events(self, after: int, wait: int = 0) -> list[Document]:
        """Those after a number, the next page of them."""
        status, document = await self._session.call("GET", f"/v1/events?after={after}&wait={wait}")
        if status == 503:
            raise GoneError
        if status != 200:
            self._findings.double.append(f"cannot read the events after {after}: {document}")
        return list(document.get("events", ()))

    async def wait(self, note: Note, *states: str, seconds: float = PATIENCE) -> str:
        """The state it is in then."""
        until = f"/v1/jobs/{note.id}/wait?until={','.join(states)}&timeout={seconds}"
        return str((await self._session.ok("GET", until))["state"])

    async def await_bytes(self, note: Note) -> None:
        """Until some have landed: they have no event, so this asks again and again."""
        while True:
            document = await self._session.ok("GET", f"/v1/jobs/{note.id}")
            if document["progress"]["bytes_transferred"]:
                return
            await asyncio.sleep(0.01)

    async def end(self, note: Note, verb: str) -> None:
        """Bring it to its end; `verb`: which, when there is a choice."""
        if not note.is_acknowledged:
            await self.create(note)
        if note.is_ending:
            await self.ask(note, "complete" if "complete" in note.doubts else "cancel")
            return
        verb = verb if note.files else "cancel"  # without files it goes nowhere
        if note.told == "suspend" and verb == "complete":
            await self.ask(note, "resume")
        if verb == "complete" and await self.wait(note, "TRANSFERRED", "ERROR") != "TRANSFERRED":
            document = await self._session.ok("GET", f"/v1/jobs/{note.id}")
            self._findings.failed.append(f"{note.name} does not get to its end: {document}")
            verb = "cancel"
        await self.ask(note, verb)

    async def _await_end(self, note: Note, verb: str) -> None:
        """Refused: what was in doubt is being carried out."""
        state = await self.wait(note, "ACKNOWLEDGED")
        if state not in {"ACKNOWLEDGED", "CANCELLED"} or not note.may_be(state):
            self._findings.failed.append(f"{verb} {note.name} was refused, and it is {state} ({sorted(note.doubts)})")
        note.settle("complete" if state == "ACKNOWLEDGED" else "cancel")

    def _is_done(self, note: Note, verb: str, status: int, document: Document) -> bool:
        """Raises GoneError when the service stops; a refused call changes nothing."""
        if status < 300:
            return True
        if status == 503:
            note.doubts.discard(verb)
            note.asked_files, note.asked_properties = [], {}
            raise GoneError
        self._findings.failed.append(f"cannot {verb} {note.name}: {status} {document}")
        return False
