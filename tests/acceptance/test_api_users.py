"""Who may do what: callers of other accounts, judged by the kernel's word alone.

As root the callers are other accounts; otherwise every caller is ourselves, who are no administrator: what needs a
second account is then asked of the rule itself (daemon.access.guard), the rest is asked of the service all the same.
"""

import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from daemon.access import Access, Caller, guard
from jobqueue.errors import RefusedError
from jobqueue.job import Job, Owner, Properties
from tests.acceptance.raw import Asker, asker, public_home
from tests.origin import Origin
from tests.process import Bitsd, Document

pytestmark = pytest.mark.asyncio(loop_scope="module")

IS_ROOT = os.geteuid() == 0
ANN, BOB = 60001, 60002
LIMITS = {
    "BITSD_LIMITS__JOBS_PER_USER": "4",
    "BITSD_LIMITS__JOBS_PER_MACHINE": "6",
    "BITSD_LIMITS__FILES_PER_JOB": "2",
    "BITSD_LIMITS__RANGES_PER_FILE": "3",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bitsd() -> AsyncIterator[Bitsd]:
    with public_home() as home:
        async with Bitsd(home, **LIMITS) as service:
            (home / "downloads").chmod(0o1777)
            yield service


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ann(bitsd: Bitsd) -> AsyncIterator[Asker]:
    async with asker(bitsd, ANN) as user:
        yield user


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bob(bitsd: Bitsd) -> AsyncIterator[Asker]:
    async with asker(bitsd, BOB) as user:
        yield user


async def made(user: Asker, **properties: object) -> Document:
    job: Document = await user.ok("POST", "/v1/jobs", {"display_name": "a"} | properties)
    return job


async def away(user: Asker, *jobs: Document) -> None:
    """Cancel them: the limits count what is not final."""
    for job in jobs:
        await user.ok("POST", f"/v1/jobs/{job['id']}/cancel")


async def ids(user: Asker, query: str = "") -> set[str]:
    return {job["id"] for job in (await user.ok("GET", f"/v1/jobs{query}"))["jobs"]}


def calls(job: Document, local_name: str) -> list[tuple[str, str, Any]]:
    """Every call on one job."""
    path, file = f"/v1/jobs/{job['id']}", {"remote_name": "http://h/a", "local_name": local_name}
    found: list[tuple[str, str, Any]] = [("GET", path, None), ("PATCH", path, {"description": "x"})]
    found += [("GET", f"{path}/files", None), ("POST", f"{path}/files", {"files": [file]})]
    found += [("GET", f"{path}/files/0", None), ("GET", f"{path}/files/0/content", None)]
    found += [("PATCH", f"{path}/files/0", {"remote_name": "http://h/b"})]
    found += [("POST", f"{path}/replace-remote-prefix", {"old": "http", "new": "https"})]
    found += [
        ("POST", f"{path}/{name}", None) for name in ("suspend", "resume", "complete", "cancel", "take-ownership")
    ]
    return [*found, ("GET", f"{path}/wait?until=ERROR", None), ("GET", f"/v1/events?job={job['id']}", None)]


async def test_a_foreign_job_is_refused_whatever_the_call(bitsd: Bitsd, ann: Asker, bob: Asker) -> None:
    file = {"remote_name": "http://127.0.0.1:1/a", "local_name": bitsd.target("/foreign")}
    job = await made(ann, files=[file])
    assert job["owner"]["uid"] == ann.uid
    before = await ann.ok("GET", f"/v1/jobs/{job['id']}"), await ann.ok("GET", f"/v1/events?job={job['id']}")
    if IS_ROOT:
        for method, path, body in calls(job, bitsd.target("/other")):
            status, reply = await bob.call(method, path, body)
            assert (status, reply["code"], reply["hresult"]) == (403, "E_ACCESSDENIED", "0x80070005"), (method, path)
    else:
        foreign = Job("id", Owner(bob.uid + 1, 0, "x"), Properties("a"), 0, 0)
        for access in (Access.OWNER, Access.OWNER_OR_ADMIN, Access.ADMIN):
            with pytest.raises(RefusedError, match="another user"):
                guard(Caller(bob.uid, 0, 0), access)(foreign)
    after = await ann.ok("GET", f"/v1/jobs/{job['id']}"), await ann.ok("GET", f"/v1/events?job={job['id']}")
    assert after == before
    await away(ann, job)


async def test_everybody_sees_their_own_jobs_and_events_only(bitsd: Bitsd, ann: Asker, bob: Asker) -> None:
    seq = (await ann.ok("GET", "/v1/jobs"))["seq"]
    mine, other = await made(ann), await made(bob)
    root = await bitsd.create(name="root's")
    everybody = {mine["id"], other["id"], root["id"]}
    own = {mine["id"]} if IS_ROOT else everybody
    assert await ids(ann) == await ids(ann, f"?owner={ann.uid}") == own
    events = (await ann.ok("GET", f"/v1/events?after={seq}"))["events"]
    assert {event["job_id"] for event in events} == own
    for path in ("/v1/jobs?all_users=true", "/v1/jobs?owner=0", "/v1/events?all_users=true"):
        status, reply = await ann.call("GET", path)
        assert (status, reply["code"]) == (403, "E_ACCESSDENIED"), path
    status, found = await bitsd.call("GET", "/v1/jobs?all_users=true")
    assert status == (200 if IS_ROOT else 403)
    if IS_ROOT:
        assert {job["id"] for job in found["jobs"]} >= everybody
        assert (await bitsd.ok("GET", f"/v1/jobs?owner={BOB}"))["jobs"][0]["id"] == other["id"]
        events = (await bitsd.ok("GET", f"/v1/events?after={seq}&all_users=true"))["events"]
        assert {event["job_id"] for event in events} == everybody
        assert (await bitsd.job(mine))["owner"] == {"uid": ANN, "user": str(ANN)}
    await away(ann, mine)
    await away(bob, other)
    await bitsd.act(root, "cancel")


async def test_headers_are_shown_to_their_owner_alone(bitsd: Bitsd, ann: Asker) -> None:
    job = await made(ann, custom_headers="Authorization: secret")
    path = f"/v1/jobs/{job['id']}"
    assert (await ann.ok("GET", path))["custom_headers"] == "Authorization: secret"
    if IS_ROOT:
        assert (await bitsd.job(job))["custom_headers"] is None
        assert (await bitsd.ok("PATCH", path, {"description": "by the administrator"}))["custom_headers"] is None
        listed = (await bitsd.ok("GET", "/v1/jobs?all_users=true"))["jobs"]
        assert all(found["custom_headers"] is None for found in listed)
        status, reply = await bitsd.call("PATCH", path, {"custom_headers": "X-A: 1"})
        assert (status, reply["code"]) == (403, "E_ACCESSDENIED")  # not even the administrator's to set (§1.2)
    assert (await ann.ok("GET", path))["custom_headers"] == "Authorization: secret"
    assert (await ann.ok("PATCH", path, {"custom_headers_write_only": True}))["custom_headers"] is None
    assert (await ann.ok("GET", path))["custom_headers"] is None
    await away(ann, job)


async def test_only_the_administrator_takes_ownership_and_secrets_do_not_go_along(bitsd: Bitsd, ann: Asker) -> None:
    job = await made(ann, custom_headers="Authorization: secret", notify={"command": ["/bin/true"]})
    path = f"/v1/jobs/{job['id']}"
    before = await ann.ok("GET", path)
    status, reply = await ann.call("POST", f"{path}/take-ownership")
    assert (status, reply["code"]) == (403, "E_ACCESSDENIED")
    assert await ann.ok("GET", path) == before
    if not IS_ROOT:
        return await away(ann, job)
    taken = await bitsd.act(job, "take-ownership")
    assert (taken["owner"]["uid"], taken["custom_headers"], taken["notify"]["command"]) == (0, None, None)
    assert taken["revision"] > before["revision"]
    assert (await ann.call("GET", path))[0] == 403
    assert job["id"] not in await ids(ann)
    await bitsd.act(job, "cancel")
    return None


async def test_limits_bind_users_and_not_root(bitsd: Bitsd, ann: Asker, bob: Asker) -> None:
    url, local = "http://127.0.0.1:1/a", bitsd.target("/limited")
    jobs = [await made(ann) for _ in range(4)]
    status, reply = await ann.call("POST", "/v1/jobs", {"display_name": "a"})
    assert (status, reply["code"], reply["limit"]) == (429, "BG_E_TOO_MANY_JOBS_PER_USER", 4)
    assert reply["hresult"] == "0x80200049"
    if IS_ROOT:
        more = [await made(bob) for _ in range(2)]
        status, reply = await bob.call("POST", "/v1/jobs", {"display_name": "a"})
        assert (status, reply["code"], reply["limit"]) == (429, "BG_E_TOO_MANY_JOBS_PER_MACHINE", 6)
        many = [{"remote_name": url, "local_name": f"{local}{number}"} for number in range(5)]
        ranges = [{"offset": number, "length": 1} for number in range(10)]
        job = await bitsd.ok("POST", "/v1/jobs", {"display_name": "a", "files": [*many, many[0] | {"ranges": ranges}]})
        await bitsd.act(job, "cancel")
        await away(bob, *more)
    path = f"/v1/jobs/{jobs[0]['id']}"
    file = {"remote_name": url, "local_name": local}
    for files, code, limit in (
        ([file] * 3, "BG_E_TOO_MANY_FILES_IN_JOB", 2),
        ([file | {"ranges": [{"offset": at, "length": 1} for at in range(4)]}], "BG_E_TOO_MANY_RANGES_IN_FILE", 3),
    ):
        status, reply = await ann.call("POST", f"{path}/files", {"files": files})
        assert (status, reply["code"], reply["limit"]) == (429, code, limit)
        assert (await ann.ok("GET", f"{path}/files"))["files"] == []
    await ann.ok("POST", f"{path}/files", {"files": [file] * 2})
    assert (await ann.call("POST", f"{path}/files", {"files": [file]}))[0] == 429
    await away(ann, *jobs)
    await away(ann, await made(ann))


async def test_an_idempotency_key_is_its_callers_own(bitsd: Bitsd, ann: Asker, bob: Asker) -> None:
    key = {"Idempotency-Key": "the same"}
    jobs = [(await user.call("POST", "/v1/jobs", {"display_name": "a"}, key))[1] for user in (ann, ann, bob)]
    assert jobs[0]["id"] == jobs[1]["id"]
    assert (jobs[2]["id"] != jobs[0]["id"]) is IS_ROOT
    await away(ann, jobs[0])
    if IS_ROOT:
        await away(bob, jobs[2])


async def test_files_are_written_with_the_users_rights_and_are_the_users(bitsd: Bitsd, ann: Asker) -> None:
    async with Origin() as origin:
        script = origin.file("/owned", size=1000)
        with tempfile.TemporaryDirectory(prefix="bitsd") as folder:  # ours alone
            local = Path(bitsd.target("/owned"))
            closed = folder if IS_ROOT else "/sys/kernel"
            file = {"remote_name": origin.url("/owned"), "local_name": f"{closed}/a"}
            status, reply = await ann.call("POST", "/v1/jobs", {"display_name": "a", "files": [file]})
            assert (status, reply["code"]) == (403, "E_ACCESSDENIED")
        job = await made(ann, files=[file | {"local_name": str(local)}], resume=True)
        path = f"/v1/jobs/{job['id']}"
        job = await ann.ok("GET", f"{path}/wait?until=TRANSFERRED,ERROR")
        assert job["state"] == "TRANSFERRED", job["error"]
        temporary = Path((await ann.ok("GET", f"{path}/files/0"))["temporary_name"])
        assert temporary.stat().st_uid == ann.uid
        assert (await ann.ok("POST", f"{path}/complete"))["result"] == "S_OK"
        assert local.read_bytes() == script.content.read()
        assert local.stat().st_uid == ann.uid


async def test_a_transfer_taken_over_goes_on_with_the_new_owners_rights_and_no_headers(
    bitsd: Bitsd, ann: Asker
) -> None:
    if not IS_ROOT:
        return  # there is no administrator to take it
    async with Origin() as origin:
        origin.file("/taken", size=1000, stall_after=10)
        file = {"remote_name": origin.url("/taken"), "local_name": bitsd.target("/taken")}
        job = await made(ann, files=[file], resume=True, custom_headers="X-Key: s3cret\r\n")
        await origin.stalled.wait()
        taken = await bitsd.act(job, "take-ownership")
        assert (taken["state"], taken["owner"]["uid"]) == ("TRANSFERRING", 0)
        await bitsd.wait(job, "TRANSFERRED")
        assert await bitsd.moves(job) == ["QUEUED", "TRANSFERRING", "TRANSFERRED"]  # it never gave up its slot
        assert [request.headers.get("x-key") for request in origin.requests] == ["s3cret", None]
        await bitsd.act(job, "cancel")
