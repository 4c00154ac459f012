"""Clients of the machine: they create, watch and end jobs until the power goes, and note what they were told.

Owns what is done, by a seed, and the notes (tests/powercut/ledger.py). Nothing here looks at the disk.
"""

import asyncio
import random
from itertools import count

from tests.findings import FINAL, Findings
from tests.origin import Origin
from tests.powercut.ledger import Promise
from tests.powercut.machine import Machine
from tests.process import Document

LIVE = 5
"""Jobs at a time."""
RATE = 3 << 20
"""Bytes a second of each file."""
LARGEST = 3 << 20
BREATH = 0.1
"""Seconds that a client waits for a job before it does something else."""


class Clients:
    """All clients of one machine. `promises`: every job that may exist; `seen`: every event that was read."""

    def __init__(self, machine: Machine, origin: Origin, chances: random.Random, findings: Findings) -> None:
        self.promises: dict[str, Promise] = {}
        self.seen: dict[int, Document] = {}
        self._machine = machine
        self._origin = origin
        self._chances = chances
        self._findings = findings
        self.kept_after = 0
        """The number before the oldest event there is; more than 0 only when some were lost."""
        self._numbers = count(1)

    async def live(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(2):
                group.create_task(self._act_on())
            group.create_task(self._watch())

    async def finish(self) -> None:
        """Every job comes to its end: completed, or cancelled."""
        for promise in self.promises.values():
            while not promise.is_over:
                await self._end(promise)

    async def _act_on(self) -> None:
        while True:
            idle = [promise for promise in self.promises.values() if not (promise.is_over or promise.is_busy)]
            if len(idle) < LIVE:
                await self._create()
            else:
                await self._act(self._chances.choice(idle))

    async def _watch(self) -> None:
        """Read events as they come."""
        while True:
            after = max([self.kept_after, *self.seen])
            for event in (await self._machine.ok("GET", f"/v1/events?after={after}&wait=60"))["events"]:
                self.seen[event["seq"]] = event

    async def _create(self) -> None:
        promise = self._promise()
        promise.is_busy = True
        files = [
            {
                "remote_name": self._origin.url(f"/{local.rpartition('/')[2]}"),
                "local_name": local,
                "make_dirs": True,
            }
            for local in promise.files
        ]
        body = {"display_name": promise.name, "files": files, "resume": True, "priority": "FOREGROUND"}
        document = await self._machine.ok("POST", "/v1/jobs", body)
        promise.id = document["id"]
        promise.learn(await self._machine.job(document, include="files"))
        promise.is_busy = False

    def _promise(self) -> Promise:
        """A job still to be asked for: one to three files, some empty, some changing on the server meanwhile."""
        number, chances = next(self._numbers), self._chances
        promise = Promise(f"job-{number}", {})
        folder = self._machine.downloads / (promise.name if chances.random() < 0.2 else "")
        for index in range(chances.choice((1, 1, 2, 3))):
            script = self._origin.file(
                f"/{number}-{index}",
                size=chances.choice((0, chances.randint(1, 9000), chances.randint(1, LARGEST), LARGEST)),
                seed=chances.randrange(2**32),
                rate=RATE,
                change_after=chances.choice((None, None, None, 2)),
            )
            promise.files[str(folder / f"{number}-{index}")] = script
        self.promises[promise.name] = promise
        return promise

    async def _act(self, promise: Promise) -> None:
        promise.is_busy = True
        until = f"/v1/jobs/{promise.id}/wait?until=TRANSFERRED,SUSPENDED,ERROR&timeout={BREATH}"
        state, chance = (await self._machine.ok("GET", until))["state"], self._chances.random()
        if state == "ERROR":
            await self._give_up(promise)
        elif state == "TRANSFERRED":
            await self._ask(promise, "complete" if chance < 0.8 else "cancel")
        elif chance < 0.1:
            await self._ask(promise, "cancel")
        elif chance < 0.3:
            await self._ask(promise, "resume" if state == "SUSPENDED" else "suspend")
        elif chance < 0.5:
            await self._describe(promise, str(chance))
        elif state == "SUSPENDED":
            await self._ask(promise, "resume")
        promise.is_busy = False

    async def _end(self, promise: Promise) -> None:
        found = await self._machine.ok("GET", f"/v1/jobs/{promise.id}/wait?until=TRANSFERRED,SUSPENDED,ERROR&timeout=5")
        match found["state"]:
            case "ERROR":
                await self._give_up(promise)
            case "SUSPENDED":
                await self._ask(promise, "resume")
            case "TRANSFERRED":
                await self._ask(promise, self._chances.choice(("complete", "cancel")))
            case "ACKNOWLEDGED" | "CANCELLED":
                promise.settle("complete" if found["state"] == "ACKNOWLEDGED" else "cancel")
            case _:
                pass  # it goes on

    async def _give_up(self, promise: Promise) -> None:
        """Nothing is wrong with the server: an error is the service's, or of the disk that it was given."""
        document = await self._machine.ok("GET", f"/v1/jobs/{promise.id}")
        self._findings.wrong.append(f"{promise.name} is in ERROR: {document['error']}")
        await self._ask(promise, "cancel")

    async def _ask(self, promise: Promise, operation: str) -> None:
        promise.doubts.add(operation)
        status, document = await self._machine.call("POST", f"/v1/jobs/{promise.id}/{operation}")
        if status < 300:
            promise.settle(operation)
            promise.doubts.discard(operation)
        elif document.get("code") == "BG_E_INVALID_STATE":
            await self._catch_up(promise, operation)
        else:
            promise.doubts.discard(operation)
            self._findings.wrong.append(f"cannot {operation} {promise.name}: {document}")

    async def _catch_up(self, promise: Promise, operation: str) -> None:
        """Refused: the job had moved on, or an end that was asked for before the power went is being carried out."""
        if operation in {"suspend", "resume"}:
            promise.doubts.discard(operation)
        state = (await self._machine.ok("GET", f"/v1/jobs/{promise.id}"))["state"]
        if state in FINAL and promise.may_be(state):
            promise.settle("complete" if state == "ACKNOWLEDGED" else "cancel")

    async def _describe(self, promise: Promise, text: str) -> None:
        promise.doubts.add(f"describe {text}")
        status, _ = await self._machine.call("PATCH", f"/v1/jobs/{promise.id}", {"description": text})
        promise.doubts.discard(f"describe {text}")
        if status < 300:
            promise.description = text
