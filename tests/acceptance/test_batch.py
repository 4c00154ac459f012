"""Many calls in one: each as it would be alone, in order, all on record when the answer is there."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.acceptance.raw import Asker, asker, public_home
from tests.origin import Origin
from tests.process import Bitsd, Document

pytestmark = pytest.mark.asyncio(loop_scope="module")

IS_ROOT = os.geteuid() == 0
ANN, BOB = 60001, 60002
NO_JOB = "00000000-0000-0000-0000-000000000000"
INVALID = (409, "BG_E_INVALID_STATE")
MOST = 6
"""Jobs that a user may have here."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bitsd() -> AsyncIterator[Bitsd]:
    with public_home() as home:
        async with Bitsd(home, BITSD_LIMITS__JOBS_PER_USER=str(MOST)) as service:
            (home / "downloads").chmod(0o1777)
            yield service


@pytest_asyncio.fixture(loop_scope="module")
async def ann(bitsd: Bitsd) -> AsyncIterator[Asker]:
    """A user who has no job."""
    async with asker(bitsd, ANN) as user:
        yield user
        for job in (await user.ok("GET", "/v1/jobs"))["jobs"]:
            await user.ok("POST", f"/v1/jobs/{job['id']}/cancel")


@pytest_asyncio.fixture(loop_scope="module")
async def bob(bitsd: Bitsd) -> AsyncIterator[Asker]:
    async with asker(bitsd, BOB) as user:
        yield user


async def batch(user: Asker | Bitsd, *items: Document, atomic: bool = False) -> list[Document]:
    answer = await user.ok("POST", "/v1/batch", {"items": items, "atomic": atomic})
    assert answer.keys() == {"results"}
    return list(answer["results"])


def creating(name: str = "a", **body: object) -> Document:
    return {"op": "create", "body": {"display_name": name, **body}}


def about(operation: str, job: Document | str, **members: object) -> Document:
    return {"op": operation, "id": job if isinstance(job, str) else job["id"], **members}


def a_file(bitsd: Bitsd, name: str = "f") -> Document:
    return {"remote_name": "http://127.0.0.1:9/f", "local_name": bitsd.target(f"/{name}")}


def codes(results: list[Document]) -> list[tuple[int, str | None]]:
    return [(result["status"], result["body"].get("code")) for result in results]


async def record(user: Asker | Bitsd) -> object:
    """Everything that a refused batch must not change."""
    return await user.ok("GET", "/v1/jobs?include=files"), await user.ok("GET", "/v1/events")


async def test_every_result_is_what_the_call_alone_would_have_given(bitsd: Bitsd, ann: Asker) -> None:
    (job,) = [result["body"] for result in await batch(ann, creating("one"))]
    same = await ann.ok("POST", "/v1/jobs", {"display_name": "one"})
    varies = {"id", "times"}
    assert {name: job[name] for name in job.keys() - varies} == {name: same[name] for name in same.keys() - varies}
    added, resumed, suspended, cancelled = await batch(
        ann,
        about("add", job, body={"files": [a_file(bitsd)]}),
        about("resume", job),
        about("suspend", job),
        about("cancel", job),
    )
    assert (added["status"], [file["index"] for file in added["body"]["files"]]) == (201, [0])
    states = [(result["status"], result["body"]["state"]) for result in (resumed, suspended, cancelled)]
    assert states == [(200, "QUEUED"), (200, "SUSPENDED"), (200, "CANCELLED")]
    assert [result["body"]["result"] for result in (resumed, suspended, cancelled)] == ["S_OK"] * 3
    shown = await ann.ok("GET", f"/v1/jobs/{job['id']}?include=files")
    assert (shown["state"], shown["files"]) == ("CANCELLED", added["body"]["files"])
    assert cancelled["body"] == {name: shown[name] for name in shown.keys() - {"files"}} | {"result": "S_OK"}


async def test_events_come_in_the_order_of_the_items(bitsd: Bitsd, ann: Asker) -> None:
    before = (await ann.ok("GET", "/v1/events"))["seq"]
    results = await batch(ann, creating("x", files=[a_file(bitsd)]), creating("y"), about("suspend", "#1"))
    first, second, _ = [result["body"]["id"] for result in results]
    events = (await ann.ok("GET", f"/v1/events?after={before}"))["events"]
    assert [(event["job_id"], event["type"]) for event in events] == [(first, "JOB_CREATED"), (second, "JOB_CREATED")]


