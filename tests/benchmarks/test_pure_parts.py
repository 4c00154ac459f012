"""How long the pure parts take: what runs for every decision, reply, job shown and piece written. No limits on time.

`pytest -m benchmark tests/benchmarks`; a part of `make bench`.
"""

import json
import os

import pytest
from crc32c import crc32c
from pytest_benchmark.fixture import BenchmarkFixture

from daemon.access import Caller
from daemon.clock import ServiceClock
from daemon.documents import Documents
from jobqueue import order, retry
from jobqueue.job import State
from jobqueue.memory import MemoryStore
from jobqueue.queue import JobQueue
from tests.builders import ANNA, NO_LIMITS, POLICY, a_job
from transfer.line import framing
from transfer.reply import judge
from transfer.request import Validators
from transfer.segments import Span
from transfer.source import Ask, Head

pytestmark = pytest.mark.benchmark

SLOTS = order.Slots(foreground=0, background=4, time_slice=300)
RUNNING = [order.Runner(f"r{number}", 2, float(number)) for number in range(4)]
URL = "http://origin/file"
FIELDS = (
    ("Server", "nginx/1.22.1"),
    ("Date", "Wed, 01 Jan 2025 00:00:00 GMT"),
    ("Content-Type", "application/octet-stream"),
    ("Content-Length", "600"),
    ("Last-Modified", "Wed, 01 Jan 2025 00:00:00 GMT"),
    ("Connection", "keep-alive"),
    ("ETag", '"67748580-3e8"'),
    ("Accept-Ranges", "bytes"),
)
REST = (*FIELDS, ("Content-Range", "bytes 400-999/1000"))
RAW = b"HTTP/1.1 206 Partial Content\r\n" + "".join(f"{name}: {text}\r\n" for name, text in REST).encode() + b"\r\n"


@pytest.mark.parametrize("waiting", [8, 1000])
def test_choosing_who_runs(benchmark: BenchmarkFixture, waiting: int) -> None:
    line = [order.Waiter(f"w{number}", 1 + number % 3, float(number)) for number in range(waiting)]
    benchmark(order.choose, line, RUNNING, SLOTS, 100.0)


def test_deciding_when_to_try_again(benchmark: BenchmarkFixture) -> None:
    failed = a_job(State.TRANSIENT_ERROR, failed_at=1000.0, no_progress_since=900.0)
    benchmark(retry.wake_at, failed, POLICY)


def test_judging_the_reply_to_a_first_request(benchmark: BenchmarkFixture) -> None:
    benchmark(judge, Ask(URL), Head(URL, 200, FIELDS, received=0.0))


def test_judging_the_reply_to_a_resumption(benchmark: BenchmarkFixture) -> None:
    known = Validators('"67748580-3e8"', "Wed, 01 Jan 2025 00:00:00 GMT", 1000)
    benchmark(judge, Ask(URL, span=Span(400), validators=known), Head(URL, 206, REST, received=0.0))


def test_finding_where_a_reply_ends(benchmark: BenchmarkFixture) -> None:
    benchmark(framing, RAW, "GET")


def test_the_document_of_a_job(benchmark: BenchmarkFixture) -> None:
    documents = Documents(JobQueue(MemoryStore(), ServiceClock(0.0), POLICY, NO_LIMITS), lambda job: "slots")
    job, caller = a_job(State.QUEUED), Caller(ANNA.uid, ANNA.gid, 1)
    benchmark(lambda: json.dumps(documents.job(job, caller), separators=(",", ":")))


def test_the_checksum_of_a_mebibyte(benchmark: BenchmarkFixture) -> None:
    benchmark(crc32c, os.urandom(1 << 20))
