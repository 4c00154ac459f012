"""Looks whether all is as the crowd was told: after every start, and when all jobs are over.

Owns what is asked of the service and of the disk for it; what must hold is in notes.py and chronicle.py.
"""

import asyncio
import random

from tests.findings import Findings
from tests.kills.chronicle import judge_log, judge_reader
from tests.kills.client import Client
from tests.kills.crowd import Crowd
from tests.kills.notes import Note, judge, judge_rest, look, places
from tests.kills.service import Service, Session
from tests.process import Document

SAMPLE = 2
"""Jobs that are over and are looked at again after each kill; all of them are at the end."""


class Inspector:
    """Adds to `findings`."""

    def __init__(self, service: Service, crowd: Crowd, seed: int, findings: Findings) -> None:
        self._service = service
        self._crowd = crowd
        self._chances = random.Random(seed)
        self._findings = findings

    async def inspect(self, session: Session, *, everything: bool = False) -> list[Document]:
        """What is, is true from now on; returns the jobs that were looked at. Raises GoneError."""
        self._take_news()
        if (await session.ok("GET", "/v1"))["state_lost"]:
            self._findings.lost.append("the service says that it lost something")
        over = [note for note in self._crowd.notes.values() if note.is_over]
        again = over if everything else [note for note in over if not note.is_looked_at]
        again += [] if everything else self._chances.sample(over, min(SAMPLE, len(over)))
        listed = await self._listed(session)
        found: list[tuple[Note, Document | None]] = []
        for note in {note.name: note for note in (*again, *self._crowd.unfinished())}.values():
            document = listed.get(note.name)
            if document is None and note.id:
                status, document = await session.call("GET", f"/v1/jobs/{note.id}?include=files")
                document = document if status == 200 else None
            found.append((note, document))
        documents = [document for _, document in found if document is not None]
        disk = await asyncio.to_thread(look, places(documents))
        for note, document in found:
            self._findings.add(judge(note, document, disk))
            self._learn(note, document)
        return documents

    async def finish(self, session: Session) -> None:
        """Every job comes to its end."""
        client = Client(session, self._findings)
        for note in self._crowd.unfinished():
            while not note.is_over and not self._findings:
                await client.end(note, self._chances.choice(("complete", "complete", "cancel")))

    async def judge_end(self, session: Session) -> tuple[list[Document], list[Document]]:
        """When all jobs are over: all of them, all events, all that is in the directory. Returns jobs and events."""
        documents = await self.inspect(session, everything=True)
        events: list[Document] = []
        client = Client(session, self._findings)
        while page := await client.events(events[-1]["seq"] if events else 0):
            events += page
        found = self._findings
        found.double += judge_log(events, {document["id"]: document["state"] for document in documents})
        for name, told in self._crowd.told.items():
            found.double += judge_reader(name, told, events)
        found.add(judge_rest(documents, map(str, self._service.downloads.iterdir())))
        return documents, events

    async def _listed(self, session: Session) -> dict[str, Document]:
        """Jobs that are not over, by name."""
        listed: dict[str, Document] = {}
        for job in (await session.ok("GET", "/v1/jobs?include=files"))["jobs"]:
            if job["display_name"] in listed:
                self._findings.double.append(f"{job['display_name']} was made twice")
            listed[job["display_name"]] = job
        self._findings.double += [f"{name}: nobody asked for it" for name in listed.keys() - self._crowd.notes.keys()]
        return listed

    def _take_news(self) -> None:
        """What readers of events were told is acknowledged too."""
        notes = {note.id: note for note in self._crowd.notes.values()}
        for event in self._crowd.told["poll"] + self._crowd.told["stream"]:
            if event["type"] == "FILE_TRANSFERRED" and event["job_id"] in notes:
                notes[event["job_id"]].transferred.add(event["file_index"])

    def _learn(self, note: Note, document: Document | None) -> None:
        if document is not None:
            note.is_acknowledged = note.is_acknowledged or note.key is None
            note.learn(document)
            note.is_looked_at = note.is_over
        elif note.key is None or note.is_acknowledged:
            del self._crowd.notes[note.name]  # it has not come to be, or its loss is on record
