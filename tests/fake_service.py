# ruff: noqa: ANN401, PLR0911 - bodies are any JSON; a route table in a match returns often
"""A small service for client tests: the routes of api.md §2 over dicts, on a Unix socket, in a thread of its own.

It keeps documents, advances a job by one scripted step at each reading, answers what a test told it to, and remembers
every request. No queue, no transfers, no rules of its own beyond these.
"""

import asyncio
import json
import threading
import uuid
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from aiohttp import web

Document = dict[str, Any]
FINAL = {"ACKNOWLEDGED", "CANCELLED"}
NOW = "2026-01-02T03:04:05Z"


def job_document(name: str = "job", **changes: object) -> Document:
    """A whole Job document; `progress` and the rest by keyword."""
    document: Document = {
        "id": str(uuid.uuid4()), "revision": 1, "type": "DOWNLOAD", "display_name": name, "description": "",
        "owner": {"uid": 1000, "user": "ann"}, "priority": "NORMAL", "state": "SUSPENDED",
        "progress": progress(0, None, files=0), "times": {"created": NOW, "modified": NOW, "transfer_completed": None},
        "error": None, "error_count": 0, "waiting": None, "minimum_retry_delay": 60, "no_progress_timeout": 86400,
        "maximum_download_time": 7776000,
        "notify": {"flags": ["JOB_TRANSFERRED", "JOB_ERROR"], "command": None, "minimum_interval_ms": 500},
        "proxy": {"usage": "PRECONFIG", "list": None, "bypass": None}, "custom_headers": None,
        "custom_headers_write_only": False,
        "client_certificate": None, "security_flags": [], "cost_policy": "ALWAYS", "http_method": "GET",
        "dynamic_content": False, "maximum_download_size": None,
    }  # fmt: skip
    return document | changes


def progress(done: int, total: int | None, files: int = 1) -> Document:
    return {"bytes_total": total, "bytes_transferred": done, "files_total": files, "files_transferred": 0}


def error_document(message: str = "HTTP 404", *, transient: bool = False, **changes: object) -> Document:
    document = {
        "code": "BG_E_HTTP_ERROR_404", "hresult": "0x80190194", "context": "REMOTE_FILE", "message": message,
        "file_index": 0, "remote_name": "http://h/a.iso", "local_name": "/tmp/a.iso", "http_status": 404,
        "transient": transient, "at": NOW,
    }  # fmt: skip
    return document | changes


def file_document(index: int, remote: str, local: str) -> Document:
    return {
        "index": index, "remote_name": remote, "local_name": local, "temporary_name": "/tmp/.BIT0000000a.tmp",
        "ranges": [], "progress": {"bytes_total": 100, "bytes_transferred": 25, "completed": False},
        "transferred": False, "expected_size": None, "digest": None, "mirrors": [],
        "resume_unvalidated": False, "validated": None,
        "response_headers": None,
    }  # fmt: skip


def problem(status: int, code: str, detail: str, **more: object) -> Document:
    head = {"type": "about:blank", "title": code, "status": status, "detail": detail}
    return {**head, "code": code, "hresult": "0x80200002", **more}


@dataclass
class Request:
    method: str
    path: str
    query: dict[str, str]
    headers: Mapping[str, str]
    body: Any


