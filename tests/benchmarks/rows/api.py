"""The API under load: creates beside aria2's RPC, and reads while transfers run."""

import asyncio
import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.load import Connect, load, request, tcp, unix
from tests.benchmarks.measure import Bench, Figures, Rounds, alternate, unchecked
from tests.benchmarks.row import Demand, Row
from tests.benchmarks.service import file, job, running_service
from tests.benchmarks.sources import MIB, await_port, free_port, served
from tests.process import Document

CREATES = 5000
BATCHES, PER_BATCH = 10, 1000
READS = 20_000
LANES = 32
ARIA2 = "aria2c"
URL = "http://127.0.0.1:9/file"


async def creates(bench: Bench) -> Rounds:
    return await alternate(bench, {"bitsd": _our_creates, ARIA2: _aria2_creates}, unchecked)


async def reads(bench: Bench) -> Rounds:
    """Of a job that transfers. The four have 10 MB/s each and more to fetch than the run lasts."""
    with served(bench, [512 * MIB], directives="limit_rate 10m;") as source:

        async def run(folder: Path) -> Figures:
            async with running_service(folder / "bitsd") as service:
                bodies = [job([file(source.url, folder / f"f{number}")]) for number in range(4)]
                jobs = [await service.call("POST", "/v1/jobs", body) for body in bodies]
                for each in jobs:
                    await service.finish(each, "TRANSFERRING")
                questions = [request("GET", f"/v1/jobs/{jobs[0]['id']}")] * READS
                asked = await asyncio.to_thread(load, unix(service.bitsd.socket), questions, LANES)
                states = {(await service.call("GET", f"/v1/jobs/{each['id']}"))["state"] for each in jobs}
                assert states == {"TRANSFERRING"}, states
            milliseconds = {name: 1000 * asked.percentile(share) for name, share in (("p50", 0.5), ("p99", 0.99))}
            return milliseconds | {"reads": asked.rate}

        return await alternate(bench, {"bitsd": run}, unchecked)


async def _our_creates(folder: Path) -> Figures:
    bodies = [job([file(URL, folder / f"f{number}")], resume=False) for number in range(CREATES)]
    singles = [request("POST", "/v1/jobs", json.dumps(body).encode()) for body in bodies]
    items = [{"op": "create", "body": body} for body in bodies[:PER_BATCH]]
    batch = request("POST", "/v1/batch", json.dumps({"items": items}).encode())
    figures: Figures = {}
    reply: Document = {}
    for way in _ways(singles, batch):
        async with running_service(folder / way.name) as service:
            figures[way.name], reply = await way.rate(unix(service.bitsd.socket))
    assert [result["status"] for result in reply["results"]] == [201] * PER_BATCH
    return figures


async def _aria2_creates(folder: Path) -> Figures:
    singles = [_call("aria2.addUri", [[URL], _paused(folder, number)]) for number in range(CREATES)]
    calls = [{"methodName": "aria2.addUri", "params": [[URL], _paused(folder, number)]} for number in range(PER_BATCH)]
    figures: Figures = {}
    reply: Document = {}
    for way in _ways(singles, _call("system.multicall", [calls])):
        with _running_aria2(folder) as port:
            figures[way.name], reply = await way.rate(tcp(port))
    assert [len(result) for result in reply["result"]] == [1] * PER_BATCH  # a list with a number; a fault is an object
    return figures


@dataclass(frozen=True, slots=True)
class _Way:
    """To create `count`: these requests on so many connections."""

    name: str
    requests: Sequence[bytes]
    lanes: int
    count: int

    async def rate(self, connect: Connect) -> tuple[float, Document]:
        """Creates per second, and the last reply."""
        done = await asyncio.to_thread(load, connect, self.requests, self.lanes)
        return self.count / done.wall, json.loads(done.last)


def _ways(singles: Sequence[bytes], batch: bytes) -> Iterator[_Way]:
    yield _Way("single", singles, 1, CREATES)
    yield _Way("parallel", singles, LANES, CREATES)
    yield _Way("batch", [batch] * BATCHES, 1, BATCHES * PER_BATCH)


def _paused(folder: Path, number: int) -> Document:
    return {"pause": "true", "dir": str(folder), "out": f"f{number}"}


def _call(method: str, parameters: Sequence[object]) -> bytes:
    body = {"jsonrpc": "2.0", "id": "1", "method": method, "params": parameters}
    return request("POST", "/jsonrpc", json.dumps(body).encode())


@contextmanager
def _running_aria2(folder: Path) -> Iterator[int]:
    """The port of its RPC server."""
    port = free_port()
    command = ["aria2c", "--no-conf", "-q", "--enable-rpc", f"--rpc-listen-port={port}", "-d", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            await_port(port)
            yield port
        finally:
            process.kill()


ROWS = (
    Row(
        "creates",
        "durable creates: one keep-alive connection; 32 connections; batches of 1,000",
        "Jobs of one file, created suspended; aria2c's `aria2.addUri` with `pause=true` and `system.multicall`,"
        " which persist nothing. Creates per second; bitsd's are synced before they are answered. One client for both,"
        " and for each way a new process of either: aria2c gets slower with every download that it holds, so the rate"
        " is that of the first 5,000 (in batches 10,000).",
        creates,
        (
            Demand("one connection, rate to aria2c's on one", "single", 1, ARIA2, is_least=True),
            Demand(
                "32 connections, rate to aria2c's on one", "parallel", 2, ARIA2, is_least=True, base_metric="single"
            ),
            Demand("batches, rate to aria2c's multicall", "batch", 0.3, ARIA2, is_least=True),
        ),
        ARIA2,
    ),
    Row(
        "reads",
        "GET of a job, 32 connections, while 4 transfers run",
        "20,000 requests, one in flight on each connection, the client on the same cores; 4 transfers of 10 MB/s.",
        reads,
        (Demand("p99, ms", "p99", 20),),
    ),
)
