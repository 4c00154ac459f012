"""Each cell of spec/service.md §2.2 through the socket, written out here once more.

A test walks a row and collects every cell that is wrong before it fails; tests/acceptance/table.py explains the words.
"""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.acceptance.stage import FINAL, LIVE, SIZE, STALLED, Stage, stage
from tests.acceptance.table import IS, METHOD, STATES, Row, walk
from tests.process import Document

IS_ROOT = os.geteuid() == 0
pytestmark = pytest.mark.asyncio(loop_scope="module")

# SUSPENDED, QUEUED, TRANSFERRING, TRANSIENT_ERROR, ERROR, TRANSFERRED, ACKNOWLEDGED, CANCELLED
EDITS = "= = = = = = IS IS"
READ_ONLY = "AFTER AFTER AFTER AFTER AFTER AFTER IS IS"
SUSPEND = "same SUSPENDED SUSPENDED SUSPENDED SUSPENDED SUSPENDED IS IS"
RESUME = "QUEUED same same QUEUED QUEUED QUEUED IS IS"
CANCEL = "CANCELLED CANCELLED CANCELLED CANCELLED CANCELLED CANCELLED IS IS"
REJECT = "ERROR ERROR ERROR ERROR ERROR ERROR IS IS"
PENDING = "E_PENDING E_PENDING E_PENDING E_PENDING E_PENDING E_PENDING IS IS"

