"""Clients at work: by a seed they create, change, watch and end jobs, a few at a time, in every life of the service.

Owns what is done, the notes of all jobs and what readers of events were told.
"""

import asyncio
import json
import random
from contextlib import suppress
from itertools import count

from tests.findings import Findings
from tests.kills.client import Client
from tests.kills.fetches import CountingOrigin, Served
from tests.kills.notes import Note
from tests.kills.service import GoneError, Service
from tests.origin_content import Content
from tests.process import Document

CLIENTS = 3
LIVE = 7
"""Jobs at a time."""
RATE = 3 << 20
"""Bytes a second of each file."""
LARGEST = 3 << 20
BREATH = 0.1
"""Seconds that a client waits for a job before it does something else."""
PRIORITIES = ("FOREGROUND", "HIGH", "NORMAL", "LOW")


class Crowd:
    """`notes`: every job that may exist, by name; `told`: what each reader of events was told, by its way to read."""

    def __init__(self, service: Service, origin: CountingOrigin, seed: int, findings: Findings) -> None:
        self.notes: dict[str, Note] = {}
        self.served: dict[str, Served] = {}
        """By path at the origin."""
        self.told: dict[str, list[Document]] = {"poll": [], "stream": []}
        self._service = service
        self._origin = origin
        self._chances = random.Random(seed)
        self._findings = findings
        self._numbers = count(1)

    async def live(self) -> None:
        """Until the service is gone."""
        for note in self.notes.values():
            note.is_busy = False
        async with asyncio.TaskGroup() as group:
            for _ in range(CLIENTS):
                group.create_task(self._work())
            group.create_task(self.read_events())

    async def read_events(self) -> None:
        """In both ways, until the service is gone."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._poll())
            group.create_task(self._stream())

    def job(self, *sizes: int, resume: bool = True, key: str | None = None, rate: int | None = RATE) -> Note:
        """A job to be asked for, with a file of each size."""
        name = f"job-{next(self._numbers)}"
        note = Note(name, "resume" if resume else "suspend", key=key)
        files = [self.file(note, size, rate) for size in sizes]
        note.files = [file["local_name"] for file in files]
        note.properties = {"priority": self._chances.choice(PRIORITIES), "description": ""}
        note.request = {"display_name": name, "files": files, "resume": resume} | note.properties
        if not files:
            del note.request["files"]
        self.notes[name] = note
        return note

    def file(self, note: Note, size: int, rate: int | None = RATE) -> Document:
        """One more file for the job; some are ranges of what is served, some have a digest."""
        path = f"/{note.name}-{len(note.served)}"
        script = self._origin.file(path, size=size, seed=self._chances.randrange(2**32), rate=rate)
        ranges: tuple[tuple[int, int], ...] = ()
        if size > 1000 and self._chances.random() < 0.2:
            ranges = ((size // 2, size // 4), (0, size // 3))
        served = Served(path, Content(script.seed, size), ranges)
        file: Document = {"remote_name": self._origin.url(path), "local_name": self._service.target(path)}
        if ranges:
            file["ranges"] = [{"offset": offset, "length": length} for offset, length in ranges]
        if self._chances.random() < 0.3:
            file["digest"] = {"sha-256": served.digest}
        note.served[file["local_name"]] = self.served[path] = served
        return file

    def unfinished(self) -> list[Note]:
        """Jobs that have not come to their end."""
        return [note for note in self.notes.values() if not note.is_over]

    async def _work(self) -> None:
        async with self._service.session() as session:
            client = Client(session, self._findings)
            with suppress(GoneError):
                while not self._findings:
                    idle = [note for note in self.unfinished() if not note.is_busy]
                    lost = [note for note in idle if not note.is_acknowledged]
                    note = lost[0] if lost else self._new() if len(idle) < LIVE else self._chances.choice(idle)
                    note.is_busy = True
                    await (self._act(client, note) if note.is_acknowledged else client.create(note))
                    note.is_busy = False

    def _new(self) -> Note:
        sizes = [self._size() for _ in range(self._chances.choice((0, 1, 2, 2, 3)))]
        key = f"key-{self._chances.random()}" if self._chances.random() < 0.5 else None
        return self.job(*sizes, resume=bool(sizes) and self._chances.random() < 0.8, key=key)

    def _size(self) -> int:
        return self._chances.choice((0, self._chances.randint(1, 9000), self._chances.randint(1, LARGEST), LARGEST))

    async def _act(self, client: Client, note: Note) -> None:
        chance = self._chances.random()
        if note.is_ending:
            await client.ask(note, "complete" if "complete" in note.doubts else "cancel")
        elif chance < 0.15:
            await client.set(note, {"priority": self._chances.choice(PRIORITIES), "description": str(chance)})
        elif chance < 0.25 and len(note.files) < 4:
            await client.add(note, [self.file(note, self._size()) for _ in range(self._chances.choice((1, 2)))])
        elif chance < 0.28 and note.key is not None:
            await client.create(note)
        elif chance < 0.31:
            await client.ask(note, self._chances.choice(("cancel", "complete")))
        elif note.told == "suspend":
            if note.files:
                await client.ask(note, "resume")
        elif chance < 0.37:
            await client.ask(note, "suspend")
        elif await client.wait(note, "TRANSFERRED", seconds=BREATH) == "TRANSFERRED":
            await client.ask(note, "complete" if chance < 0.85 else "cancel")

    async def _poll(self) -> None:
        told = self.told["poll"]
        async with self._service.session() as session:
            client = Client(session, self._findings)
            with suppress(GoneError):
                while not self._findings:
                    told += await client.events(told[-1]["seq"] if told else 0, wait=60)

    async def _stream(self) -> None:
        told = self.told["stream"]
        async with self._service.session() as session:
            with suppress(GoneError):
                async for line in session.lines("/v1/events", told[-1]["seq"] if told else 0):
                    event = json.loads(line[6:]) if line.startswith(b"data: ") and line.endswith(b"\n") else {}
                    if "seq" in event:  # all but PROGRESS
                        told.append(event)