@dataclass
class FakeService:
    """State of the service; a test reads and writes it while no request is under way."""

    socket_path: str
    jobs: dict[str, Document] = field(default_factory=dict)
    files: dict[str, list[Document]] = field(default_factory=dict)
    events: list[Document] = field(default_factory=list)
    answers: dict[tuple[str, str], deque[tuple[int, Any]]] = field(default_factory=dict)
    steps: deque[Document] = field(default_factory=deque)
    foreign: set[str] = field(default_factory=set)
    content: bytes = b""
    breaks_off_at: int | None = None
    """After so many bytes the connection ends."""
    requests: list[Request] = field(default_factory=list)
    is_admin: bool = False
    page: int = 100_000

    def add_job(self, name: str = "job", **changes: object) -> Document:
        document = job_document(name, **changes)
        self.jobs[document["id"]] = document
        return document

    def answer(self, method: str, path: str, status: int, document: object) -> None:
        """The next such request gets this answer, whatever it asks."""
        self.answers.setdefault((method, path), deque()).append((status, document))

    def calls(self, method: str, ending: str) -> list[Request]:
        return [item for item in self.requests if item.method == method and item.path.endswith(ending)]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = json.loads(text) if (text := await request.text()) else None
        self.requests.append(Request(request.method, request.path, dict(request.query), request.headers, body))
        if waiting := self.answers.get((request.method, request.path)):
            status, document = waiting.popleft()
        elif request.path == "/v1/events" and request.headers["Accept"] == "text/event-stream":
            return await self._stream(request)
        elif request.path.endswith("/content"):
            return await self._content(request)
        else:
            status, document = self._route(request.method, request.path.split("/")[2:], dict(request.query), body)
        return web.json_response(document, status=status)

    def _route(self, method: str, path: list[str], query: dict[str, str], body: Any) -> tuple[int, Any]:
        match method, path:
            case "GET", []:
                return 200, {
                    "name": "bitsd", "version": "0.1.0", "api": "v1", "instance_id": "i", "started_at": NOW,
                    "uptime": 61, "features": [], "limits": {"jobs_per_user": 60}, "state_lost": False,
                }  # fmt: skip
            case "GET", ["openapi.json"]:
                return 200, {"openapi": "3.1.0"}
            case "GET", ["events"]:
                return self._events(query)
            case "GET", ["jobs"]:
                return self._list(query)
            case "POST", ["jobs"]:
                return self._create(body)
            case "PUT" | "DELETE", ["jobs", job_id, *_] if job_id in self.jobs:  # secrets: there is nothing to show
                return 204, None
            case _, ["jobs", job_id, *rest] if job_id in self.jobs:
                return self._job(method, self.jobs[job_id], rest, query, body)
        return 404, problem(404, "BG_E_NOT_FOUND", "no such job")

    def _events(self, query: dict[str, str]) -> tuple[int, Any]:
        after = int(query.get("after", 0))
        found = [event for event in self.events if event["seq"] > after]
        return 200, {"events": found[: self.page], "seq": found[: self.page][-1]["seq"] if found else after}

    def _list(self, query: dict[str, str]) -> tuple[int, Any]:
        everybody = query.get("all_users") == "true"
        if everybody and not self.is_admin:
            return 403, problem(403, "E_ACCESSDENIED", "all_users is for administrators")
        found = [
            job
            for job in self.jobs.values()
            if job["state"] not in FINAL
            and (everybody or job["id"] not in self.foreign)
            and ("state" not in query or job["state"] in query["state"].split(","))
            and fnmatchcase(job["display_name"], query.get("name", "*"))
        ]
        start = int(query.get("cursor", 0))
        end = start + min(self.page, int(query.get("limit", self.page)))
        names = query["fields"].split(",") if "fields" in query else None
        jobs = [{name: job[name] for name in names} if names else job for job in found[start:end]]
        return 200, {"jobs": jobs, "next_cursor": str(end) if end < len(found) else None, "seq": 7}

    def _create(self, body: Document) -> tuple[int, Any]:
        settable = {name: value for name, value in body.items() if name not in {"files", "resume", "display_name"}}
        job = self.add_job(body["display_name"])
        _merge(job, settable)
        self.files[job["id"]] = [
            file_document(index, file["remote_name"], file["local_name"])
            for index, file in enumerate(body.get("files", []))
        ]
        job["state"] = "QUEUED" if body.get("resume") else "SUSPENDED"
        return 201, job

    def _job(self, method: str, job: Document, rest: list[str], query: dict[str, str], body: Any) -> tuple[int, Any]:
        files = self.files.setdefault(job["id"], [])
        match method, rest:
            case "GET", [] | ["wait"]:
                if self.steps:
                    job.update(self.steps.popleft())
                return 200, {**job, "files": files} if query.get("include") else job
            case "PATCH", []:
                _merge(job, body)
                return 200, job
            case "GET", ["files"]:
                return 200, {"files": files}
            case "POST", ["files"]:
                added = [
                    file_document(len(files) + index, file["remote_name"], file["local_name"])
                    for index, file in enumerate(body["files"])
                ]
                files += added
                return 201, {"files": added}
            case "GET" | "PATCH", ["files", index]:
                return 200, files[int(index)] | (body or {})
            case "POST", ["replace-remote-prefix"]:
                return 200, {**job, "changed": 1}
            case "POST", ["take-ownership"]:
                return 200, job
            case "POST", [verb]:
                return self._change(job, verb)
            case _:
                pass
        return 400, problem(400, "E_NOTIMPL", "?")

    def _change(self, job: Document, verb: str) -> tuple[int, Any]:
        if job["state"] in FINAL:
            return 409, problem(409, "BG_E_INVALID_STATE", f"cannot {verb} the job", state=job["state"])
        states = {"suspend": "SUSPENDED", "resume": "QUEUED", "complete": "ACKNOWLEDGED", "cancel": "CANCELLED"}
        job["state"] = states[verb]
        return 200, {**job, "result": "S_OK"}

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b": hello\n\n")
        for event in self.events:
            if event["seq"] > int(request.headers.get("Last-Event-ID", 0)):
                head = f"id: {event['seq']}\nevent: {event['type']}\n"
                await response.write(f"{head}data: {json.dumps(event)}\n\n".encode())
        return response

    async def _content(self, request: web.Request) -> web.StreamResponse:
        start = int(request.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        if self.breaks_off_at is None:
            return web.Response(body=self.content[start:], status=206 if start else 200)
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(self.content[start : self.breaks_off_at])
        raise ConnectionAbortedError


def _merge(document: Document, patch: Document) -> None:
    """Set what is given, member by member; a reset to the default leaves things as they are."""
    for name, value in patch.items():
        if isinstance(value, dict):
            _merge(document[name], value)
        elif value is not None:
            document[name] = value


@contextmanager
def serving(service: FakeService) -> Iterator[FakeService]:
    """The service, answering on its socket until the block ends."""
    loop, ready, over = asyncio.new_event_loop(), threading.Event(), asyncio.Event()

    async def serve() -> None:
        app = web.Application()
        app.router.add_route("*", "/v1{rest:.*}", service.handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.UnixSite(runner, service.socket_path).start()
        ready.set()
        await over.wait()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
    thread.start()
    if not ready.wait(10):
        raise RuntimeError("the fake service does not start")
    try:
        yield service
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(10)
        loop.close()