SETTABLE: dict[str, object] = {
    "display_name": "another",
    "description": "some words",
    "priority": "LOW",
    "minimum_retry_delay": 77,
    "no_progress_timeout": 7777,
    "maximum_download_time": 777,
    "notify": {"flags": ["JOB_ERROR"], "command": ["/bin/true", "a"], "minimum_interval_ms": 5},
    "proxy": {"usage": "OVERRIDE", "list": "proxy:3128", "bypass": "<local>"},
    "custom_headers": "X-A: 1\r\n",
    "custom_headers_write_only": True,
    "security_flags": ["SSL_IGNORE_UNKNOWN_CA", "REDIRECT_ALLOW_REPORT"],
    "cost_policy": "STANDARD",
}
ONLY_BEFORE_RESUME: dict[str, object] = {
    "http_method": "POST",
    "dynamic_content": True,
    "maximum_download_size": 12345,
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def on(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with stage(tmp_path_factory.mktemp("table")) as made:
        yield made


async def test_every_settable_property_in_every_state(on: Stage) -> None:
    row = Row(on, "set")
    for state, expected in zip(STATES, EDITS.split(), strict=True):
        job = await on.bring(state, left=0 if state == "TRANSFERRED" else 1)
        for name, value in SETTABLE.items():
            if state == "TRANSFERRING" and name == "priority":
                continue  # it is a matter of scheduling then: tests/acceptance/test_scheduling.py
            reply = await row.cell(job, expected, ("PATCH", "", {name: value}))
            shown = None if name == "custom_headers_write_only" else reply.get(name)
            if expected == "=" and shown != value and name != "custom_headers_write_only":
                row.wrong.append(f"{name} in {state}: set to {value}, shown as {shown}")
    assert row.wrong == []


async def test_properties_that_are_read_only_after_the_first_resume(on: Stage) -> None:
    row = Row(on, "set")
    for name, value in ONLY_BEFORE_RESUME.items():
        reply = await row.cell(await on.fresh(priority="NORMAL"), "=", ("PATCH", "", {name: value}))
        if reply.get(name) != value:
            row.wrong.append(f"{name} is not {value} before the first resume")
    for state, expected in zip(STATES, READ_ONLY.split(), strict=True):
        job = await on.bring(state, left=0 if state == "TRANSFERRED" else 1)
        for name, value in ONLY_BEFORE_RESUME.items():
            await row.cell(job, expected, ("PATCH", "", {name: value}))
            both = {"description": "must not be set", name: value}
            await row.cell(job, expected, ("PATCH", "", both))
        await row.cell(job, "same" if state in LIVE else "IS", ("PATCH", "", {"http_method": "GET"}))
    assert row.wrong == []


async def test_a_custom_method_pins_the_priority_to_foreground(on: Stage) -> None:
    row = Row(on, "set priority")
    job = await on.fresh(priority="LOW")
    reply = await row.cell(job, "=", ("PATCH", "", {"http_method": "POST"}))
    assert reply["priority"] == "FOREGROUND"
    await row.cell(job, METHOD, ("PATCH", "", {"priority": "HIGH"}))
    await row.cell(job, METHOD, ("PATCH", "", {"dynamic_content": True}))
    for state in ("SUSPENDED", "TRANSFERRING", "ERROR", "TRANSFERRED", *FINAL):
        job = await on.bring(state, left=0 if state == "TRANSFERRED" else 1, http_method="POST")
        await row.cell(job, METHOD if state in LIVE else IS, ("PATCH", "", {"priority": "LOW"}))
        await row.cell(job, "same" if state in LIVE else IS, ("PATCH", "", {"priority": "FOREGROUND"}))
    file = on.file(statuses=[500])
    job = await on.bitsd.ok(
        "POST", "/v1/jobs", {"display_name": "a", "http_method": "POST", "files": [file], "resume": True}
    )
    job = await on.bitsd.wait(job, "ERROR", "TRANSIENT_ERROR")
    assert job["state"] == "ERROR"  # every failure of a custom method is fatal (§5.6)
    assert row.wrong == []


async def test_add_files(on: Stage) -> None:
    whole, ranged = on.file(size=SIZE), on.file(size=SIZE)
    ranges = [{"offset": 500, "length": 100}, {"offset": 0, "length": 10}, {"offset": 900, "length": None}]
    for files in ([whole], [ranged | {"ranges": ranges}], [whole, ranged]):
        await walk(on, "add", EDITS, lambda _, files=files: ("POST", "/files", {"files": files}))  # type: ignore[misc]


async def test_files_added_to_a_transferred_job_wait_for_resume_and_only_they_are_fetched(on: Stage) -> None:
    job = await on.bring("TRANSFERRED", left=0)
    old, new = job["files"][0]["remote_name"], on.file(size=SIZE)
    path = new["remote_name"].removeprefix(on.origin.url(""))
    await on.bitsd.ok("POST", f"/v1/jobs/{job['id']}/files", {"files": [new]})
    await on.bitsd.ok("PATCH", f"/v1/jobs/{job['id']}", {"priority": "FOREGROUND"})
    seen = len(on.origin.requests)
    job = await on.settled(job)
    assert (job["state"], job["progress"]["files_total"], job["progress"]["files_transferred"]) == ("TRANSFERRED", 2, 1)
    await on.bitsd.act(job, "resume")
    job = await on.bitsd.wait(job, "TRANSFERRED")
    assert {request.path for request in on.origin.requests[seen:]} == {path}
    assert on.origin.url(path) != old
    assert (await on.bitsd.act(job, "complete"))["result"] == "S_OK"
    assert on.are_whole(await on.settled(job), 2)


async def test_suspend(on: Stage) -> None:
    await walk(on, "suspend", SUSPEND, lambda _: ("POST", "/suspend", None))


async def test_resume(on: Stage) -> None:
    await walk(on, "resume", RESUME, lambda _: ("POST", "/resume", None))


async def test_resume_of_a_transferred_job_with_nothing_new_falls_back_without_fetching(on: Stage) -> None:
    job = await on.bring("TRANSFERRED", left=0)
    seen, last = len(on.origin.requests), (await on.bitsd.ok("GET", "/v1/jobs"))["seq"]
    assert (await on.bitsd.act(job, "resume"))["state"] == "QUEUED"
    await on.bitsd.wait(job, "TRANSFERRED")
    moves = await on.bitsd.events(last, job, "JOB_STATE")
    assert [(move["from"], move["to"]) for move in moves] == [("TRANSFERRED", "QUEUED"), ("QUEUED", "TRANSFERRED")]
    assert len(on.origin.requests) == seen


async def test_resume_without_files(on: Stage) -> None:
    row = Row(on, "resume without files")
    made = [await on.fresh(files=0) for _ in range(3)]
    await on.bitsd.act(made[1], "complete")
    await on.bitsd.act(made[2], "cancel")
    for job, expected in zip(made, ("BG_E_EMPTY", "IS", "IS"), strict=True):
        await row.cell(await on.settled(job), expected, ("POST", "/resume", None))
    assert row.wrong == []


@pytest.mark.parametrize("done", [0, 1, 2])
async def test_complete_before_everything_is_done_keeps_what_is(on: Stage, done: int) -> None:
    row = Row(on, f"complete, {done} done")
    for state in ("SUSPENDED", "QUEUED", "TRANSFERRING", "TRANSIENT_ERROR", "ERROR", *FINAL):
        job = await on.bring(state, done=done)
        expected = "ACKNOWLEDGED, BG_S_PARTIAL_COMPLETE" if state in LIVE else "IS"
        await row.cell(job, expected, ("POST", "/complete", None))
        after = await on.settled(job)
        if not on.are_whole(after, 0 if state == "CANCELLED" else done):
            row.wrong.append(f"the files of a job completed in {state}: {sorted(on.bitsd.downloads.iterdir())}")
        if [file["progress"]["completed"] for file in after["files"]] != [state != "CANCELLED"] * done + [False]:
            row.wrong.append(f"completed in {state}: {after['files']}")
    assert row.wrong == []


async def test_complete_of_everything(on: Stage) -> None:
    row = Row(on, "complete, all done")
    for state in ("TRANSFERRED", "SUSPENDED", "QUEUED"):
        job = await on.bring("TRANSFERRED" if state == "TRANSFERRED" else "SUSPENDED", done=2, left=0)
        if state == "QUEUED":  # the only way there: a file more, which is complete again without it
            await on.bitsd.ok("POST", f"/v1/jobs/{job['id']}/files", {"files": [on.file(**STALLED)]})
            job = await on.bitsd.act(job, "resume")
        expected = "ACKNOWLEDGED, BG_S_PARTIAL_COMPLETE" if state == "QUEUED" else "ACKNOWLEDGED"
        await row.cell(job, expected, ("POST", "/complete", None))
        if not on.are_whole(await on.settled(job), 2):
            row.wrong.append(f"the files of a job completed in {state}")
    assert row.wrong == []


async def test_complete_replaces_an_existing_target(on: Stage) -> None:
    job = await on.bring("TRANSFERRED", left=0)
    on.paths(job)[0].write_text("old")
    assert (await on.bitsd.act(job, "complete"))["result"] == "S_OK"
    assert on.are_whole(await on.settled(job), 1)


@pytest.mark.parametrize("state", ["TRANSFERRED", "SUSPENDED", "QUEUED", "TRANSFERRING", "TRANSIENT_ERROR", "ERROR"])
@pytest.mark.parametrize("end", ["complete", "cancel"])
async def test_a_rename_that_fails_keeps_the_job_as_transferred(on: Stage, state: str, end: str) -> None:
    left = 0 if state == "TRANSFERRED" else 1
    job = await on.bring(state, done=2, left=left)
    first, second = on.paths(job)[:2]
    second.mkdir()
    status, reply = await on.bitsd.call("POST", f"/v1/jobs/{job['id']}/complete")
    assert (status, reply["code"], reply["hresult"]) == (409, "E_LOCAL_FILE", "0xC0D00015")
    assert (reply["errno"], reply["path"]) == ("EISDIR", str(second))
    after = await on.settled(job)
    assert after["state"] == "TRANSFERRED"
    assert [file["progress"]["completed"] for file in after["files"]] == [True, False] + [False] * left
    assert first.stat().st_size == SIZE
    before = await on.settled_with_events(job)
    status, _ = await on.bitsd.call("POST", f"/v1/jobs/{job['id']}/complete")
    assert (status, await on.settled_with_events(job)) == (409, before)
    if end == "cancel":
        assert (await on.bitsd.act(job, "cancel"))["state"] == "CANCELLED"
        assert first.stat().st_size == SIZE  # it is its owner's since Complete renamed it
        assert not any(Path(file["temporary_name"]).exists() for file in job["files"])
        return
    second.rmdir()
    reply = await on.bitsd.act(job, "complete")
    assert (reply["state"], reply["result"]) == ("ACKNOWLEDGED", "BG_S_PARTIAL_COMPLETE" if left else "S_OK")
    assert on.are_whole(await on.settled(job), 2)


async def test_a_first_rename_that_fails_changes_nothing(on: Stage) -> None:
    job = await on.bring("TRANSFERRED", left=0)
    on.paths(job)[0].mkdir()
    before = await on.settled_with_events(job)
    status, reply = await on.bitsd.call("POST", f"/v1/jobs/{job['id']}/complete")
    assert (status, reply["code"]) == (409, "E_LOCAL_FILE")
    assert await on.settled_with_events(job) == before


async def test_cancel(on: Stage) -> None:
    def nothing_stays(job: Document, state: str) -> None:
        assert on.are_whole(job, 1 if state == "ACKNOWLEDGED" else 0)

    await walk(on, "cancel", CANCEL, lambda _: ("POST", "/cancel", None), nothing_stays)


async def test_set_remote_name(on: Stage) -> None:
    other = on.file(size=SIZE)["remote_name"]
    await walk(on, "set remote_name", EDITS, lambda _: ("PATCH", "/files/0", {"remote_name": other}))


async def test_replace_remote_prefix(on: Stage) -> None:
    old, new = on.origin.url("/"), on.origin.url("/x/")
    await walk(on, "prefix", EDITS, lambda _: ("POST", "/replace-remote-prefix", {"old": old, "new": new}))
    nothing = {"old": old.upper(), "new": new}
    no_match = " ".join("same" if cell == "=" else cell for cell in EDITS.split())
    await walk(on, "prefix without a match", no_match, lambda _: ("POST", "/replace-remote-prefix", nothing))
    job = await on.bring("SUSPENDED", done=2)
    reply = await on.bitsd.ok("POST", f"/v1/jobs/{job['id']}/replace-remote-prefix", {"old": old, "new": new})
    assert reply["changed"] == 3
    names = [file["remote_name"] for file in (await on.settled(job))["files"]]
    assert names == [file["remote_name"].replace(old, new) for file in job["files"]]


async def test_the_owner_finds_a_finished_file_good(on: Stage) -> None:
    await walk(on, "validated: true", EDITS, lambda _: ("PATCH", "/files/0", {"validated": True}))


async def test_the_owner_finds_a_finished_file_bad(on: Stage) -> None:
    def refetches(job: Document, state: str) -> None:
        if state in LIVE:
            assert job["error"]["code"] == "BG_E_VALIDATION_FAILED"
            assert job["error"]["hresult"] == "0x80200053"
            assert job["error"]["file_index"] == 0
            assert (job["files"][0]["transferred"], job["files"][0]["progress"]["bytes_transferred"]) == (False, 0)

    # from ERROR the state stays, with another error: the row says ERROR and the cell is "="
    row = REJECT.split()
    row[LIVE.index("ERROR")] = "="
    await walk(on, "validated: false", " ".join(row), lambda _: ("PATCH", "/files/0", {"validated": False}), refetches)


async def test_a_rejected_file_is_fetched_again(on: Stage) -> None:
    job = await on.bring("TRANSFERRED", left=0)
    await on.bitsd.ok("PATCH", f"/v1/jobs/{job['id']}/files/0", {"validated": False})
    await on.bitsd.ok("PATCH", f"/v1/jobs/{job['id']}", {"priority": "FOREGROUND"})
    await on.bitsd.act(job, "resume")
    await on.bitsd.wait(job, "TRANSFERRED")
    assert (await on.bitsd.act(job, "complete"))["result"] == "S_OK"
    assert on.are_whole(await on.settled(job), 1)


async def test_a_file_published_before_a_failed_rename_is_fetched_again_when_it_is_rejected(on: Stage) -> None:
    job = await on.bring("TRANSFERRED", done=2, left=0)
    first, second = on.paths(job)
    second.mkdir()
    await on.bitsd.call("POST", f"/v1/jobs/{job['id']}/complete")
    first.write_text("spoilt")
    await on.bitsd.ok("PATCH", f"/v1/jobs/{job['id']}/files/0", {"validated": False})
    await on.bitsd.ok("PATCH", f"/v1/jobs/{job['id']}", {"priority": "FOREGROUND"})
    await on.bitsd.act(job, "resume")
    await on.bitsd.wait(job, "TRANSFERRED")
    second.rmdir()
    assert (await on.bitsd.act(job, "complete"))["result"] == "S_OK"
    assert on.are_whole(await on.settled(job), 2)


async def test_take_ownership(on: Stage) -> None:
    def is_stripped(job: Document, state: str) -> None:
        if state in LIVE and IS_ROOT:
            assert (job["custom_headers"], job["notify"]["command"]) == (None, None)
            assert job["display_name"] == state

    row = EDITS if IS_ROOT else " ".join(["E_ACCESSDENIED"] * len(STATES))
    secrets = {"custom_headers": "X-A: 1", "notify": {"command": ["/bin/true"]}}
    await walk(on, "take-ownership", row, lambda _: ("POST", "/take-ownership", None), is_stripped, **secrets)


@pytest.mark.parametrize("verdict", [True, False])
async def test_the_owner_judges_an_unfinished_file(on: Stage, verdict: bool) -> None:
    row = Row(on, f"validated: {verdict}, unfinished")
    for state, expected in zip(STATES, PENDING.split(), strict=True):
        job = await on.bring(state, left=0 if state == "TRANSFERRED" else 1)
        if state == "TRANSFERRED":
            await on.bitsd.ok("POST", f"/v1/jobs/{job['id']}/files", {"files": [on.file(**STALLED)]})
        await row.cell(job, expected, ("PATCH", "/files/1", {"validated": verdict}))
    assert row.wrong == []
