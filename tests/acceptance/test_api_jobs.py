"""Jobs through the socket: create, defaults, PATCH, If-Match, Idempotency-Key, listing, history, wait."""

import asyncio
import os
import pwd
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio

from tests.origin import Origin
from tests.process import Bitsd, Document

pytestmark = pytest.mark.asyncio(loop_scope="module")

DEFAULTS: dict[str, object] = {
    "revision": 1,
    "type": "DOWNLOAD",
    "description": "",
    "priority": "NORMAL",
    "state": "SUSPENDED",
    "progress": {"bytes_total": 0, "bytes_transferred": 0, "files_total": 0, "files_transferred": 0},
    "error": None,
    "error_count": 0,
    "waiting": None,
    "minimum_retry_delay": 60,
    "no_progress_timeout": 86400,
    "maximum_download_time": 7776000,
    "notify": {"flags": ["JOB_TRANSFERRED", "JOB_ERROR"], "command": None, "minimum_interval_ms": 500},
    "proxy": {"usage": "PRECONFIG", "list": None, "bypass": None},
    "custom_headers": None,
    "custom_headers_write_only": False,
    "client_certificate": None,
    "security_flags": [],
    "cost_policy": "ALWAYS",
    "http_method": "GET",
    "dynamic_content": False,
    "maximum_download_size": None,
}
EVERYTHING: dict[str, Any] = {
    "description": "words",
    "priority": "LOW",
    "minimum_retry_delay": 70,
    "no_progress_timeout": 0,
    "maximum_download_time": 60,
    "notify": {"flags": ["DISABLE"], "command": ["/bin/echo", "a b"], "minimum_interval_ms": 0},
    "proxy": {"usage": "OVERRIDE", "list": "http://proxy:3128", "bypass": "*.local"},
    "custom_headers": "X-A: 1\r\nX-B: 2\r\n",
    "custom_headers_write_only": False,
    "security_flags": ["SSL_IGNORE_UNKNOWN_CA", "REDIRECT_DISALLOW"],
    "cost_policy": "UNRESTRICTED",
    "http_method": "GET",
    "dynamic_content": True,
    "maximum_download_size": 2**63 - 1,
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bitsd(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bitsd]:
    free = {"BITSD_LIMITS__JOBS_PER_USER": "0", "BITSD_LIMITS__JOBS_PER_MACHINE": "0"}
    async with Bitsd(tmp_path_factory.mktemp("jobs"), **free) as service:
        yield service


async def made(bitsd: Bitsd, **properties: object) -> Document:
    return await bitsd.ok("POST", "/v1/jobs", {"display_name": "a"} | properties)


async def patch(bitsd: Bitsd, job: Document, body: object, **headers: str) -> tuple[int, Document]:
    return await bitsd.call("PATCH", f"/v1/jobs/{job['id']}", body, headers=headers)


async def listed(bitsd: Bitsd, query: str) -> list[str]:
    return [job["id"] for job in (await bitsd.ok("GET", f"/v1/jobs?{query}"))["jobs"]]


async def test_a_new_job_has_the_defaults_of_the_contract(bitsd: Bitsd) -> None:
    status, job = await bitsd.call("POST", "/v1/jobs", {"display_name": "plain"})
    assert status == 201
    assert UUID(job["id"]).version == 8
    assert job["display_name"] == "plain"
    assert job["owner"] == {"uid": os.geteuid(), "user": pwd.getpwuid(os.geteuid()).pw_name}
    assert {name: job[name] for name in DEFAULTS} == DEFAULTS
    assert job.keys() == DEFAULTS.keys() | {"id", "display_name", "owner", "times"}
    assert job["times"]["created"] == job["times"]["modified"]
    assert job["times"]["created"].endswith("Z")
    assert job["times"]["transfer_completed"] is None
    assert await bitsd.job(job) == job


async def test_create_with_everything(bitsd: Bitsd) -> None:
    file = {
        "remote_name": "http://127.0.0.1:1/a",
        "local_name": bitsd.target("/all"),
        "expected_size": 7,
        "digest": {"sha-256": "a" * 64},
        "mirrors": ["http://127.0.0.1:2/a"],
        "make_dirs": True,
    }
    job = await made(bitsd, **EVERYTHING, files=[file], resume=True)
    assert {name: job[name] for name in EVERYTHING} == EVERYTHING
    assert job["state"] in {"QUEUED", "TRANSFERRING"}
    (shown,) = (await bitsd.job(job, include="files"))["files"]
    assert {name: shown[name] for name in file if name in shown} == {k: v for k, v in file.items() if k != "make_dirs"}
    await bitsd.act(job, "cancel")


async def test_create_is_all_or_nothing(bitsd: Bitsd) -> None:
    before = await bitsd.ok("GET", "/v1/events")
    assert (await bitsd.call("POST", "/v1/jobs", {"display_name": "a", "resume": True}))[1]["code"] == "BG_E_EMPTY"
    ranges = [{"offset": 0, "length": 2}, {"offset": 1, "length": 2}]
    file = {"remote_name": "http://h/a", "local_name": bitsd.target("/a"), "ranges": ranges}
    status, reply = await bitsd.call("POST", "/v1/jobs", {"display_name": "a", "files": [file]})
    assert (status, reply["code"]) == (400, "BG_E_OVERLAPPING_RANGES")
    assert await bitsd.ok("GET", "/v1/events") == before


async def test_the_no_progress_timeout_follows_the_priority_until_it_is_set(bitsd: Bitsd) -> None:
    job = await made(bitsd, priority="FOREGROUND")
    assert job["no_progress_timeout"] == 3600
    bodies = {"priority": "LOW"}, {"no_progress_timeout": 5}, {"priority": "FOREGROUND"}, {"no_progress_timeout": None}
    seen = [(await patch(bitsd, job, body))[1]["no_progress_timeout"] for body in bodies]
    assert seen == [86400, 5, 5, 3600]


async def test_a_retry_delay_below_the_floor_is_raised_to_it(bitsd: Bitsd) -> None:
    job = await made(bitsd, minimum_retry_delay=0)
    assert job["minimum_retry_delay"] == 1  # the harness sets the floor to 1; the default is 5


async def test_patch_merges_member_by_member_and_null_is_the_default(bitsd: Bitsd) -> None:
    job = await made(bitsd, **EVERYTHING)
    _, job = await patch(bitsd, job, {"notify": {"minimum_interval_ms": 9}, "proxy": {"list": "other:1"}})
    assert job["notify"] == EVERYTHING["notify"] | {"minimum_interval_ms": 9}
    assert job["proxy"] == EVERYTHING["proxy"] | {"list": "other:1"}
    _, job = await patch(bitsd, job, {"notify": {"command": None}, "proxy": {"bypass": None}})
    assert job["notify"] == {"flags": ["DISABLE"], "command": None, "minimum_interval_ms": 9}
    assert job["proxy"] == {"usage": "OVERRIDE", "list": "other:1", "bypass": None}
    _, job = await patch(bitsd, job, {"proxy": {"usage": "NO_PROXY"}})
    assert job["proxy"] == {"usage": "NO_PROXY", "list": None, "bypass": None}
    status, job = await patch(bitsd, job, dict.fromkeys(set(EVERYTHING) - {"custom_headers_write_only"}))
    assert status == 200
    assert {name: job[name] for name in EVERYTHING} == {name: DEFAULTS[name] for name in EVERYTHING}


async def test_a_patch_without_effect_is_no_change(bitsd: Bitsd) -> None:
    job = await made(bitsd)
    before = await bitsd.job(job), await bitsd.events(job=job)
    bodies: list[object] = [{}, {"display_name": "a"}, {"notify": {}}, {"priority": "NORMAL"}, {"custom_headers": None}]
    for body in bodies:
        assert (await patch(bitsd, job, body))[0] == 200
    assert (await bitsd.job(job), await bitsd.events(job=job)) == before


async def test_write_only_headers_cannot_be_read_again_but_changed(bitsd: Bitsd) -> None:
    job = await made(bitsd, custom_headers="Authorization: secret")
    assert job["custom_headers"] == "Authorization: secret"
    _, job = await patch(bitsd, job, {"custom_headers_write_only": True})
    assert (job["custom_headers"], job["custom_headers_write_only"]) == (None, True)
    for value in (False, None):
        status, reply = await patch(bitsd, job, {"custom_headers_write_only": value})
        assert (status, reply["code"]) == (400, "BG_E_READ_ONLY_PROPERTY")
    _, job = await patch(bitsd, job, {"custom_headers": "Authorization: other"})
    assert job["custom_headers"] is None
    assert "secret" not in bitsd.log


async def test_dynamic_content_and_ranges_exclude_each_other(bitsd: Bitsd) -> None:
    file = {"remote_name": "http://h/a", "local_name": bitsd.target("/d"), "ranges": [{"offset": 0, "length": 5}]}
    job = await made(bitsd, files=[file])
    status, reply = await patch(bitsd, job, {"dynamic_content": True})
    assert (status, reply["code"]) == (400, "BG_E_UNSUPPORTED_JOB_CONFIGURATION")
    job = await made(bitsd, dynamic_content=True)
    status, reply = await bitsd.call("POST", f"/v1/jobs/{job['id']}/files", {"files": [file]})
    assert (status, reply["code"]) == (400, "BG_E_UNSUPPORTED_JOB_CONFIGURATION")


async def test_if_match_protects_a_change_and_every_other_call(bitsd: Bitsd) -> None:
    job = await made(bitsd)
    status, job = await patch(bitsd, job, {"description": "one"}, **{"If-Match": '"1"'})
    assert (status, job["revision"]) == (200, 2)
    before = await bitsd.job(job), await bitsd.events(job=job)
    path = f"/v1/jobs/{job['id']}"
    file = {"remote_name": "http://h/a", "local_name": bitsd.target("/m")}
    for stale in ('"1"', "3", '"x"', '"1", "3"', ""):
        for method, end, body in (
            ("PATCH", "", {"description": "two"}),
            ("POST", "/files", {"files": [file]}),
            ("POST", "/suspend", None),
            ("POST", "/cancel", None),
            ("POST", "/complete", None),
        ):
            status, reply = await bitsd.call(method, path + end, body, headers={"If-Match": stale})
            assert (status, reply["code"], reply["revision"]) == (409, "REVISION_CONFLICT", 2), (stale, end)
    assert (await bitsd.job(job), await bitsd.events(job=job)) == before
    for good in ("2", '"2"', "*", '"1", "2"'):
        status, job = await patch(bitsd, job, {"description": "one"}, **{"If-Match": good})
        assert (status, job["revision"]) == (200, 2)


async def test_an_idempotency_key_makes_one_job(bitsd: Bitsd) -> None:
    async def create(key: str, name: str) -> tuple[int, Document]:
        return await bitsd.call("POST", "/v1/jobs", {"display_name": name}, headers={"Idempotency-Key": key})

    replies = await asyncio.gather(*(create("k1", "idempotent") for _ in range(10)))
    assert {status for status, _ in replies} == {201}
    (job_id,) = {job["id"] for _, job in replies}
    assert await listed(bitsd, "name=idempotent") == [job_id]
    status, reply = await create("k1", "another")
    assert (status, reply["code"]) == (409, "IDEMPOTENCY_CONFLICT")
    assert (await create("k2", "idempotent"))[1]["id"] != job_id
    await bitsd.kill()
    await bitsd.start()
    assert (await create("k1", "idempotent"))[1]["id"] == job_id


async def test_a_listing_is_filtered_by_name_state_and_owner(bitsd: Bitsd) -> None:
    one, two = await made(bitsd, display_name="Glob one"), await made(bitsd, display_name="Glob [two]")
    assert await listed(bitsd, "name=Glob*") == [one["id"], two["id"]]
    assert await listed(bitsd, "name=Glob+?ne") == [one["id"]]
    assert await listed(bitsd, "name=Glob+%5B%5B%5D*") == [two["id"]]
    assert await listed(bitsd, "name=glob*") == []
    assert await listed(bitsd, "name=Glob*&state=QUEUED,SUSPENDED") == [one["id"], two["id"]]
    assert await listed(bitsd, "name=Glob*&state=QUEUED,ERROR") == []
    assert await listed(bitsd, f"name=Glob*&owner={os.geteuid()}") == [one["id"], two["id"]]
    assert await listed(bitsd, f"name=Glob*&owner={pwd.getpwuid(os.geteuid()).pw_name}") == [one["id"], two["id"]]


async def test_a_listing_shows_what_is_asked_for(bitsd: Bitsd) -> None:
    file = {"remote_name": "http://h/a", "local_name": bitsd.target("/f")}
    job = await made(bitsd, display_name="Fields", files=[file])
    whole = await bitsd.ok("GET", "/v1/jobs?name=Fields")
    assert whole.keys() == {"jobs", "next_cursor", "seq"}
    assert whole["jobs"] == [await bitsd.job(job)]
    found = (await bitsd.ok("GET", "/v1/jobs?name=Fields&fields=id,state"))["jobs"]
    assert found == [{"id": job["id"], "state": "SUSPENDED"}]
    assert (await bitsd.ok("GET", "/v1/jobs?name=Fields&include=files"))["jobs"] == [await bitsd.job(job, "files")]
    files = (await bitsd.ok("GET", f"/v1/jobs/{job['id']}/files"))["files"]
    assert (await bitsd.ok("GET", "/v1/jobs?name=Fields&fields=files"))["jobs"] == [{"files": files}]


async def test_pages_show_each_job_of_the_snapshot_once(bitsd: Bitsd) -> None:
    first = [(await made(bitsd, display_name="Page"))["id"] for _ in range(7)]
    seen, cursor = [], None
    while True:
        page = await bitsd.ok("GET", "/v1/jobs?name=Page&limit=3" + (f"&cursor={cursor}" if cursor else ""))
        seen.append([job["id"] for job in page["jobs"]])
        await made(bitsd, display_name="Page")
        if page["next_cursor"] is None:
            break
        cursor = page["next_cursor"]
    assert seen == [first[:3], first[3:6], first[6:]]
    last = (await bitsd.ok("GET", "/v1/jobs?name=Page&limit=6"))["next_cursor"]
    beyond = await bitsd.ok("GET", f"/v1/jobs?name=Page&limit=3&cursor={'9' * 15}-{last.partition('-')[2]}")
    assert (beyond["jobs"], beyond["next_cursor"]) == ([], None)
    for job_id in first[3:]:
        await bitsd.ok("POST", f"/v1/jobs/{job_id}/cancel")
    assert (await bitsd.ok("GET", f"/v1/jobs?name=Page&limit=3&cursor={cursor}"))["jobs"] == []


async def test_changed_since_tells_what_changed_and_what_is_gone(bitsd: Bitsd) -> None:
    kept, edited, gone = [await made(bitsd, display_name="Since") for _ in range(3)]
    seq = (await bitsd.ok("GET", "/v1/jobs"))["seq"]
    nothing = await bitsd.ok("GET", f"/v1/jobs?changed_since={seq}")
    assert (nothing["jobs"], nothing["removed"], nothing["seq"]) == ([], [], seq)
    await patch(bitsd, edited, {"description": "new"})
    await bitsd.act(gone, "cancel")
    new = await made(bitsd, display_name="Since")
    news = await bitsd.ok("GET", f"/v1/jobs?changed_since={seq}&name=Since")
    assert [job["id"] for job in news["jobs"]] == [edited["id"], new["id"]]
    assert news["removed"] == [gone["id"]]
    assert news["seq"] > seq
    assert kept["id"] not in str(news)


@pytest.mark.parametrize("end", ["cancel", "complete"])
async def test_a_final_job_leaves_the_listing_at_once_and_stays_readable(bitsd: Bitsd, end: str) -> None:
    job = await made(bitsd, display_name=f"Final {end}")
    final = await bitsd.act(job, end)
    assert await listed(bitsd, f"name=Final+{end}") == []
    assert await listed(bitsd, f"name=Final+{end}&state=CANCELLED,ACKNOWLEDGED") == []
    del final["result"]
    assert await bitsd.job(job) == final
    assert (await bitsd.ok("GET", f"/v1/jobs/{job['id']}/files"))["files"] == []


async def test_the_history_ends_after_its_retention(tmp_path: Path) -> None:
    async with Bitsd(tmp_path, BITSD_DAEMON__HISTORY_RETENTION="1") as bitsd:
        seq = (await bitsd.ok("GET", "/v1/jobs"))["seq"]
        job, kept = await made(bitsd), await made(bitsd)
        await bitsd.act(job, "cancel")
        assert (await bitsd.job(job))["state"] == "CANCELLED"
        events = await bitsd.ok("GET", f"/v1/events?job={job['id']}&types=JOB_REMOVED&wait=10")
        assert [event["type"] for event in events["events"]] == ["JOB_REMOVED"]
        status, reply = await bitsd.call("GET", f"/v1/jobs/{job['id']}")
        assert (status, reply["code"]) == (404, "BG_E_NOT_FOUND")
        assert (await bitsd.job(kept))["state"] == "SUSPENDED"
        status, reply = await bitsd.call("GET", f"/v1/jobs?changed_since={seq}")
        assert (status, reply["code"]) == (410, "EVENTS_TRUNCATED")  # what was removed is no longer known
        news = await bitsd.ok("GET", f"/v1/jobs?changed_since={reply['oldest']}")
        assert news["removed"] == [job["id"]]


async def test_wait_answers_when_the_state_is_reached_or_at_the_timeout(bitsd: Bitsd) -> None:
    async with Origin() as origin:
        origin.file("/w", size=10)
        job = await bitsd.create(origin.url("/w"), resume=False)
        path = f"/v1/jobs/{job['id']}/wait"
        assert (await bitsd.ok("GET", f"{path}?until=SUSPENDED"))["state"] == "SUSPENDED"
        assert (await bitsd.ok("GET", f"{path}?until=TRANSFERRED&timeout=0"))["state"] == "SUSPENDED"
        assert (await bitsd.ok("GET", f"{path}?until=TRANSFERRED&timeout=0.1"))["state"] == "SUSPENDED"
        waiting = asyncio.create_task(bitsd.ok("GET", f"{path}?until=error,transferred&timeout=30"))
        await bitsd.act(job, "resume")
        assert (await waiting)["state"] == "TRANSFERRED"
        waiting = asyncio.create_task(bitsd.ok("GET", f"{path}?until=ERROR&timeout=30"))
        await bitsd.act(job, "cancel")
        assert (await waiting)["state"] == "CANCELLED"  # nothing more can happen
