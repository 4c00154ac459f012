"""The client's methods against a service that speaks api.md: requests as the page says, models back, errors by code."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.client import (
    AccessDenied,
    BadReply,
    Client,
    ClientError,
    ContentGone,
    EventsGone,
    InvalidArgument,
    InvalidState,
    LocalFileError,
    NotFound,
    RevisionConflict,
    ServiceUnavailable,
    ServiceUnreachable,
    StorageFull,
    TooMany,
)
from daemon.schema import BatchItem, CreateJob, FileToAdd, State
from tests.fake_service import NOW, FakeService, file_document, problem, progress, serving


@pytest.fixture
def service(tmp_path: Path) -> Iterator[FakeService]:
    with serving(FakeService(str(tmp_path / "s"))) as fake:
        yield fake


async def test_service_and_openapi_are_read(service: FakeService) -> None:
    async with Client(service.socket_path) as client:
        assert (await client.service()).version == "0.1.0"
        assert await client.openapi() == {"openapi": "3.1.0"}


async def test_create_sends_only_what_was_given_and_the_key(service: FakeService) -> None:
    job = CreateJob(display_name="a", files=[FileToAdd(remote_name="http://h/a", local_name="/tmp/a")])
    async with Client(service.socket_path) as client:
        made = await client.create_job(job, idempotency_key="k", priority="HIGH", resume=True)
    assert (made.display_name, made.state, made.priority) == ("a", State.QUEUED, "HIGH")
    (request,) = service.calls("POST", "/jobs")
    assert request.headers["Idempotency-Key"] == "k"
    assert request.body == {
        "display_name": "a",
        "files": [{"remote_name": "http://h/a", "local_name": "/tmp/a"}],
        "priority": "HIGH",
        "resume": True,
    }


async def test_a_batch_sends_its_items_and_gives_what_came_of_each(service: FakeService) -> None:
    results = [{"status": 201, "body": {"id": "x"}}, {"status": 424, "body": {"code": "NOT_CARRIED_OUT"}}]
    service.answer("POST", "/v1/batch", 200, {"results": results})
    create = BatchItem(op="create", body={"display_name": "a"})
    async with Client(service.socket_path) as client:
        done = await client.batch([create, {"op": "resume", "id": "#0"}], atomic=True)
    assert [(result.status, result.body) for result in done] == [(201, {"id": "x"}), (424, {"code": "NOT_CARRIED_OUT"})]
    (request,) = service.calls("POST", "/batch")
    items = [{"op": "create", "body": {"display_name": "a"}}, {"op": "resume", "id": "#0"}]
    assert request.body == {"items": items, "atomic": True}


async def test_listing_goes_through_all_pages_once(service: FakeService) -> None:
    made = [service.add_job(f"job {number}")["id"] for number in range(7)]
    service.page = 3
    async with Client(service.socket_path) as client:
        assert [job["id"] async for job in client.all_jobs(fields=("id",), name="job*")] == made
        page = await client.jobs(limit=2)
    assert (len(page.jobs), page.next_cursor, page.seq) == (2, "2", 7)
    assert [call.query.get("cursor") for call in service.calls("GET", "/jobs")] == [None, "3", "6", None]


async def test_filters_become_the_query_of_the_contract(service: FakeService) -> None:
    service.is_admin = True
    async with Client(service.socket_path) as client:
        await client.jobs(
            state=("ERROR", "QUEUED"), name="a&b*", owner="ann", all_users=True, changed_since=4, include_files=True
        )
    assert service.requests[0].query == {
        "state": "ERROR,QUEUED",
        "name": "a&b*",
        "owner": "ann",
        "all_users": "true",
        "changed_since": "4",
        "include": "files",
    }


async def test_a_job_comes_with_its_files_when_asked_for(service: FakeService) -> None:
    job = service.add_job("a", progress=progress(1, None))
    service.files[job["id"]] = [file_document(0, "http://h/a", "/tmp/a")]
    async with Client(service.socket_path) as client:
        assert (await client.job(job["id"])).files is None
        with_files = await client.job(job["id"], include_files=True)
    assert with_files.files is not None
    assert with_files.files[0].local_name == "/tmp/a"


async def test_setting_properties_is_a_patch_with_the_revision(service: FakeService) -> None:
    job = service.add_job("a")
    async with Client(service.socket_path) as client:
        changed = await client.set(job["id"], if_match=3, priority="LOW", description=None)
    assert changed.priority == "LOW"
    (request,) = service.calls("PATCH", job["id"])
    assert request.headers["If-Match"] == "3"
    assert request.body == {"priority": "LOW", "description": None}


async def test_files_are_added_read_and_changed(service: FakeService) -> None:
    job = service.add_job("a")
    async with Client(service.socket_path) as client:
        added = await client.add_files(job["id"], [{"remote_name": "http://h/a", "local_name": "/tmp/a"}])
        assert [file.index for file in added.files] == [0]
        assert (await client.files(job["id"])).files == added.files
        assert (await client.file(job["id"], 0)).remote_name == "http://h/a"
        changed = await client.patch_file(job["id"], 0, remote_name="http://h/b")
        assert changed.remote_name == "http://h/b"
        assert (await client.replace_remote_prefix(job["id"], "http://h", "http://i")).changed == 1
    assert service.requests[-1].body == {"old": "http://h", "new": "http://i"}


async def test_content_is_read_from_any_byte(service: FakeService) -> None:
    job = service.add_job("a")
    service.content = bytes(range(256)) * 4096
    async with Client(service.socket_path) as client:
        whole = [piece async for piece in client.content(job["id"], 0)]
        rest = [piece async for piece in client.content(job["id"], 1, start=1000)]
    assert b"".join(whole) == service.content
    assert b"".join(rest) == service.content[1000:]
    first, second = service.requests
    assert [first.path, second.path] == [f"/v1/jobs/{job['id']}/files/{index}/content" for index in (0, 1)]
    assert "Range" not in first.headers
    assert second.headers["Range"] == "bytes=1000-"


async def test_content_that_breaks_off_is_an_error_after_what_came(service: FakeService) -> None:
    job = service.add_job("a")
    service.content, service.breaks_off_at = b"abcdef", 3
    async with Client(service.socket_path) as client:
        pieces = client.content(job["id"], 0)
        assert await anext(pieces) == b"abc"
        with pytest.raises(ContentGone, match="broke off"):
            await anext(pieces)


@pytest.mark.parametrize(
    ("verb", "state"),
    [("suspend", "SUSPENDED"), ("resume", "QUEUED"), ("complete", "ACKNOWLEDGED"), ("cancel", "CANCELLED")],
)
async def test_each_state_change_gives_the_job_and_its_result(service: FakeService, verb: str, state: str) -> None:
    job = service.add_job("a")
    async with Client(service.socket_path) as client:
        changed = await getattr(client, verb)(job["id"])
    assert (changed.state, changed.result) == (state, "S_OK")


async def test_ownership_is_taken_by_its_own_route(service: FakeService) -> None:
    job = service.add_job("a")
    async with Client(service.socket_path) as client:
        assert (await client.take_ownership(job["id"])).id == job["id"]
    assert service.calls("POST", "/take-ownership")


async def test_secrets_go_to_their_own_places_and_nothing_comes_back(service: FakeService) -> None:
    job = service.add_job("a")
    async with Client(service.socket_path) as client:
        await client.set_credentials(job["id"], "server", "digest", "ann", "a password")
        await client.set_client_certificate(job["id"], "chain", "key")
        await client.remove_credentials(job["id"], "proxy", "basic")
        await client.remove_client_certificate(job["id"])
    path = f"/v1/jobs/{job['id']}"
    assert [(request.method, request.path, request.body) for request in service.requests] == [
        ("PUT", f"{path}/credentials/server/digest", {"user": "ann", "password": "a password"}),
        ("PUT", f"{path}/client-certificate", {"certificate": "chain", "private_key": "key"}),
        ("DELETE", f"{path}/credentials/proxy/basic", None),
        ("DELETE", f"{path}/client-certificate", None),
    ]


async def test_wait_names_the_states_and_the_time(service: FakeService) -> None:
    job = service.add_job("a")
    service.steps.append({"state": "TRANSFERRED"})
    async with Client(service.socket_path) as client:
        assert (await client.wait(job["id"], (State.TRANSFERRED, "ERROR"), 5)).state is State.TRANSFERRED
    assert service.requests[-1].query == {"until": "TRANSFERRED,ERROR", "timeout": "5"}


async def test_events_come_in_order_with_what_each_type_adds(service: FakeService) -> None:
    service.events = [
        {"seq": 4, "time": NOW, "type": "JOB_CREATED", "job_id": "j"},
        {"seq": 5, "time": NOW, "type": "JOB_STATE", "job_id": "j", "from": "SUSPENDED", "to": "QUEUED"},
    ]
    async with Client(service.socket_path) as client:
        page = await client.events(after=4, job="j", types=("JOB_STATE",), wait=2)
        streamed = [event async for event in client.stream(after=3)]
    assert page.seq == 5
    assert page.events[0].model_extra == {"from": "SUSPENDED", "to": "QUEUED"}
    assert [event.seq for event in streamed] == [4, 5]
    first = service.requests[0].query
    assert first == {"after": "4", "job": "j", "types": "JOB_STATE", "wait": "2"}


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "E_INVALIDARG", InvalidArgument),
        (403, "E_ACCESSDENIED", AccessDenied),
        (404, "BG_E_NOT_FOUND", NotFound),
        (409, "BG_E_INVALID_STATE", InvalidState),
        (409, "REVISION_CONFLICT", RevisionConflict),
        (409, "E_LOCAL_FILE", LocalFileError),
        (410, "E_GONE", EventsGone),
        (410, "CONTENT_GONE", ContentGone),
        (416, "BG_E_INVALID_RANGE", InvalidArgument),
        (429, "BG_E_TOO_MANY_FILES_IN_JOB", TooMany),
        (503, "E_STARTING", ServiceUnavailable),
        (507, "E_FULL", StorageFull),
        (500, "E_FAIL", ClientError),
    ],
)
async def test_a_refusal_is_an_exception_that_says_which(
    service: FakeService, status: int, code: str, kind: type[ClientError]
) -> None:
    service.answer("GET", "/v1", status, problem(status, code, "because", field="f"))
    async with Client(service.socket_path) as client:
        with pytest.raises(ClientError) as caught:
            await client.service()
    error = caught.value
    assert type(error) is kind
    assert (error.status, error.code, error.hresult, error.detail) == (status, code, "0x80200002", "because")
    assert error.problem["field"] == "f"


async def test_a_refusal_without_a_document_still_has_its_status(service: FakeService) -> None:
    service.answer("GET", "/v1", 403, None)
    async with Client(service.socket_path) as client:
        with pytest.raises(AccessDenied, match="Forbidden"):
            await client.service()


async def test_an_answer_of_another_program_is_named_as_such(service: FakeService) -> None:
    service.answer("GET", "/v1", 200, {"hello": "world"})
    async with Client(service.socket_path) as client:
        with pytest.raises(BadReply, match="not a Service: name"):
            await client.service()


@pytest.mark.parametrize("is_stale", [False, True])
async def test_nobody_on_the_socket_names_it_and_says_how_to_start(tmp_path: Path, is_stale: bool) -> None:
    path = str(tmp_path / "s")
    if is_stale:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path)
    async with Client(path) as client:
        with pytest.raises(ServiceUnreachable, match="start it with") as caught:
            await client.service()
    assert path in caught.value.detail


async def test_a_client_that_is_not_open_says_so() -> None:
    with pytest.raises(RuntimeError, match="async with"):
        await Client("/nowhere").service()


async def test_a_job_id_cannot_leave_its_place_in_the_path(service: FakeService) -> None:
    async with Client(service.socket_path) as client:
        with pytest.raises(NotFound):
            await client.job("../jobs?x=1")
    assert service.requests[0].path in {"/v1/jobs/../jobs?x=1", "/v1/jobs/..%2Fjobs%3Fx=1"}