async def test_an_item_can_be_about_a_job_that_one_before_it_creates(bitsd: Bitsd, ann: Asker) -> None:
    results = await batch(
        ann,
        creating(),
        about("add", "#0", body={"files": [a_file(bitsd)]}),
        creating(files=[{"remote_name": "ftp://h/f", "local_name": "/tmp/f"}]),
        about("suspend", "#2"),
        about("suspend", "#1"),
        about("suspend", "#9"),
        about("suspend", "#"),
        about("suspend", "#" + "9" * 5000),
        about("suspend", "#0"),
        creating(),
    )
    wrong = (400, "E_INVALIDARG")
    assert codes(results) == [
        (201, None),
        (201, None),
        wrong,
        (424, "NOT_CARRIED_OUT"),
        *[wrong] * 4,
        (200, None),
        (201, None),
    ]
    assert results[8]["body"]["id"] == results[0]["body"]["id"]
    assert results[8]["body"]["progress"]["files_total"] == 1


async def test_a_refused_item_leaves_nothing_and_holds_nobody_up(bitsd: Bitsd, ann: Asker) -> None:
    nowhere = {"remote_name": "http://h/f", "local_name": "/nowhere/at/all/f"}
    twice = [{**a_file(bitsd), "remote_name": f"http://ann:{word}@h/f"} for word in ("one", "two")]
    results = await batch(
        ann,
        creating(colour="red"),
        creating(resume=True),
        creating(files=[nowhere]),
        creating(files=twice),
        creating(""),
        about("resume", NO_JOB),
        about("add", NO_JOB, body={"files": [nowhere]}),
        creating("good"),
        about("add", "#7", body={"files": [a_file(bitsd), nowhere]}),
        about("add", "#7", body={"files": []}),
    )
    wrong = (400, "E_INVALIDARG")
    missing = (404, "BG_E_NOT_FOUND")
    expected = [wrong, (409, "BG_E_EMPTY"), wrong, wrong, wrong, missing, missing, (201, None), wrong, wrong]
    assert codes(results) == expected
    fields = [result["body"].get("field") for result in results]
    assert (fields[0], fields[2], fields[8]) == ("colour", "files.0.local_name", "files.1.local_name")
    (left,) = (await ann.ok("GET", "/v1/jobs?include=files"))["jobs"]
    assert (left["id"], left["files"]) == (results[7]["body"]["id"], [])
    assert [event["type"] for event in (await ann.ok("GET", f"/v1/events?job={left['id']}"))["events"]] == [
        "JOB_CREATED"
    ]


async def test_a_batch_that_is_all_or_nothing_changes_nothing_when_an_item_is_refused(bitsd: Bitsd, ann: Asker) -> None:
    job = (await batch(ann, creating(files=[a_file(bitsd)]), atomic=True))[0]["body"]
    before = await record(ann)
    results = await batch(ann, creating(), about("resume", job), about("complete", NO_JOB), creating(), atomic=True)
    undone = (424, "NOT_CARRIED_OUT")
    assert codes(results) == [undone, undone, (404, "BG_E_NOT_FOUND"), undone]
    assert results[0]["body"]["hresult"] == "0xA0D0000A"
    assert "item 2" in results[0]["body"]["detail"]
    assert await record(ann) == before


async def test_the_limit_of_jobs_counts_those_of_the_batch(ann: Asker) -> None:
    results = await batch(ann, *[creating() for _ in range(MOST + 2)])
    assert [result["status"] for result in results] == [201] * MOST + [429] * 2
    assert results[-1]["body"]["limit"] == MOST
    (first, *_) = results
    results = await batch(ann, creating(), about("cancel", first["body"]), atomic=True)
    assert codes(results) == [(429, "BG_E_TOO_MANY_JOBS_PER_USER"), (424, "NOT_CARRIED_OUT")]


async def test_each_item_is_judged_on_its_own_job(bitsd: Bitsd, ann: Asker, bob: Asker) -> None:
    job, other = [result["body"] for result in await batch(ann, creating(), creating())]
    before = await record(ann)
    nowhere = {"remote_name": "http://h/f", "local_name": "/nowhere/at/all/f"}
    items = [about(operation, job) for operation in ("resume", "suspend", "complete", "cancel")]
    results = codes(await batch(bob, about("add", job, body={"files": [nowhere]}), *items))
    if bob.uid == ann.uid:
        assert results == [(400, "E_INVALIDARG"), (409, "BG_E_EMPTY"), (200, None), (200, None), INVALID]
    else:
        assert results == [(403, "E_ACCESSDENIED")] * 5
        assert await record(ann) == before
    with_login = a_file(bitsd) | {"remote_name": "http://me:word@h/f"}
    results = codes(
        await batch(bitsd, *[about("add", other, body={"files": [file]}) for file in (a_file(bitsd), with_login)])
    )
    assert results == [(201, None), (403, "E_ACCESSDENIED") if IS_ROOT else (201, None)]


