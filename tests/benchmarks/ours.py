"""bitsd on the faults that its rivals get: one service, one job for each, all at once, with the same timeouts.

A job that goes on at the time limit is "still trying"; the corpus (tests/acceptance/corpus.py) checks that it says why.
An interruption is the end of the service itself, which is then started again.
"""

import asyncio
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.acceptance.corpus import ENVIRONMENT
from tests.benchmarks.rivals import LIMIT, read, until_served
from tests.benchmarks.verdicts import Ending
from tests.faults.servers import Placed
from tests.process import Bitsd

CODES = {"TRANSFERRED": 0, "ERROR": 1}


async def endings(
    files: Sequence[Placed], home: Path, bundle: str, interrupt: signal.Signals | None
) -> dict[str, Ending]:
    """How each ended, by the name of its fault."""
    home.mkdir()
    found: dict[str, Ending] = {}
    jobs: dict[str, str] = {}
    settings = ENVIRONMENT | {"BITSD_TRANSFER__CA_BUNDLE": bundle}
    async with Bitsd(home, **settings) as bitsd:
        for placed in files:
            job = await bitsd.ok("POST", "/v1/jobs", _wanted(placed, bitsd.downloads))
            jobs[job["id"]] = placed.name
        if interrupt:
            assert bitsd.process is not None
            await until_served(bitsd.process, *files)
            await bitsd.signal(interrupt)
            await bitsd.start()
        deadline = asyncio.get_running_loop().time() + LIMIT
        while jobs and asyncio.get_running_loop().time() < deadline:
            for job in (await bitsd.ok("GET", "/v1/jobs?fields=id,state&limit=1000"))["jobs"]:
                if job["id"] in jobs and job["state"] in CODES:
                    name = jobs.pop(job["id"])
                    await bitsd.act(job, "complete" if job["state"] == "TRANSFERRED" else "cancel")
                    found[name] = Ending(CODES[job["state"]], read(bitsd.downloads / name))
            await asyncio.sleep(0.2)
    return {placed.name: found.get(placed.name, Ending(None)) for placed in files}


def _wanted(placed: Placed, folder: Path) -> dict[str, Any]:
    file = {"remote_name": placed.url, "local_name": str(folder / placed.name)} | placed.file
    return {
        "display_name": placed.name,
        "priority": "FOREGROUND",
        "minimum_retry_delay": 1,
        "files": [file],
        "resume": True,
    }
