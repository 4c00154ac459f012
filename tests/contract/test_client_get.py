"""`bitsctl get`: a download seen through to its end, or cleaned up, whatever happens on the way."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest

from daemon.client import Client, InvalidState, LocalFileError, ServiceUnreachable
from daemon.client.fetch import Ending, Fetch, Result
from daemon.client.progress import LineView
from tests.fake_service import FakeService, error_document, problem, progress, serving

BODY = {
    "display_name": "a.iso",
    "files": [{"remote_name": "http://h/a.iso", "local_name": "/tmp/a.iso"}],
    "resume": True,
}
MOVING = {"state": "TRANSFERRING", "progress": progress(50, 100)}
THERE = {"state": "TRANSFERRED", "progress": progress(100, 100)}
FAILED = {"state": "ERROR", "error": error_document("404 Not Found")}
WAITING = {
    "state": "TRANSIENT_ERROR",
    "error": error_document("connection reset", transient=True),
    "waiting": {"reason": "retry_delay", "until": "2026-01-02T03:05:05Z", "detail": "waits 60 s"},
}


@pytest.fixture
def service(tmp_path: Path) -> Iterator[FakeService]:
    with serving(FakeService(str(tmp_path / "s"))) as fake:
        yield fake


async def fetch(service: FakeService, stop: asyncio.Event | None = None, **options: float) -> tuple[Result, str]:
    """A whole fetch without pauses: how it ended, and what was said."""
    said = StringIO()
    async with Client(service.socket_path) as client:
        view = LineView(said, asyncio.get_running_loop().time)
        keep, limit = bool(options.get("keep")), options.get("timeout")
        result = await Fetch(client, view, stop or asyncio.Event(), timeout=limit, keep=keep, poll=0).run(BODY)
    return result, said.getvalue()


def bitsctl(service: FakeService, *words: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "BITSD_SOCKET": service.socket_path}
    return subprocess.Popen(
        [sys.executable, "-m", "daemon.client", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


async def test_a_download_is_completed_and_ends_with_100_percent(service: FakeService) -> None:
    service.steps.extend([MOVING, MOVING, THERE])
    result, said = await fetch(service)
    assert (result.ending, result.job.state) == (Ending.ACKNOWLEDGED, "ACKNOWLEDGED")
    assert "50%  50 B of 100 B" in said
    assert "100%  100 B in " in said.splitlines()[-1]


async def test_a_transient_error_is_told_with_the_time_of_the_next_try(service: FakeService) -> None:
    service.steps.extend([WAITING, WAITING, {**MOVING, "error": None, "waiting": None}, THERE])
    _, said = await fetch(service)
    assert said.count("transient error: connection reset; waits 60 s, next try at ") == 1


async def test_a_fatal_error_cancels_the_job(service: FakeService) -> None:
    service.steps.append(FAILED)
    result, _ = await fetch(service)
    assert (result.ending, result.is_left_over) == (Ending.FAILED, False)
    assert service.jobs[result.job.id]["state"] == "CANCELLED"


async def test_a_job_to_keep_is_left_in_the_queue(service: FakeService) -> None:
    service.steps.append(FAILED)
    result, _ = await fetch(service, keep=True)
    assert (result.ending, result.is_left_over) == (Ending.FAILED, True)
    assert service.jobs[result.job.id]["state"] == "ERROR"


async def test_time_that_runs_out_cancels_the_job(service: FakeService) -> None:
    result, _ = await fetch(service, timeout=0.05)
    assert result.ending is Ending.TIMED_OUT
    assert service.jobs[result.job.id]["state"] == "CANCELLED"


async def test_an_interrupt_cancels_the_job(service: FakeService) -> None:
    stop = asyncio.Event()
    stop.set()
    result, _ = await fetch(service, stop)
    assert result.ending is Ending.INTERRUPTED
    assert service.jobs[result.job.id]["state"] == "CANCELLED"


async def test_a_job_that_somebody_else_ends_is_not_waited_for(service: FakeService) -> None:
    service.steps.append({"state": "CANCELLED"})
    assert (await fetch(service))[0].ending is Ending.CANCELLED
    service.steps.append({"state": "ACKNOWLEDGED"})
    assert (await fetch(service))[0].ending is Ending.ACKNOWLEDGED


async def test_a_service_that_stops_for_a_while_is_waited_for(service: FakeService) -> None:
    job = service.add_job("a.iso", state="QUEUED")
    service.answer("POST", "/v1/jobs", 201, job)
    service.answer("GET", f"/v1/jobs/{job['id']}", 503, problem(503, "E_STOPPING", "the service is stopping"))
    service.steps.append(THERE)
    result, said = await fetch(service)
    assert result.ending is Ending.ACKNOWLEDGED
    assert "the service is stopping; waiting 30 s" in said
    assert "the service is back" in said


async def test_a_complete_whose_answer_was_lost_counts_as_done(service: FakeService) -> None:
    job = service.add_job("a.iso", state="TRANSFERRED")
    service.answer("POST", "/v1/jobs", 201, dict(job))
    job["state"] = "ACKNOWLEDGED"
    result, _ = await fetch(service)
    assert (result.ending, result.job.state) == (Ending.ACKNOWLEDGED, "ACKNOWLEDGED")


async def test_a_complete_that_is_refused_is_an_error_and_leaves_no_job(service: FakeService) -> None:
    for document, kind in (
        (problem(409, "E_LOCAL_FILE", "is a directory"), LocalFileError),
        (problem(409, "BG_E_INVALID_STATE", "no"), InvalidState),
    ):
        job = service.add_job("a.iso", state="TRANSFERRED")
        service.answer("POST", "/v1/jobs", 201, job)
        service.answer("POST", f"/v1/jobs/{job['id']}/complete", 409, document)
        with pytest.raises(kind):
            await fetch(service)
        assert job["state"] == "CANCELLED"


async def test_a_service_that_is_not_there_at_the_start_is_not_waited_for(tmp_path: Path) -> None:
    with pytest.raises(ServiceUnreachable):
        await fetch(FakeService(str(tmp_path / "none")))


def test_the_program_prints_where_the_file_is(service: FakeService, tmp_path: Path) -> None:
    service.steps.append(THERE)
    process = bitsctl(service, "get", "http://h/a%20b.iso", "-d", str(tmp_path), "--sha256", "AB" * 32)
    out, err = process.communicate()
    assert (process.returncode, out) == (0, f"{tmp_path}/a b.iso\n")
    assert "100%" in err
    body = service.requests[0].body
    assert (body["display_name"], body["priority"], body["resume"]) == ("a b.iso", "FOREGROUND", True)
    assert body["files"][0]["digest"] == {"sha-256": "ab" * 32}


def test_the_program_says_why_a_transfer_failed(service: FakeService) -> None:
    service.steps.append(FAILED)
    process = bitsctl(service, "get", "http://h/a.iso", "-d", "/tmp")
    out, err = process.communicate()
    assert (process.returncode, out) == (1, "")
    assert "404 Not Found" in err
    assert "0x80190194" in err


def test_json_gives_the_document_and_nothing_else(service: FakeService) -> None:
    service.steps.append(THERE)
    process = bitsctl(service, "get", "http://h/a.iso", "-d", "/tmp", "--json")
    out, err = process.communicate()
    assert (process.returncode, json.loads(out)["state"], err) == (0, "ACKNOWLEDGED", "")


def test_background_returns_at_once_with_the_id(service: FakeService) -> None:
    process = bitsctl(service, "get", "http://h/a.iso", "-d", "/tmp", "--background")
    out, _ = process.communicate()
    (job,) = service.jobs.values()
    assert (process.returncode, out.strip(), job["priority"]) == (0, job["id"], "NORMAL")
    assert job["state"] == "QUEUED"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("keep", [False, True])
def test_a_signal_cancels_the_job_unless_it_is_to_be_kept(
    service: FakeService, number: signal.Signals, keep: bool
) -> None:
    service.steps.extend([MOVING] * 1000)
    process = bitsctl(service, "get", "http://h/a.iso", "-d", "/tmp", *(["--keep"] if keep else []))
    assert process.stderr is not None
    assert process.stderr.readline()
    process.send_signal(number)
    _, err = process.communicate()
    (job,) = service.jobs.values()
    assert process.returncode == 130
    assert job["state"] == ("TRANSFERRING" if keep else "CANCELLED")
    assert "Traceback" not in err
    assert (job["id"] in err) is keep


def test_a_reader_that_leaves_early_sees_no_traceback(service: FakeService) -> None:
    for number in range(3000):
        service.add_job(f"a rather long name of a job, so that the pipe is full, {number}")
    process = bitsctl(service, "list")
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait() == 141


def test_wrong_command_lines_make_no_job(service: FakeService) -> None:
    for words in (["http://h/"], ["a.iso"], ["http://h/a", "http://i/a"], ["http://h/a", "-o", "/tmp"]):
        process = bitsctl(service, "get", *words)
        _, err = process.communicate()
        assert (process.returncode, err.startswith("bitsctl: ")) == (2, True)
    assert not service.jobs