BAD: dict[str, Any] = {
    "no items": {},
    "an empty list": {"items": []},
    "too many": {"items": [{"op": "create", "body": {"display_name": "a"}}] * 1001},
    "an unknown operation": {"items": [{"op": "create", "body": {"display_name": "a"}}, {"op": "delete", "id": "x"}]},
    "an unknown member": {"items": [{"op": "resume", "id": "x", "if": 1}]},
    "no id": {"items": [{"op": "create", "body": {"display_name": "a"}}, {"op": "resume"}]},
    "an id for create": {"items": [{"op": "create", "id": "x", "body": {"display_name": "a"}}]},
    "no body": {"items": [{"op": "create"}]},
    "a body for resume": {"items": [{"op": "resume", "id": "x", "body": {}}]},
    "a body that is a list": {"items": [{"op": "create", "body": []}]},
    "atomic as a number": {"items": [{"op": "create", "body": {"display_name": "a"}}], "atomic": 1},
    "not an object": [],
}


@pytest.mark.parametrize("body", BAD.values(), ids=BAD.keys())
async def test_a_batch_that_is_none_is_refused_as_a_whole(ann: Asker, body: object) -> None:
    before = await record(ann)
    status, document = await ann.call("POST", "/v1/batch", body)
    assert (status, document["code"]) == (400, "E_NOTIMPL" if "delete" in str(body) else "E_INVALIDARG")
    assert await record(ann) == before


@pytest.mark.parametrize("header", ["Idempotency-Key", "If-Match"])
async def test_what_is_about_one_job_is_not_ignored(bitsd: Bitsd, header: str) -> None:
    before = await record(bitsd)
    status, document = await bitsd.call("POST", "/v1/batch", {"items": [creating()]}, headers={header: "1"})
    assert (status, document["field"]) == (400, header)
    assert await record(bitsd) == before


async def test_a_batch_completes_jobs_and_one_that_cannot_be_published_fails_alone(bitsd: Bitsd) -> None:
    async with Origin() as origin:
        jobs = []
        for name in ("here", "gone", "taken"):
            origin.file(f"/{name}", body=name.encode())
            jobs.append(await bitsd.create(origin.url(f"/{name}")))
        for job in jobs:
            await bitsd.wait(job, "TRANSFERRED")
        temporary = (await bitsd.job(jobs[1], include="files"))["files"][0]["temporary_name"]
        Path(temporary).unlink()
        results = await batch(
            bitsd, *[about("complete", job) for job in jobs], about("complete", jobs[0]), atomic=False
        )
    assert codes(results) == [(200, None), (409, "E_LOCAL_FILE"), (200, None), INVALID]
    assert [results[place]["body"]["state"] for place in (0, 2)] == ["ACKNOWLEDGED"] * 2
    assert results[0]["body"]["result"] == "S_OK"
    assert Path(bitsd.target("/here")).read_bytes() == b"here"
    assert (await bitsd.job(jobs[1]))["state"] == "ERROR"
    await bitsd.act(jobs[1], "cancel")


async def test_what_a_batch_answered_outlives_a_kill(tmp_path: Path) -> None:
    free = {"BITSD_LIMITS__JOBS_PER_USER": "0", "BITSD_LIMITS__JOBS_PER_MACHINE": "0"}
    async with Bitsd(tmp_path, **free) as bitsd:
        items = [creating(f"job {number}", files=[a_file(bitsd, f"f{number}")]) for number in range(500)]
        answers = await asyncio.gather(batch(bitsd, *items), batch(bitsd, *items, about("cancel", "#3")))
        await bitsd.kill()
        await bitsd.start()
        acknowledged = [result["body"] for results in answers for result in results if result["status"] == 201]
        assert len(acknowledged) == 1000
        listed = {job["id"]: job for job in (await bitsd.ok("GET", "/v1/jobs"))["jobs"]}
        cancelled = answers[1][-1]["body"]["id"]
        assert listed == {job["id"]: job for job in acknowledged if job["id"] != cancelled}
        assert (await bitsd.job(answers[1][-1]["body"]))["state"] == "CANCELLED"
